"""Print the table of docs/models.md: the declared accuracies, and the runs behind them.

Usage: python scripts/models_table.py

That the shipped weights have the accuracies declared for them, `mnistzoo check MODEL` shows.
"""

import csv
import statistics
from pathlib import Path

from first_party import PLUGINS, first_party, folder_of

from mnistzoo import get_spec
from mnistzoo.models import weights_path
from mnistzoo.report.figures import percent
from mnistzoo.statistics import wilson_interval
from mnistzoo.weights import read_metadata

RUNS = Path(__file__).parent.parent / "benchmarks" / "training_runs.csv"
MODELS = first_party()
TEST_IMAGES = 10_000
HEADINGS = [
    "model",
    "parameters",
    "test %",
    "95 % interval",
    "mean % over seeds",
    "sd",
    "seeds",
    "minutes a run",
    "on",
    "train it again",
]


def main() -> None:
    rows = []
    for name in MODELS:
        accuracy = get_spec(name).declared_metrics["test_accuracy"]
        low, high = wilson_interval(round(accuracy * TEST_IMAGES), TEST_IMAGES)
        own = runs_of(name)
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
                place(own[0]) if own else "-",
                again(name, own) if own else made(name),
            ]
        )
    rows.sort(key=lambda row: -float(row[2]))
    for row in (HEADINGS, ["---"] * len(HEADINGS), *rows):
        print(f"| {' | '.join(row)} |")
    print(f"\nthe runs and where: {RUNS.parent.name}/{RUNS.name}")


def runs_of(name: str) -> list[dict[str, str]]:
    """Return the runs of the default recipe on as many images as the shipped weights have seen."""
    metadata = read_metadata(weights_path(get_spec(name)))
    images = "60000" if metadata.get("final") else "55000"
    with RUNS.open(newline="") as stream:
        return [
            run
            for run in csv.DictReader(stream)
            if (run["model"], run["recipe"], run["dataset"], run["images"])
            == (name, "default", "mnist", images)
        ]


def again(name: str, runs: list[dict[str, str]]) -> str:
    """Return the command that trains the runs again."""
    final = " --final" if runs[0]["images"] == "60000" else ""
    return f"`mnistzoo compare {name} --train --seeds {len(runs)}{final}`"


def place(run: dict[str, str]) -> str:
    """Return what a run was trained on: a GPU, or so many cores of a CPU."""
    if run["device"].startswith("NVIDIA"):
        return run["device"]
    return f"{run['threads']} core{'s' if run['threads'] != '1' else ''}"


def made(name: str) -> str:
    """Return how a model came about that is not trained: by a script in its plugin's folder."""
    folder = folder_of(name)
    assert folder is not None
    (script,) = folder.glob("*.py")
    return f"`python {script.relative_to(PLUGINS.parent)}`"


def minutes(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) / 60:.1f}"


if __name__ == "__main__":
    main()
