"""Each way of showing results in a file of its own."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mnistzoo.errors import MnistzooError
from mnistzoo.report.csv import write_csv
from mnistzoo.report.json import write_json
from mnistzoo.report.markdown import write_markdown

if TYPE_CHECKING:
    from mnistzoo.comparison import Comparison


class ReportError(MnistzooError):
    """A file's suffix names no way of showing a comparison."""


def save(comparison: "Comparison", path: str | os.PathLike[str]) -> None:
    """Write a comparison in the format that the file's suffix names.

    Raises:
        OSError: if the file cannot be written.
        ReportError: for another suffix than ``.json``, ``.csv`` and ``.md``.
    """
    match Path(path).suffix.lower():
        case ".json":
            write_json(comparison.to_dict(), path)
        case ".csv":
            write_csv(comparison, path)
        case ".md":
            write_markdown(comparison, path)
        case ".html":
            raise ReportError(
                f"{path}: reports in HTML come with a later version; take .json, .csv or .md"
            )
        case _:
            raise ReportError(f"{path}: the file name must end in .json, .csv or .md")
