"""Put the weights of a model's runs into its plugin, and the runs into the table of all runs.

Usage: python scripts/ship_weights.py FILE.safetensors ...

The files are what `mnistzoo train` saved for one model by one recipe, one a seed. Shipped are the
weights of the seed whose validation accuracy is the median (of an even number the lower of the
two), with mean and standard deviation over the seeds in their metadata. Prints the `Weights(...)`
that the plugin has to declare.

With --only-record the runs go into the table and nothing is shipped.
"""

import argparse
import csv
import hashlib
import statistics
from pathlib import Path
from typing import Any

from first_party import folder_of

from mnistzoo import get_spec
from mnistzoo.models import create_model
from mnistzoo.weights import load_weights, read_story, save_weights

RUNS = Path(__file__).parent.parent / "benchmarks" / "training_runs.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--only-record", action="store_true")
    options = parser.parse_args()
    stories = {path: read_story(path) for path in options.files}
    (model,) = {story["model"] for story in stories.values()}
    (recipe,) = {story["recipe_name"] for story in stories.values()}
    for path, story in stories.items():
        declared = get_spec(model).recipes[recipe].replace(seed=story["seed"])
        assert declared.replace(**story["recipe"]) == declared, f"{path}: another recipe"
        assert story["epochs_completed"] == declared.epochs, f"{path} was interrupted"
    if not options.only_record:
        assert not any(story["final"] for story in stories.values()), "no validation accuracy"
        ship(model, stories)
    record(model, recipe, list(stories.values()))


def record(model: str, recipe: str, stories: list[dict[str, Any]]) -> None:
    """Replace the rows of this model and recipe in the table of runs."""
    rows = []
    if RUNS.exists():
        with RUNS.open(newline="") as stream:
            rows = [
                row
                for row in csv.DictReader(stream)
                if (row["model"], row["recipe"], row["images"])
                != (model, recipe, images_of(stories[0]))
            ]
    rows += [row_of(story) for story in stories]
    rows.sort(key=lambda row: (row["model"], row["recipe"], row["images"], int(row["seed"])))
    with RUNS.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(row_of(stories[0])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def row_of(story: dict[str, Any]) -> dict[str, str]:
    environment = story["environment"]
    metrics = story["metrics"]
    return {
        "model": story["model"],
        "recipe": story["recipe_name"],
        "images": images_of(story),
        "seed": str(story["seed"]),
        "epochs": str(story["epochs_completed"]),
        "validation_accuracy": str(metrics.get("validation_accuracy", "")),
        "test_accuracy": str(metrics["test_accuracy"]),
        "seconds": f"{story['train_seconds']:.1f}",
        "device": environment["processor"]
        if environment["device"] == "cpu"
        else environment["device"],
        "threads": str(story["recipe"].get("threads") or environment["threads"]),
        "command": f"mnistzoo train {story['model']} --recipe {story['recipe_name']} "
        f"--seed {story['seed']}{' --final' if story['final'] else ''}",
        "torch": environment["versions"]["torch"],
    }


def images_of(story: dict[str, Any]) -> str:
    return "60000" if story["final"] else "55000"


def ship(model: str, stories: dict[Path, dict[str, Any]]) -> None:
    spec = get_spec(model)
    by_validation = sorted(
        stories, key=lambda path: stories[path]["metrics"]["validation_accuracy"]
    )
    path = by_validation[(len(by_validation) - 1) // 2]
    story = stories[path]
    found = [each["metrics"]["test_accuracy"] for each in stories.values()]
    story["metrics"] |= {"test_accuracy_mean": statistics.mean(found)}
    if len(found) > 1:
        story["metrics"] |= {"test_accuracy_sd": statistics.stdev(found)}
    story["seeds"] = [each["seed"] for each in stories.values()]
    trained = create_model(model)
    load_weights(trained, path)
    folder = folder_of(model)
    assert folder is not None, f"{model} is not of plugins/"
    target = folder / spec.factory.partition(".")[0] / f"{model}.safetensors"
    save_weights(trained, target, story)
    metrics = {name: round(value, 6) for name, value in story["metrics"].items()}
    print(f"""weights=Weights(
    file="{target.name}",
    sha256="{hashlib.sha256(target.read_bytes()).hexdigest()}",
    metrics={metrics!r},
    measured="recipe {story["recipe_name"]}, {images_of(story)} training images, end of training, "
    "official test set; seed {story["seed"]}, the median of {len(found)} by validation accuracy; "
    "torch {story["environment"]["versions"]["torch"]}, {row_of(story)["device"]}, "
    "{row_of(story)["threads"]} threads",
),""")


if __name__ == "__main__":
    main()
