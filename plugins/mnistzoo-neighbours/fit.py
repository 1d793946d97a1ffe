"""Compute what the model `neighbours` stores from the 55,000 training images of MNIST.

Usage: python plugins/mnistzoo-neighbours/fit.py [--search]

Writes the weights into the plugin and prints the `Weights(...)` that it has to declare. With
--search it prints the validation accuracies by which the numbers of components and neighbours were
chosen, and writes nothing.
"""

import argparse
import hashlib
from importlib.metadata import version
from pathlib import Path

import numpy as np
from mnistzoo_neighbours.model import Neighbours
from sklearn.decomposition import PCA

from mnistzoo import Split, evaluate, load_dataset
from mnistzoo.weights import save_weights

FILE = Path(__file__).parent / "mnistzoo_neighbours" / "neighbours.safetensors"


def main() -> None:
    """Search, or fit and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--search", action="store_true")
    if parser.parse_args().search:
        search()
    else:
        ship()


def fit(model: Neighbours, train: Split) -> Neighbours:
    """Set the model's arrays from the training images and return it."""
    images = train.images.reshape(-1, 28 * 28) / 255
    # The solver without random numbers.
    pca = PCA(model.components.shape[1], svd_solver="covariance_eigh").fit(images)
    projected = pca.transform(images)
    # One unit for all components, so that distances stay in proportion; it is part of the
    # projection, and the farthest coordinate is 127 of them.
    unit = np.abs(projected).max() / 127
    model.mean = pca.mean_.astype(np.float32)
    model.components = (pca.components_.T / unit).astype(np.float32)
    model.points = np.round(projected / unit).astype(np.int8)
    model.labels = train.labels
    return model


def search() -> None:
    """Print validation accuracies; more than 50 components would not fit into 3 megabytes."""
    data = load_dataset("mnist")
    for components in (30, 40, 50):
        model = fit(Neighbours(components=components), data.train)
        for model.neighbours in range(1, 13):
            found = evaluate(model, data.validation, device="cpu").accuracy
            print(f"{components} components, {model.neighbours} neighbours: {100 * found:.2f} %")


def ship() -> None:
    """Write the weights with their metadata."""
    data = load_dataset("mnist")
    model = fit(Neighbours(), data.train)
    metrics = {
        "test_accuracy": evaluate(model, data.test, device="cpu").accuracy,
        "validation_accuracy": evaluate(model, data.validation, device="cpu").accuracy,
    }
    versions = {name: version(name) for name in ("scikit-learn", "numpy", "torch", "mnistzoo")}
    metadata = {
        "model": "neighbours",
        "plugin": "mnistzoo-neighbours",
        "plugin_version": version("mnistzoo-neighbours"),
        "fitted": f"principal components of {len(data.train)} training images, and these images",
        "dataset": data.name,
        "checksums": dict(data.checksums),
        "metrics": metrics,
        "versions": versions,
    }
    save_weights(model, FILE, metadata)
    print(f"""weights=Weights(
    file="{FILE.name}",
    sha256="{hashlib.sha256(FILE.read_bytes()).hexdigest()}",
    metrics={metrics!r},
    measured="fitted to {len(data.train)} training images, official test set; "
    "scikit-learn {versions["scikit-learn"]}",
),""")


if __name__ == "__main__":
    main()
