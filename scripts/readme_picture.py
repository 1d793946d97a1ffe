"""Draw the README's pictures: docs/accuracy.png and docs/seven.png.

Usage: python scripts/readme_picture.py

The first shows accuracy against parameters as the report does. Its dots are the accuracies that the
plugins declare for their shipped weights, its strokes the runs in benchmarks/training_runs.csv.
What is drawn stands in the file too, as JSON in a text chunk, so that a test can tell whether it is
current. The second is the first test image, enlarged and dark on light, for `mnistzoo predict`.
"""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from models_table import MODELS, runs_of
from PIL import Image

from mnistzoo import get_spec, load_dataset
from mnistzoo.report.plots import Dot, accuracy_against
from mnistzoo.report.style import STYLE

DOCS = Path(__file__).parent.parent / "docs"
PICTURE, SEVEN = DOCS / "accuracy.png", DOCS / "seven.png"
CHUNK = "mnistzoo"  # the text chunk's keyword


def main() -> None:
    found = points()
    with mpl.rc_context(STYLE):
        told = {CHUNK: json.dumps(found), "Software": None}
        draw(found)[0].savefig(PICTURE, dpi=150, metadata=told)
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
    dots = [
        Dot(each["model"], each["params"], each["accuracy"], runs=each["runs"]) for each in found
    ]
    figure, labels = accuracy_against(
        dots,
        "parameters",
        10_000,
        size=(6.4, 3.6),
        title="Dots: the shipped weights. Strokes: all runs of their recipe, one a seed. "
        "Line: the Pareto front.",
    )
    return figure, labels


if __name__ == "__main__":
    main()
