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
from typing import Any

from first_party import folder_of
from torch import nn

from mnistzoo import evaluate, get_recipe, get_spec, load_dataset, load_model
from mnistzoo.report import counted
from mnistzoo.weights import read_story, save_weights

RUNS = Path(__file__).parent.parent / "benchmarks" / "training_runs.csv"


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
    if recipe.replace(**story["recipe"]) != recipe.replace(seed=story["seed"]):
        return f"was not trained by the recipe {story['recipe_name']} as it is now; train it again"
    if not story["complete"]:
        return f"was stopped after epoch {story['epochs_completed']}; train it to its end"
    if not story["evaluated"]:
        return "was not evaluated on the test set; train it again"
    if ship and story["dataset"] != "mnist":
        return f"was trained on {story['dataset']}; ship what was trained on the full MNIST"
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
    path, chosen = which(stories)
    story = stories[path]
    found = [each["metrics"]["test_accuracy"] for each in stories.values()]
    story["metrics"] |= {"test_accuracy_mean": statistics.mean(found)}
    if len(found) > 1:
        story["metrics"] |= {"test_accuracy_sd": statistics.stdev(found)}
    story["seeds"] = [each["seed"] for each in stories.values()]
    folder = folder_of(model)
    assert folder is not None, f"{model} is not of plugins/"
    target = folder / spec.factory.partition(":")[0].partition(".")[0] / f"{model}.safetensors"
    save_weights(smallest(load_model(model, path)), target, story)
    metrics = {name: round(value, 6) for name, value in story["metrics"].items()}
    print(f"""weights=Weights(
    file="{target.name}",
    sha256="{hashlib.sha256(target.read_bytes()).hexdigest()}",
    metrics={metrics!r},
    measured="recipe {story["recipe_name"]}, {images_of(story)} training images, end of training, "
    "official test set; seed {story["seed"]}, {chosen}; "
    "torch {story["environment"]["versions"]["torch"]}, {row_of(story)["device"]}, "
    "{counted(story["train_threads"], "thread")}",
),""")


def which(stories: dict[Path, dict[str, Any]]) -> tuple[Path, str]:
    """Return the file that is shipped, and why it is that one."""
    if any(story["final"] for story in stories.values()):
        return min(stories, key=lambda path: stories[path]["seed"]), f"the first of {len(stories)}"
    ranked = sorted(stories, key=lambda path: stories[path]["metrics"]["validation_accuracy"])
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
