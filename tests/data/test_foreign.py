"""MNIST in other formats: what an error and docs/data.md show turns it into IDX."""

import gzip
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from documents import ROOT, blocks, run

from mnistzoo import load_dataset, read_idx
from mnistzoo.data import DataError, IdxError

DATA = load_dataset("mnist-10k")
IMAGES, LABELS = DATA.test.images, DATA.test.labels
SOME = DATA.train[:50]
PUBLISHED = {file.name: file.checksum.removeprefix("sha256:") for file in DATA.spec.test}


def write_csv(path: Path, images: np.ndarray, labels: np.ndarray, headings: bool) -> None:
    table = np.column_stack([labels, images.reshape(len(images), -1)])
    names = ",".join(["label", *(f"{y}x{x}" for y in range(1, 29) for x in range(1, 29))])
    np.savetxt(path, table, "%d", ",", header=names if headings else "", comments="")


def write_pickle(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    floats = (images.reshape(-1, 784) / 256).astype(np.float32)
    train = (SOME.images.reshape(-1, 784) / 256).astype(np.float32)
    sets = [
        (train[:40], SOME.labels[:40].astype("i8")),
        (train[40:], SOME.labels[40:].astype("i8")),
    ]
    content = pickle.dumps((*sets, (floats, labels.astype("i8"))), protocol=4)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_npz(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    with path.open("wb") as stream:  # given a path, numpy would add .npz to .NPZ
        np.savez(stream, x_train=SOME.images, y_train=SOME.labels, x_test=images, y_test=labels)


def write(path: Path, count: int) -> None:
    images, labels = IMAGES[:count], LABELS[:count]
    match path.name.lower().removesuffix(".gz").rpartition(".")[2]:
        case "csv":
            write_csv(path, images, labels, headings="headings" in path.name)
        case "npz":
            write_npz(path, images, labels)
        case _:
            write_pickle(path, images, labels)


def convert(message: str, folder: Path) -> np.ndarray:
    """Run the line of Python that a message names, and return what it wrote."""
    (code,) = re.findall(r"in Python `(.+?)` turns", message)
    assert "\n" not in code
    run(["python", "-c", code], folder)
    return read_idx(folder / "t10k-images-idx3-ubyte")


NAMES = [
    *("mnist_test.csv", "with headings.csv", "mnist's.npz", "mnist.pkl.gz"),
    *("MNIST.NPZ", "mnist.pkl", "with headings.csv.gz"),
]


@pytest.mark.parametrize("name", NAMES)
def test_the_line_in_the_error_of_read_idx_turns_the_file_into_idx(
    name: str, tmp_path: Path
) -> None:
    write(tmp_path / name, 7)
    with pytest.raises(IdxError, match="is not an IDX file") as caught:
        read_idx(tmp_path / name)
    np.testing.assert_array_equal(convert(str(caught.value), tmp_path), IMAGES[:7])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("named", ["its folder", "itself"])
def test_so_does_the_line_where_it_lies_in_the_data_dir_or_is_named_as_one(
    name: str, named: str, tmp_path: Path
) -> None:
    write(tmp_path / name, 7)
    data = load_dataset("mnist", tmp_path / name if named == "itself" else tmp_path)
    with pytest.raises(DataError, match=rf"there is {re.escape(name)}, and") as caught:
        data.read("test")
    np.testing.assert_array_equal(convert(str(caught.value), tmp_path), IMAGES[:7])


def test_a_csv_of_training_images_becomes_the_file_of_training_images(tmp_path: Path) -> None:
    write(tmp_path / "mnist_train.csv", 7)
    with pytest.raises(DataError, match="turns the training images") as caught:
        load_dataset("mnist", tmp_path).read("train")
    (code,) = re.findall(r"in Python `(.+?)` turns", str(caught.value))
    run(["python", "-c", code], tmp_path)
    np.testing.assert_array_equal(read_idx(tmp_path / "train-images-idx3-ubyte"), IMAGES[:7])


@pytest.mark.parametrize("name", ["notes.txt", "model.safetensors", "digits.png", "mnist"])
def test_another_file_gets_no_such_line(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(IdxError, match="expected 00 00") as caught:
        read_idx(tmp_path / name)
    with pytest.raises(DataError, match="is not in") as missing:
        load_dataset("mnist", tmp_path).read("test")
    assert "in Python" not in f"{caught.value} {missing.value}"


@pytest.mark.parametrize(
    ("marker", "files"),
    [
        (".csv", ["mnist_train.csv", "mnist_test.csv"]),
        (".npz", ["mnist.npz"]),
        (".pkl.gz", ["mnist.pkl.gz"]),
    ],
)
def test_what_the_page_shows_makes_the_published_files(
    marker: str, files: list[str], tmp_path: Path
) -> None:
    for name in files:
        if marker == ".csv":
            images, labels = (SOME.images, SOME.labels) if "train" in name else (IMAGES, LABELS)
            write_csv(tmp_path / name, images, labels, headings=True)
        else:
            write(tmp_path / name, len(IMAGES))
    snippets = [block.text for block in blocks(ROOT / "docs" / "data.md", "python")]
    (snippet,) = [text for text in snippets if marker in text]
    run(["python", "-c", snippet], tmp_path)
    data = load_dataset("mnist", tmp_path)
    for file in data.files:
        if file.name in PUBLISHED:
            assert data.verify(file) == tmp_path / file.name
    np.testing.assert_array_equal(read_idx(tmp_path / "train-images-idx3-ubyte"), SOME.images)
    np.testing.assert_array_equal(read_idx(tmp_path / "train-labels-idx1-ubyte"), SOME.labels)
    assert len(os.listdir(tmp_path)) == len(files) + 4
