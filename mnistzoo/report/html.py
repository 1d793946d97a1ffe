"""A comparison as one HTML file that needs nothing else: no network, no other file."""

import base64
import hashlib
import html
import io
import math
import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from mnistzoo._version import __version__
from mnistzoo.output import write
from mnistzoo.overrides import as_settings, unlike_defaults
from mnistzoo.report import plots, reliability
from mnistzoo.report.figures import as_changed, counted, grouped, percent, test_images, whose
from mnistzoo.report.saved import class_names, printable
from mnistzoo.report.svg import as_inline_svg
from mnistzoo.statistics import SIGNIFICANT

_ALT = {
    "accuracy-params": "Accuracy against parameters",
    "accuracy-multiply-adds": "Accuracy against multiply-adds",
    "accuracy-latency": "Accuracy against latency",
    "pairs": "Matrix of the differences",
    "confusion": "Confusion matrix",
    "calibration": "Reliability and confidence",
    "classes": "Accuracy class by class",
    "learning": "Learning curves",
}


def write_html(
    facts: Mapping[str, Any], path: str | os.PathLike[str], *, command: str | None = None
) -> None:
    """Write the report of what :meth:`Comparison.to_dict` returned.

    Args:
        facts: of one model or more.
        path: of the file; ``-`` is stdout.
        command: that makes the same facts again; if it is not given, that of a comparison.

    Raises:
        OSError: if the file cannot be written.
    """
    write(render(facts, command or _command(facts)), path)


def render(facts: Mapping[str, Any], command: str) -> str:
    """Return the report as a page."""
    facts = printable(facts)
    evaluated = [model for model in facts["models"] if model["accuracy"] is not None]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mnistzoo.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "changed": as_changed,
        "counted": counted,
        "grouped": grouped,
        "percent": percent,
        "across": _across(evaluated, facts["dataset"]["images"]),
        "picture": _picture,
        "settings": lambda recipe: " ".join(as_settings(unlike_defaults(recipe))),
    }
    style, script = (_source(environment, name) for name in ("report.css", "report.js"))
    classes = class_names(facts)
    columns = facts.get("columns", {})  # which a file of an earlier version has not
    side_by_side = _inline(plots.of_comparison(facts), "all", "all models")
    return environment.get_template("report.html").render(
        facts,
        benchmark_names=list(
            dict.fromkeys(name for model in facts["models"] for name in model["benchmarks"] or ())
        ),
        classes=classes,
        evaluated=evaluated,
        command=printable(command),
        script=script,
        script_sha256=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=style,
        further=reliability.headings(facts["models"], columns),
        further_of=lambda model: reliability.figures(model, columns),
        further_notes=list(reliability.notes(facts["models"], columns)),
        timed_by=sorted(
            {model["runtime"] for model in facts["models"] if model["latency_us"] is not None}
        ),
        whose=whose(bool(model["provider"]) for model in evaluated),
        had={key for model in facts["models"] for key, value in model.items() if value is not None},
        matrix=side_by_side.pop("pairs", None),
        costs=side_by_side,
        plots=[
            _inline(plots.of_model(model, classes), f"model-{number}", model["name"])
            for number, model in enumerate(facts["models"])
        ],
        significant=SIGNIFICANT,
        test_images=test_images(facts["dataset"]),
        version=__version__,
    )


def _source(environment: jinja2.Environment, name: str) -> Markup:
    """Return a file that is part of the page: ours, so nothing in it is escaped."""
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])


def _inline(figures: Iterable[tuple[str, Figure]], prefix: str, of: str) -> dict[str, Markup]:
    """Return figures as elements of the page; their texts are escaped already."""
    return {
        name: Markup(
            as_inline_svg(figure, f"{prefix}-{name}", html.escape(f"{_ALT[name]} of {of}"))
        )
        for name, figure in figures
    }


def _across(models: Sequence[Mapping[str, Any]], images: int) -> Callable[[float], float]:
    """Return the function from an accuracy to its place in the bars of intervals, from 0 to 1.

    As in the plots, the share of errors is logarithmic.
    """

    def error(accuracy: float) -> float:
        return math.log(max(1 - accuracy, 0.5 / images))

    ends = [error(end) for model in models for end in model["accuracy_interval"]] or [0.0]
    span = max(ends) - min(ends) or 1.0
    return lambda accuracy: (max(ends) - error(accuracy)) / span


def _picture(pixels: str) -> str:
    """Return the address of a digit, dark on light, as a picture inside the page."""
    image = Image.frombytes("L", (28, 28), base64.b64decode(pixels)).point(lambda ink: 255 - ink)
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _command(facts: Mapping[str, Any]) -> str:
    """Return what makes the comparison again where the same plugins are installed."""
    words = ["mnistzoo", "compare", *sorted(model["name"] for model in facts["models"])]
    if plan := facts["training"]:
        words += ["--train", "--recipe", plan["recipe"], "--seeds", str(plan["seeds"])]
        for setting in as_settings(plan["overrides"]):
            words += ["--set", setting]
        words += ["--final"] if plan["final"] else []
    words += ["--dataset", facts["dataset"]["reference"]]
    if facts.get("columns"):
        words += ["--columns", ",".join(facts["columns"])]
    if facts["environment"]["device"] == "cpu":
        words += ["--device", "cpu"]
    return shlex.join(words)
