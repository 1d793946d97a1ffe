"""The plots of a report as files."""

import itertools
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from mnistzoo.files import expanded, replacing
from mnistzoo.report import plots
from mnistzoo.report.saved import class_names, printable
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
    stems: set[str] = set()
    for model in facts["models"]:
        stem = _stem(model["name"], stems)
        stems.add(stem)
        for name, figure in plots.of_model(model, classes):
            with mpl.rc_context(STYLE):
                figure.suptitle(model["name"], fontsize=9)
            yield f"{stem}-{name}", figure


def _stem(name: str, taken: set[str]) -> str:
    """Return how file names of a model begin; it may itself be the path of a file, or anything."""
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("._-")[:60] or "model"
    numbered = (f"{stem}-{number}" for number in itertools.count(2))
    return stem if stem not in taken else next(each for each in numbered if each not in taken)
