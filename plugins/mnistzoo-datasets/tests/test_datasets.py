"""Fashion-MNIST's real bytes where Debian's package is; the others' form from a local server."""

import contextlib
import dataclasses
import gzip
import hashlib
import http.server
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnistzoo import DataFile, Dataset, DatasetSpec, load_dataset, write_idx

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
NAMES = [
    *("fashion-mnist", "kmnist", "qmnist"),
    *("emnist-digits", "emnist-letters", "emnist-balanced"),
]


@pytest.fixture(autouse=True)
def _only_loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNISTZOO_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.mark.skipif(not DEBIAN.exists(), reason="Debian's dataset-fashion-mnist is not installed")
def test_fashion_mnist_of_debian_is_the_published_one() -> None:
    data = load_dataset("fashion-mnist")
    assert data.where() == [DEBIAN]
    assert {data.verify(file).parent for file in data.files} == {DEBIAN}
    assert np.bincount(data.train_and_validation.labels).tolist() == [6_000] * 10
    assert np.bincount(data.test.labels).tolist() == [1_000] * 10
    assert [data.classes[label] for label in data.test.labels[:4]] == [
        *("Ankle boot", "Pullover", "Trouser", "Trouser"),
    ]
    assert [len(data.train), len(data.validation), len(data.test)] == [55_000, 5_000, 10_000]


@pytest.mark.parametrize(
    ("name", "classes", "train", "test"),
    [
        ("fashion-mnist", 10, 60_000, 10_000),
        ("kmnist", 10, 60_000, 10_000),
        ("qmnist", 10, 60_000, 60_000),
        ("emnist-digits", 10, 240_000, 40_000),
        ("emnist-letters", 26, 124_800, 20_800),
        ("emnist-balanced", 47, 112_800, 18_800),
    ],
)
def test_each_is_registered_with_its_published_size_and_several_sources(
    name: str, classes: int, train: int, test: int
) -> None:
    spec = load_dataset(name).spec
    assert (len(spec.classes), spec.train_images, spec.test_images) == (classes, train, test)
    assert len(spec.sources) > 1 and all(each.startswith("https://") for each in spec.sources)


@pytest.mark.parametrize("name", NAMES)
def test_a_small_set_of_the_same_form_is_downloaded_verified_and_decoded(
    name: str, tmp_path: Path
) -> None:
    spec = load_dataset(name).spec
    count = 2 * len(spec.classes)
    images = load_dataset("mnist-10k").test.images[:count]
    labels = np.arange(count) % len(spec.classes)
    files = publish(spec, images, labels, tmp_path / "server")
    with served(tmp_path / "server") as address:
        small = dataclasses.replace(
            spec,
            train=files[:2],
            test=files[2:],
            train_images=count,
            test_images=count,
            validation_size=1,
            sources=(address,),
            folders=(),
        )
        Dataset(small).read("train", "test")
    data = Dataset(small)  # from now on out of the cache
    for split in (data.train_and_validation, data.test):
        np.testing.assert_array_equal(split.images, images)
        np.testing.assert_array_equal(split.labels, labels)
    cached = tmp_path / "cache" / ("emnist" if "emnist" in name else name)
    assert data.where() == [cached / "gzip.zip" if "emnist" in name else cached]


def publish(
    spec: DatasetSpec, images: np.ndarray, labels: np.ndarray, folder: Path
) -> tuple[DataFile, ...]:
    """Write both splits as the spec's authors do, and return the files with their checksums."""
    folder.mkdir()
    held: list[Any] = [images, labels.astype(np.uint8)]
    if spec.name.startswith("emnist"):
        held[0] = images.transpose(0, 2, 1)
    if spec.name == "emnist-letters":
        held[1] += 1
    if spec.name == "qmnist":
        held[1] = np.column_stack([labels, *[labels + 100] * 7]).astype(np.int32)
    contents = {}
    for file, array in zip((*spec.train, *spec.test), held * 2, strict=True):
        write_idx(folder / "one", array, compress=True)
        contents[file.member or f"{file.name.removesuffix('.gz')}.gz"] = (
            folder / "one"
        ).read_bytes()
    if spec.train[0].member:
        with zipfile.ZipFile(folder / "gzip.zip", "w") as archive:
            for path, content in contents.items():
                archive.writestr(path, content)
    else:
        for path, content in contents.items():
            (folder / path).write_bytes(content)
    return tuple(
        dataclasses.replace(file, checksum=checksum(file, folder))
        for file in (*spec.train, *spec.test)
    )


def checksum(file: DataFile, folder: Path) -> str:
    """Return the checksum of a file, of the same bytes as that of its authors."""
    kind, _, _ = file.checksum.partition(":")
    if file.name.endswith((".gz", ".zip")):
        content = (folder / file.name).read_bytes()
    else:
        content = gzip.decompress((folder / f"{file.name}.gz").read_bytes())
    return f"{kind}:{hashlib.new(kind, content).hexdigest()}"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on the loopback interface; yield the address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join(60)
        server.server_close()
