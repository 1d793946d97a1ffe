"""The plots of a report as files."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from mnistzoo.files import expanded, replacing
from mnistzoo.report import plots
from mnistzoo.report.facts import class_names, printable
from mnistzoo.report.style import STYLE
from mnistzoo.report.svg import as_svg

_DPI = 200


def write_plots(facts: Mapping[str, Any], folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Write each plot as SVG and PNG, and yield the file once it is there.

    Args:
        facts: what :meth:`Comparison.to_dict` returned.
        folder: created if it is not there.

    Raises:
        OSError: if a file cannot be written.
    """
    facts = printable(facts)
    target = expanded(folder)
    target.mkdir(parents=True, exist_ok=True)
    for name, figure in _figures(facts):
        svg, png = target / f"{name}.svg", target / f"{name}.png"
        with replacing(svg) as stream:
            stream.write(as_svg(figure).encode())
        yield svg
        with replacing(png) as stream, mpl.rc_context(STYLE):
            figure.savefig(stream, format="png", dpi=_DPI, metadata={"Software": None})
        yield png


def _figures(facts: Mapping[str, Any]) -> Iterator[tuple[str, Figure]]:
    yield from plots.of_comparison(facts)
    classes = class_names(facts)
    for model in facts["models"]:
        for name, figure in plots.of_model(model, classes):
            with mpl.rc_context(STYLE):
                figure.suptitle(model["name"], fontsize=9)
            yield f"{model['name']}-{name}", figure
