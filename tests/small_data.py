"""A small data set of 26 letters in files of every published form, and who registers and serves it.

The images are MNIST's, the labels made up: what matters is the form.
"""

import contextlib
import gzip
import hashlib
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistzoo import DataFile, DatasetSpec, hookimpl, load_dataset, register_plugin
from mnistzoo.data.idx import idx_bytes
from mnistzoo.plugins import unregister_plugin

LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def arrays(train: int = 104, test: int = 52, classes: int = 26) -> list[NDArray[Any]]:
    """Return images and labels of both sets; each class is there equally often."""
    data = load_dataset("mnist-10k")
    found: list[NDArray[Any]] = []
    for split, count in ((data.train, train), (data.test, test)):
        found += [split.images[:count], (np.arange(count) % classes).astype(np.uint8)]
    return found


def plain(found: list[NDArray[Any]]) -> dict[str, bytes]:
    """Return the four IDX files."""
    return {name: idx_bytes(array) for name, array in zip(NAMES, found, strict=True)}


def gzipped(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files gzipped, under their names with ``.gz``."""
    return {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in files.items()}


def zipped(files: Mapping[str, bytes], path: Path) -> dict[str, bytes]:
    """Return an archive ``all.zip`` of the files, in a folder ``gzip`` in it."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"gzip/{name}", content)
    return {"all.zip": path.read_bytes()}


def checksum(content: bytes, kind: str = "md5") -> str:
    return f"{kind}:{hashlib.new(kind, content).hexdigest()}"


def spec(files: list[DataFile], **changes: Any) -> DatasetSpec:
    """Return a spec of the four files in the order of :data:`NAMES`."""
    declared: dict[str, Any] = {
        "name": "small-letters",
        "summary": "Made up for tests",
        "classes": LETTERS,
        "train": tuple(files[:2]),
        "test": tuple(files[2:]),
        "train_images": 104,
        "test_images": 52,
        "validation_size": 26,
        "license": "CC0-1.0",
    }
    return DatasetSpec(**declared | changes)


@contextlib.contextmanager
def registered(*specs: DatasetSpec, plugin: str = "small") -> Iterator[None]:
    """Register data sets for the block."""

    class Plugin:
        @hookimpl
        def register_datasets(self, register: Callable[[DatasetSpec], None]) -> None:
            for each in specs:
                register(each)

    register_plugin(Plugin(), plugin)
    try:
        yield
    finally:
        unregister_plugin(plugin)


@contextlib.contextmanager
def served(files: Mapping[str, bytes], seconds: float = 0) -> Iterator[tuple[str, list[str]]]:
    """Serve files on the loopback interface; yield the address and which were asked for.

    Each takes some ``seconds``, if there is to be time for something to happen meanwhile.
    """
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path[1:])
            content = files[self.path[1:]]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # of a client that was killed
                for part in (content[: len(content) // 2], content[len(content) // 2 :]):
                    self.wfile.write(part)
                    time.sleep(seconds / 2)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        thread.join(60)
        server.server_close()


def as_emnist(images: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Decode transposed images and labels counted from 1."""
    return images.transpose(0, 2, 1), labels - 1


def failing(images: NDArray[Any], labels: NDArray[Any]) -> None:
    raise LookupError("no such letter")


def put(folder: Path) -> None:
    for name, content in plain(arrays()).items():
        (folder / name).write_bytes(content)
