"""Put runs of a model into the table of all runs.

Usage: python scripts/record_runs.py FILE.safetensors ...

The files are what `mnistzoo train` saved for one model by one recipe, one a seed. `mnistzoo ship`
puts weights into the plugin.
"""

import argparse
import csv
from pathlib import Path

from mnistzoo import MnistzooError
from mnistzoo.provenance import Provenance
from mnistzoo.shipping import run_of

RUNS = Path(__file__).parent.parent / "benchmarks" / "training_runs.csv"
KIND = ("model", "recipe", "dataset", "images")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    try:
        runs = [run_of(path) for path in parser.parse_args().files]
    except MnistzooError as error:
        parser.exit(1, f"{error}\n")
    rows = [row_of(run) for run in runs]
    kinds = {tuple(row[column] for column in KIND) for row in rows}
    if len(kinds) > 1:
        parser.exit(1, f"the files are of several kinds of runs, give those of one: {kinds}\n")
    record(rows)


def record(added: list[dict[str, str]]) -> None:
    """Replace the rows of this model, recipe, data set and number of images."""
    rows = []
    if RUNS.exists():
        with RUNS.open(newline="") as stream:
            rows = [
                row
                for row in csv.DictReader(stream)
                if any(row[column] != added[0][column] for column in KIND)
            ]
    rows += added
    rows.sort(key=lambda row: (*(row[column] for column in KIND), int(row["seed"])))
    with RUNS.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(added[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def row_of(run: Provenance) -> dict[str, str]:
    device = run.environment["device"]
    return {
        "model": run.model,
        "recipe": run.recipe_name,
        "dataset": run.dataset,
        "images": str(run.training_images),
        "seed": str(run.seed),
        "epochs": str(run.epochs_completed),
        "validation_accuracy": str(run.metrics.get("validation_accuracy", "")),
        "test_accuracy": str(run.metrics["test_accuracy"]),
        "seconds": f"{run.train_seconds:.1f}",
        "device": run.environment["processor"] if device == "cpu" else device,
        "threads": str(run.train_threads),
        "command": f"mnistzoo train {run.model} --recipe {run.recipe_name} --seed {run.seed}"
        f"{' --final' if run.final else ''}"
        f"{'' if run.dataset == 'mnist' else ' --dataset ' + run.dataset}",
        "torch": run.environment["versions"]["torch"],
    }


if __name__ == "__main__":
    main()
