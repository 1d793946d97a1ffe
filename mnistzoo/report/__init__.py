"""Each way of showing results in a file of its own."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mnistzoo.errors import MnistzooError
from mnistzoo.missing import check_extra
from mnistzoo.report.csv import write_csv
from mnistzoo.report.json import write_json
from mnistzoo.report.markdown import write_markdown

if TYPE_CHECKING:
    from mnistzoo.comparison import Comparison


class ReportError(MnistzooError):
    """A file's suffix names no way of showing a comparison."""


def check_plotting(what: str) -> None:
    """Find out whether plots and HTML can be made here.

    Args:
        what: is to be made, as the subject of a sentence.

    Raises:
        MissingModuleError: if something of the extra ``report`` is not installed.
    """
    check_extra("report", ("jinja2", "matplotlib", "fastjsonschema"), what)


def save(comparison: "Comparison", path: str | os.PathLike[str]) -> None:
    """Write a comparison in the format that the file's suffix names.

    Raises:
        MissingModuleError: for HTML, if the extra ``report`` is not installed.
        OSError: if the file cannot be written.
        ReportError: for another suffix than ``.json``, ``.csv``, ``.md`` and ``.html``.
    """
    match Path(path).suffix.lower():
        case ".json":
            write_json(comparison.to_dict(), path)
        case ".csv":
            write_csv(comparison, path)
        case ".md":
            write_markdown(comparison, path)
        case ".html":
            check_plotting(f"{path}: a report in HTML")
            from mnistzoo.report.html import write_html

            write_html(comparison.to_dict(), path)
        case _:
            raise ReportError(f"{path}: the file name must end in .json, .csv, .md or .html")
