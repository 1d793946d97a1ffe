"""Put the weights of a model's runs into its plugin, and the runs into the table of all runs.

Usage: python scripts/ship_weights.py FILE.safetensors ...

The files are what `mnistzoo train` saved for one model by one recipe, one a seed. Shipped are the
weights of the seed whose validation accuracy is the median (of an even number the lower of the
two); of final runs, which have none, those of the first seed. Mean and standard deviation over the
seeds stand in their metadata. They are stored in half precision where that changes no prediction on
the test set. Prints the `Weights(...)` that the plugin has to declare.

With --only-record the runs go into the table and nothing is shipped. Shipped is only what was
trained on the full MNIST.
"""

import argparse
import copy
import csv
import hashlib
import statistics
from pathlib import Path

from first_party import folder_of
from torch import nn

from mnistzoo import evaluate, get_recipe, get_spec, load_dataset, load_model
from mnistzoo.provenance import Provenance
from mnistzoo.report.figures import counted
from mnistzoo.weights import read_metadata, save_weights

RUNS = Path(__file__).parent.parent / "benchmarks" / "training_runs.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--only-record", action="store_true")
    options = parser.parse_args()
    runs = {}
    for path in options.files:
        try:
            runs[path] = Provenance.from_dict(read_metadata(path))
        except ValueError as error:
            parser.exit(1, f"{path} cannot be recorded, {error}; train it again\n")
        if problem := what_is_wrong(runs[path], ship=not options.only_record):
            parser.exit(1, f"{path} {problem}\n")
    kinds = {(run.model, run.recipe_name, run.training_images) for run in runs.values()}
    if len(kinds) > 1:
        parser.exit(1, f"the files are of several kinds of runs, give those of one: {kinds}\n")
    ((model, recipe, _),) = kinds
    if not options.only_record:
        ship(model, runs)
    record(model, recipe, list(runs.values()))


def what_is_wrong(run: Provenance, *, ship: bool) -> str:
    """Return why a run must not be recorded, or not be shipped; empty if it may."""
    if run.training_images is None or run.train_threads is None:
        return "does not say how many images it was trained on, or by how many threads"
    recipe = get_recipe(get_spec(run.model), run.recipe_name)
    if recipe.replace(**run.recipe) != recipe.replace(seed=run.seed):
        return f"was not trained by the recipe {run.recipe_name} as it is now; train it again"
    if not run.complete:
        return f"was stopped after epoch {run.epochs_completed}; train it to its end"
    if not run.evaluated:
        return "was not evaluated on the test set; train it again"
    if ship and run.dataset != "mnist":
        return f"was trained on {run.dataset}; ship what was trained on the full MNIST"
    return ""


def record(model: str, recipe: str, runs: list[Provenance]) -> None:
    """Replace the rows of this model and recipe in the table of runs."""
    added = [row_of(run) for run in runs]
    rows = []
    if RUNS.exists():
        with RUNS.open(newline="") as stream:
            rows = [
                row
                for row in csv.DictReader(stream)
                if (row["model"], row["recipe"], row["images"])
                != (model, recipe, added[0]["images"])
            ]
    rows += added
    rows.sort(key=lambda row: (row["model"], row["recipe"], row["images"], int(row["seed"])))
    with RUNS.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(added[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def row_of(run: Provenance) -> dict[str, str]:
    device = run.environment["device"]
    return {
        "model": run.model,
        "recipe": run.recipe_name,
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


def ship(model: str, runs: dict[Path, Provenance]) -> None:
    spec = get_spec(model)
    path, chosen = which(runs)
    run = runs[path]
    found = [each.metrics["test_accuracy"] for each in runs.values()]
    metrics = {**run.metrics, "test_accuracy_mean": statistics.mean(found)}
    if len(found) > 1:
        metrics["test_accuracy_sd"] = statistics.stdev(found)
    folder = folder_of(model)
    assert folder is not None, f"{model} is not of plugins/"
    target = folder / spec.factory.partition(":")[0].partition(".")[0] / f"{model}.safetensors"
    seeds = [each.seed for each in runs.values()]
    metadata = {**run.to_dict(), "metrics": metrics, "seeds": seeds}
    save_weights(smallest(load_model(model, path)), target, metadata)
    rounded = {name: round(value, 6) for name, value in metrics.items()}
    print(f"""weights=Weights(
    file="{target.name}",
    sha256="{hashlib.sha256(target.read_bytes()).hexdigest()}",
    metrics={rounded!r},
    measured="recipe {run.recipe_name}, {run.training_images} training images, end of training, "
    "official test set; seed {run.seed}, {chosen}; "
    "torch {run.environment["versions"]["torch"]}, {row_of(run)["device"]}, "
    "{counted(run.train_threads or 1, "thread")}",
),""")


def which(runs: dict[Path, Provenance]) -> tuple[Path, str]:
    """Return the file that is shipped, and why it is that one."""
    if any(run.final for run in runs.values()):
        return min(runs, key=lambda path: runs[path].seed), f"the first of {len(runs)}"
    ranked = sorted(runs, key=lambda path: runs[path].metrics["validation_accuracy"])
    middle = ranked[(len(ranked) - 1) // 2]
    return middle, f"the median of {len(ranked)} by validation accuracy"


def smallest(model: nn.Module) -> nn.Module:
    """Return the model in half precision if it then predicts the same, else as it is."""
    test = load_dataset("mnist-10k").test
    half = copy.deepcopy(model).half()
    rounded = copy.deepcopy(half).float()
    same = evaluate(rounded, test).predictions == evaluate(model, test).predictions
    return half if same.all() else model


if __name__ == "__main__":
    main()
