"""Print the README's table: the shipped weights evaluated now, and the runs that they come from.

Usage: python scripts/readme_table.py [COMPARISON]

With COMPARISON, what `mnistzoo compare --json COMPARISON` measured is taken in place of evaluating.
"""

import csv
import json
import statistics
import sys
from pathlib import Path

import torch
from first_party import PLUGINS, first_party, folder_of

from mnistzoo import evaluate, get_spec, load_dataset, load_model
from mnistzoo.report import percent

RUNS = Path(__file__).parent.parent / "benchmarks" / "training_runs.csv"
MODELS = first_party()
HEADINGS = [
    "model",
    "parameters",
    "test %",
    "95 % interval",
    "mean % over seeds",
    "sd",
    "seeds",
    "minutes a run",
    "threads",
    "train it again",
]


def main() -> None:
    measured = compared(Path(sys.argv[1])) if len(sys.argv) > 1 else evaluated()
    with RUNS.open(newline="") as stream:
        runs = [
            row
            for row in csv.DictReader(stream)
            if (row["recipe"], row["images"]) == ("default", "55000")
        ]
    rows = []
    for name in MODELS:
        accuracy, low, high = measured[name]
        own = [run for run in runs if run["model"] == name]
        found = [float(run["test_accuracy"]) for run in own]
        rows.append(
            [
                name,
                f"{get_spec(name).num_params:,}",
                percent(accuracy),
                f"{percent(low)} to {percent(high)}",
                percent(statistics.mean(found)) if own else "-",
                percent(statistics.stdev(found)) if len(own) > 1 else "-",
                str(len(own)) if own else "-",
                minutes([float(run["seconds"]) for run in own]) if own else "-",
                own[0]["threads"] if own else "-",
                f"`mnistzoo compare {name} --train --seeds {len(own)}`" if own else made(name),
            ]
        )
    rows.sort(key=lambda row: -float(row[2]))
    for row in (HEADINGS, ["---"] * len(HEADINGS), *rows):
        print(f"| {' | '.join(row)} |")
    print(f"\ntorch {torch.__version__}; the runs and where: {RUNS.parent.name}/{RUNS.name}")


def evaluated() -> dict[str, tuple[float, float, float]]:
    """Return each model's accuracy and its interval, 0 to 1."""
    test = load_dataset("mnist-10k").test
    evaluations = {name: evaluate(load_model(name), test) for name in MODELS}
    return {name: (each.accuracy, *each.accuracy_interval) for name, each in evaluations.items()}


def compared(path: Path) -> dict[str, tuple[float, float, float]]:
    """Return the same as a comparison of the shipped weights has it."""
    comparison = json.loads(path.read_text("utf-8"))
    assert comparison["training"] is None, "these are not the shipped weights"
    models = {each["name"]: each for each in comparison["models"]}
    return {name: (models[name]["accuracy"], *models[name]["accuracy_interval"]) for name in MODELS}


def made(name: str) -> str:
    """Return how a model came about that is not trained."""
    if members := get_spec(name).members:
        return f"made of {', '.join(members)}"
    folder = folder_of(name)
    assert folder is not None
    return f"`python {folder.relative_to(PLUGINS.parent)}/fit.py`"


def minutes(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) / 60:.1f}"


if __name__ == "__main__":
    main()
