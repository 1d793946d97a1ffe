"""Other libraries beside mnistzoo, at the same work: pip install ".[peers]"."""

import dataclasses
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from plain_loop import plain_train
from pytest_benchmark.fixture import BenchmarkFixture
from torch import nn

from mnistzoo import (
    Dataset,
    Predictor,
    Recipe,
    Split,
    create_model,
    get_recipe,
    get_spec,
    list_models,
    load_model,
    read_idx,
    train,
    write_idx,
)

needs_mnistnet = pytest.mark.skipif(
    "mnistnet" not in list_models(), reason="needs the plugin mnistzoo-mnistnet"
)


@pytest.fixture
def folder(data: Dataset, tmp_path: Path) -> Path:
    """Return a folder with the 10,000 test images and labels, plain and gzipped."""
    for name, array in (
        ("t10k-images-idx3-ubyte", data.test.images),
        ("t10k-labels-idx1-ubyte", data.test.labels),
    ):
        write_idx(tmp_path / name, array)
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    return tmp_path


def read_ours(folder: Path, suffix: str) -> NDArray[np.uint8]:
    images = read_idx(folder / f"t10k-images-idx3-ubyte{suffix}")
    return images if suffix else np.array(images)  # a plain file is only mapped; the others copy


def read_floor(folder: Path, suffix: str) -> NDArray[np.uint8]:
    """Read the bytes and nothing else; the header is known."""
    path = folder / f"t10k-images-idx3-ubyte{suffix}"
    if suffix:
        with gzip.open(path) as stream:
            return np.frombuffer(stream.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    return np.fromfile(path, np.uint8, offset=16).reshape(-1, 28, 28)


def read_idx2numpy(folder: Path, suffix: str) -> NDArray[np.uint8]:
    idx2numpy = pytest.importorskip("idx2numpy")
    path = folder / f"t10k-images-idx3-ubyte{suffix}"
    if not suffix:
        return idx2numpy.convert_from_file(str(path))
    with gzip.open(path) as stream:
        return idx2numpy.convert_from_string(stream.read())


def read_python_mnist(folder: Path, suffix: str) -> NDArray[np.uint8]:
    loader = pytest.importorskip("mnist").MNIST(str(folder), mode="vanilla", return_type="numpy")
    loader.gz = bool(suffix)
    images, _ = loader.load_testing()
    return np.asarray(images).reshape(-1, 28, 28)


def read_mlxtend(folder: Path, suffix: str) -> NDArray[np.uint8]:
    loader = pytest.importorskip("mlxtend.data").loadlocal_mnist
    images, _ = loader(
        str(folder / f"t10k-images-idx3-ubyte{suffix}"),
        str(folder / f"t10k-labels-idx1-ubyte{suffix}"),
    )
    return images.reshape(-1, 28, 28)


READERS = {
    "floor": read_floor,
    "mnistzoo": read_ours,
    "idx2numpy": read_idx2numpy,
    "python-mnist": read_python_mnist,
    "mlxtend": read_mlxtend,
}


@pytest.mark.parametrize("suffix", ["", ".gz"], ids=["plain", "gzip"])
@pytest.mark.parametrize("reader", READERS)
def test_reading(
    benchmark: BenchmarkFixture, reader: str, suffix: str, folder: Path, data: Dataset
) -> None:
    """The floor is numpy.fromfile, or zlib through the standard library's gzip."""
    if reader == "mlxtend" and suffix:
        pytest.skip("mlxtend reads no gzipped file")
    benchmark.group = f"peers: read 10,000 images, {'gzip' if suffix else 'plain'}"
    read = READERS[reader]
    read(folder, suffix)
    rounds = 7 if reader == "python-mnist" else 100  # which takes the better part of a second
    images = benchmark.pedantic(read, (folder, suffix), rounds=rounds, warmup_rounds=1)
    assert np.array_equal(images, data.test.images)


def plain_loop(recipe: Recipe, data: Split) -> nn.Module:
    model = create_model("mnistnet")
    plain_train(model, recipe, data)
    return model


def ours(recipe: Recipe, data: Split) -> nn.Module:
    return train("mnistnet", data, recipe, device="cpu").model


def skorch(recipe: Recipe, data: Split) -> nn.Module:
    classifier = pytest.importorskip("skorch").NeuralNetClassifier(
        create_model("mnistnet"),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=recipe.learning_rate,
        batch_size=recipe.batch_size,
        max_epochs=recipe.epochs,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    images = data.images[:, None].astype(np.float32) / 255
    classifier.fit(images, data.labels.astype(np.int64))
    return classifier.module_


@needs_mnistnet
@pytest.mark.parametrize("loop", [plain_loop, ours, skorch])
@pytest.mark.benchmark(group="peers: train mnistnet for 2 epochs of 10,000 images")
def test_training(
    benchmark: BenchmarkFixture, loop: Callable[[Recipe, Split], nn.Module], data: Dataset
) -> None:
    recipe = dataclasses.replace(get_recipe(get_spec("mnistnet"), "reference"), epochs=2)
    train_images = data.train_and_validation
    model = benchmark.pedantic(loop, (recipe, train_images), rounds=3, warmup_rounds=1).eval()
    with torch.inference_mode():
        logits = model(torch.from_numpy((data.test.images[:, None] / 255).astype(np.float32)))
    assert (logits.argmax(1).numpy() == data.test.labels).mean() > 0.88


@needs_mnistnet
@pytest.mark.parametrize("runtime", ["numpy", "eager", "onnx"])
@pytest.mark.benchmark(group="peers: mnistnet, one image", max_time=0.5, warmup=True)
def test_one_image(
    benchmark: BenchmarkFixture,
    runtime: str,
    inputs: Callable[[int], NDArray[np.float32]],
    onnx_files: Callable[[str, bool], Path],
) -> None:
    """Through Python, from a float32 image to logits; numpy does the three products and no more."""
    image = inputs(1)
    model = load_model("mnistnet")
    with torch.inference_mode():
        expected = model(torch.from_numpy(image)).numpy()
        layers = [
            (layer.weight.numpy().T.copy(), layer.bias.numpy())
            for layer in model.modules()
            if isinstance(layer, nn.Linear)
        ]

        def products(images: NDArray[np.float32]) -> NDArray[np.float32]:
            features = images.reshape(len(images), -1)
            for weight, bias in layers[:-1]:
                features = np.maximum(features @ weight + bias, 0)
            weight, bias = layers[-1]
            return features @ weight + bias

        if runtime == "eager":
            logits = benchmark(model, torch.from_numpy(image)).numpy()
        else:
            call = (
                products if runtime == "numpy" else Predictor(onnx_files("mnistnet", False)).logits
            )
            logits = benchmark(call, image)
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)
