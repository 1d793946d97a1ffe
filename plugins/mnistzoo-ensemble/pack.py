"""Put five nets into the weights of the model `ensemble`.

Usage: python plugins/mnistzoo-ensemble/pack.py FILE.safetensors ...

The files are those of `mnistzoo train resnet_small --final --seed N`, N from 0 to 4. Writes the
weights into the plugin, in half precision, and prints the `Weights(...)` that it has to declare.
Nothing is chosen: the first five seeds are taken, whatever their accuracy.
"""

import argparse
import hashlib
from importlib.metadata import version
from pathlib import Path

from mnistzoo_ensemble.model import SEEDS, Ensemble

from mnistzoo import evaluate, load_dataset
from mnistzoo.weights import load_weights, read_metadata, save_weights

FILE = Path(__file__).parent / "mnistzoo_ensemble" / "ensemble.safetensors"


def main() -> None:
    """Pack, evaluate and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs=SEEDS, type=Path)
    files = parser.parse_args().files
    members = [read_metadata(path) for path in files]
    seeds = [each["seed"] for each in members]
    kinds = {(each["model"], each["recipe_name"], each["final"]) for each in members}
    if seeds != list(range(SEEDS)) or kinds != {("resnet_small", "default", True)}:
        parser.exit(1, f"give the final runs of resnet_small, seeds 0 to {SEEDS - 1}\n")
    model = Ensemble()
    for member, path in zip(model.members, files, strict=True):
        load_weights(member, path)
    model.half().float()  # as the file will hold it
    metrics = {"test_accuracy": evaluate(model, load_dataset("mnist-10k").test).accuracy}
    metadata = {
        "model": "ensemble",
        "plugin": "mnistzoo-ensemble",
        "plugin_version": version("mnistzoo-ensemble"),
        "members": members,
        "metrics": metrics,
    }
    save_weights(model.half(), FILE, metadata)
    print(f"""weights=Weights(
    file="{FILE.name}",
    sha256="{hashlib.sha256(FILE.read_bytes()).hexdigest()}",
    metrics={metrics!r},
    measured="seeds 0 to {SEEDS - 1} of resnet_small, recipe default, 60000 training images each, "
    "end of training, official test set",
),""")


if __name__ == "__main__":
    main()
