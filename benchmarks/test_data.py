"""Reading IDX files, loading data sets, augmentation, and the start of the command line."""

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from mnistzoo import Dataset, load_dataset, read_idx, write_idx
from mnistzoo.inputs import to_input
from mnistzoo.recipe import Augmentation
from mnistzoo.training.augment import augment


@pytest.fixture
def files(data: Dataset, tmp_path: Path) -> dict[str, Path]:
    """Return the 10,000 test images as a plain IDX file and a gzipped one."""
    plain, gzipped = tmp_path / "images", tmp_path / "images.gz"
    write_idx(plain, data.test.images)
    gzipped.write_bytes(gzip.compress(plain.read_bytes()))
    return {"plain": plain, "gzip": gzipped}


@pytest.mark.parametrize("kind", ["plain", "gzip"])
@pytest.mark.benchmark(group="read 10,000 images")
def test_read_idx(
    benchmark: BenchmarkFixture, kind: str, files: dict[str, Path], data: Dataset
) -> None:
    def read() -> NDArray[np.uint8]:
        return np.array(read_idx(files[kind]))

    images = benchmark(read)
    assert np.array_equal(images, data.test.images)


@pytest.mark.benchmark(group="load the data set")
def test_load_dataset(benchmark: BenchmarkFixture) -> None:
    def load() -> tuple[int, int, int]:
        data = load_dataset("mnist-10k")
        return len(data.train), len(data.validation), len(data.test)

    assert benchmark(load) == (9_000, 1_000, 10_000)


@pytest.mark.parametrize("kind", ["affine", "elastic", "erasing"])
@pytest.mark.benchmark(group="augment 128 images")
def test_augment(benchmark: BenchmarkFixture, kind: str, data: Dataset) -> None:
    strengths: dict[str, dict[str, Any]] = {
        "affine": {"rotation": 10, "scale": 0.1, "shift": 2, "shear": 10},
        "elastic": {"elastic": 0.5},
        "erasing": {"erasing": 0.5},
    }
    amount = Augmentation(**strengths[kind])
    images = to_input(data.train[:128].tensors()[0])
    generator = torch.Generator().manual_seed(0)
    changed = benchmark(augment, images, amount, generator)
    assert changed.shape == images.shape and changed.min() >= 0 and changed.max() <= 1
    assert not torch.equal(changed, images)


@pytest.mark.parametrize("command", ["--help", "models"])
@pytest.mark.benchmark(group="start of the command line")
def test_command_line(benchmark: BenchmarkFixture, command: str) -> None:
    words = [sys.executable, "-m", "mnistzoo", command]
    done = benchmark.pedantic(
        subprocess.run, (words,), {"capture_output": True, "text": True}, rounds=5
    )
    assert done.returncode == 0 and ("Usage" if command == "--help" else "model") in done.stdout
