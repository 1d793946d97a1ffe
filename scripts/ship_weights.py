"""Put the weights of a model's runs into its plugin, and the runs into the table of all runs.

Usage: python scripts/ship_weights.py FILE.safetensors ...

The files are what `mnistzoo train` saved for one model by one recipe, one a seed. Shipped are the
weights of the seed whose validation accuracy is the median (of an even number the lower of the
two), with mean and standard deviation over the seeds in their metadata. Prints the `Weights(...)`
that the plugin has to declare.

With --only-record the runs go into the table and nothing is shipped. Shipped is only what was
trained on 55,000 images of the full MNIST, so that the validation accuracy means something.
"""

import argparse
import csv
import dataclasses
import hashlib
import statistics
from pathlib import Path
from typing import Any

from mnistzoo import get_recipe, get_spec
from mnistzoo.report import counted
from mnistzoo.weights import load_weights, read_story, save_weights
from mnistzoo.zoo import create_model

RUNS = Path(__file__).parent.parent / "benchmarks" / "training_runs.csv"
PLUGINS = Path(__file__).parent.parent / "plugins"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--only-record", action="store_true")
    options = parser.parse_args()
    stories = {path: read_story(path) for path in options.files}
    for path, story in stories.items():
        if problem := what_is_wrong(story, ship=not options.only_record):
            parser.exit(1, f"{path} {problem}\n")
    kinds = {(each["model"], each["recipe_name"], images_of(each)) for each in stories.values()}
    if len(kinds) > 1:
        parser.exit(1, f"the files are of several kinds of runs, give those of one: {kinds}\n")
    ((model, recipe, _),) = kinds
    if not options.only_record:
        ship(model, stories)
    record(model, recipe, list(stories.values()))


def what_is_wrong(story: dict[str, Any], *, ship: bool) -> str:
    """Return why a run must not be recorded, or not be shipped; empty if it may."""
    if "training_images" not in story:
        return "does not say how many images it was trained on; train it again"
    recipe = get_recipe(get_spec(story["model"]), story["recipe_name"])
    if story["recipe"] != dataclasses.asdict(recipe) | {"seed": story["seed"]}:
        return f"was not trained by the recipe {story['recipe_name']} as it is now; train it again"
    if not story["complete"]:
        return f"was stopped after epoch {story['epochs_completed']}; train it to its end"
    if not story["evaluated"]:
        return "was not evaluated on the test set; train it again"
    if ship and story["dataset"] != "mnist":
        return f"was trained on {story['dataset']}; ship what was trained on the full MNIST"
    if ship and story["final"]:
        return "has no validation accuracy, being a final run; record it with --only-record"
    return ""


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
        "threads": str(story["train_threads"]),
        "command": f"mnistzoo train {story['model']} --recipe {story['recipe_name']} "
        f"--seed {story['seed']}{' --final' if story['final'] else ''}"
        f"{'' if story['dataset'] == 'mnist' else ' --dataset ' + story['dataset']}",
        "torch": environment["versions"]["torch"],
    }


def images_of(story: dict[str, Any]) -> str:
    return str(story["training_images"])


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
    module = spec.factory.partition(":")[0].partition(".")[0]
    (folder,) = PLUGINS.glob(f"*/{module}")
    target = folder / f"{model}.safetensors"
    save_weights(trained, target, story)
    metrics = {name: round(value, 6) for name, value in story["metrics"].items()}
    print(f"""weights=Weights(
    file="{target.name}",
    sha256="{hashlib.sha256(target.read_bytes()).hexdigest()}",
    metrics={metrics!r},
    measured="recipe {story["recipe_name"]}, {images_of(story)} training images, end of training, "
    "official test set; seed {story["seed"]}, the median of {len(found)} by validation accuracy; "
    "torch {story["environment"]["versions"]["torch"]}, {row_of(story)["device"]}, "
    "{counted(story["train_threads"], "thread")}",
),""")


if __name__ == "__main__":
    main()
