"""Draw the README's pictures: docs/accuracy.png and docs/seven.png.

Usage: python scripts/readme_picture.py

The first shows accuracy against parameters. Its dots are the accuracies that the plugins declare
for their shipped weights, its strokes the runs in benchmarks/training_runs.csv. What is drawn
stands in the file too, as JSON in a text chunk, so that a test can tell whether it is current.
The second is the first test image, enlarged and dark on light, for `mnistzoo predict`.
"""

import json
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.transforms import Bbox
from models_table import MODELS, runs_of
from PIL import Image

from mnistzoo import get_spec, load_dataset

DOCS = Path(__file__).parent.parent / "docs"
PICTURE, SEVEN = DOCS / "accuracy.png", DOCS / "seven.png"
CHUNK = "mnistzoo"  # the text chunk's keyword
_TICKS = [97.5, 98, 98.5, 99, 99.25, 99.5, 99.6, 99.7, 99.8]  # per cent
# Where a label may stand, from the dot in points, and which corner of it is there.
_PLACES = [
    (7, 0, "left", "center"),
    (-7, 0, "right", "center"),
    (0, 9, "center", "bottom"),
    (0, -9, "center", "top"),
    (6, 8, "left", "bottom"),
    (6, -8, "left", "top"),
    (-6, 8, "right", "bottom"),
    (-6, -8, "right", "top"),
]


def main() -> None:
    found = points()
    draw(found)[0].savefig(PICTURE, metadata={CHUNK: json.dumps(found), "Software": None})
    seven = Image.fromarray(255 - load_dataset("mnist-10k").test.images[0])
    seven.resize((280, 280)).save(SEVEN)
    print(f"wrote {PICTURE} and {SEVEN}")


def points() -> list[dict[str, Any]]:
    """Return each model's name, parameters, accuracy and the accuracies of its runs, 0 to 1."""
    return [
        {
            "model": name,
            "params": get_spec(name).num_params,
            "accuracy": get_spec(name).declared_metrics["test_accuracy"],
            "runs": [float(run["test_accuracy"]) for run in runs_of(name)],
        }
        for name in MODELS
    ]


def draw(found: list[dict[str, Any]]) -> tuple[Figure, list[Annotation]]:
    """Return the picture and its labels."""
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for each in found:
        axes.plot(
            [each["params"]] * len(each["runs"]),
            [_error(accuracy) for accuracy in each["runs"]],
            linestyle="none",
            marker="_",
            markersize=9,
            color="0.55",
            zorder=1,
        )
    axes.plot(
        [each["params"] for each in found],
        [_error(each["accuracy"]) for each in found],
        linestyle="none",
        marker="o",
        color="tab:blue",
        zorder=2,
    )
    axes.set_xscale("log")
    axes.set_xlim(700, 9_000_000)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda params, _: f"{params:,.0f}"))
    axes.set_xlabel("parameters")
    # The share of errors, on a logarithmic scale and upside down: 99.7 and 99.8 lie apart.
    axes.set_yscale("log")
    axes.set_ylim(_error(0.97), _error(0.9982))
    axes.yaxis.set_major_locator(FixedLocator([100 - tick for tick in _TICKS]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{100 - error:g}"))
    axes.set_ylabel("accuracy on the 10,000 test images, %")
    axes.set_title(
        "Dots: the shipped weights. Strokes: all runs of their recipe, one a seed.", fontsize=10
    )
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.draw_without_rendering()
    return figure, _label(axes, found)


def _error(accuracy: float) -> float:
    """Return the share of errors in per cent."""
    return 100 * (1 - accuracy)


def _label(axes: Axes, found: list[dict[str, Any]]) -> list[Annotation]:
    """Name each dot beside it, where no other dot, stroke or name is."""
    taken = [
        Bbox.from_extents(x - 7, y - 5, x + 7, y + 5)
        for each in found
        for accuracy in [each["accuracy"], *each["runs"]]
        for x, y in [axes.transData.transform((each["params"], _error(accuracy)))]
    ]
    labels = []
    for each in found:
        for x, y, horizontal, vertical in _PLACES:
            label = axes.annotate(
                each["model"],
                (each["params"], _error(each["accuracy"])),
                (x, y),
                textcoords="offset points",
                horizontalalignment=horizontal,
                verticalalignment=vertical,
                fontsize=9,
            )
            box = label.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
            label.remove()
        else:
            raise SystemExit(
                f"there is no room for the name of {each['model']}; make the picture larger"
            )
        taken.append(box)
        labels.append(label)
    return labels


if __name__ == "__main__":
    main()
