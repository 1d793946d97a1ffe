"""The commands that kills.py kills: how each is run, and what it leaves."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import processes
import safetensors
import safetensors.torch
import small_data


class Command(ABC):
    """A command that is killed.

    Attributes:
        words: of it.
        share: of all kills.
        written: patterns of the files that it writes, in its folder ``work`` or beside it.
    """

    words: str
    share: float
    written: Sequence[str]

    def __init__(self, site: Path) -> None:  # noqa: B027 (most need nothing)
        """Install what it needs beside the sound models of hostile.py."""

    @abstractmethod
    def is_whole(self, content: bytes) -> bool:
        """Say whether a reader can do something with a file that it wrote."""

    @abstractmethod
    def result(self, folder: Path) -> Any:
        """Return all that a run left that does not depend on the time."""

    def run(self, folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
        """Run it to its end; return its exit code and what it said."""
        done = forked(self.words, folder, environment)
        return done.returncode, done.stderr

    def lost(self, folder: Path, said: str) -> str:
        """Return what is lost of a run that was killed, which said this; empty if nothing is."""
        return ""

    def close(self) -> None:  # noqa: B027
        """End what it needed."""


class Train(Command):
    words = (
        "train sound_a --dataset mnist-10k --epochs 6 --set shift=2 --set ema_decay=0.9 "
        "--set batch_size=500 --set threads=1 -o w.safetensors --checkpoint state --resume "
        "--json facts.json"
    )
    share = 0.3
    written = ("work/w.safetensors", "work/facts.json", "work/state/*")

    def is_whole(self, content: bytes) -> bool:
        return _is_whole_json(content) or _is_whole_safetensors(content)

    def result(self, folder: Path) -> Any:
        facts = json.loads((folder / "work/facts.json").read_text())
        history = [{**each, "seconds": 0} for each in facts["history"]]
        return history, facts["metrics"], _tensors(folder / "work/w.safetensors")

    def lost(self, folder: Path, said: str) -> str:
        told, saved = said.count("epoch "), 0
        with contextlib.suppress(FileNotFoundError):
            path = folder / "work/state/checkpoint.safetensors"
            with safetensors.safe_open(path, framework="numpy") as file:
                saved = len(json.loads(file.metadata()["mnistzoo-checkpoint"])["epochs"])
        return f"{told} epochs were reported, {saved} saved" if saved < told else ""


class Export(Command):
    words = "export sound_a -o m.onnx"
    share = 0.2
    written = ("work/m.onnx",)

    def __init__(self, site: Path) -> None:
        self._seen: bytes | None = None

    def is_whole(self, content: bytes) -> bool:
        self._seen = self._seen or content  # the first run's, which was not killed
        return content == self._seen

    def result(self, folder: Path) -> Any:
        return (folder / "work/m.onnx").read_bytes()


class Compare(Command):
    words = "compare sound_a sound_b --train --seeds 2 --dataset mnist-10k --out runs --json c.json"
    share = 0.1
    written = ("work/c.json", "work/runs/*")

    def is_whole(self, content: bytes) -> bool:
        return _is_whole_json(content) or _is_whole_safetensors(content)

    def result(self, folder: Path) -> Any:
        rows = json.loads((folder / "work/c.json").read_text())["models"]
        accuracies = [(row["name"], row["accuracy"], row["error"]) for row in rows]
        files = sorted((folder / "work/runs").iterdir())
        return accuracies, [(path.name, _tensors(path)) for path in files]


class Download(Command):
    words = "data download --dataset killed-letters --data-dir data"
    share = 0.3
    written = ("work/data/*",)

    def __init__(self, site: Path) -> None:
        self._files = small_data.plain(small_data.arrays())
        checksums = {name: small_data.checksum(each) for name, each in self._files.items()}
        self._serving = small_data.served(small_data.gzipped(self._files), seconds=0.15)
        address, _ = self._serving.__enter__()
        package, metadata = site / "letters", site / "letters-1.0.dist-info"
        package.mkdir()
        metadata.mkdir()
        (package / "__init__.py").write_text(_LETTERS.format(files=checksums, address=address))
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: letters\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[mnistzoo]\nplugin = letters\n")

    def is_whole(self, content: bytes) -> bool:
        return content in self._files.values()

    def result(self, folder: Path) -> Any:
        return {path.name: path.read_bytes() for path in (folder / "work/data").glob("[!.]*")}

    def close(self) -> None:
        self._serving.__exit__(None, None, None)


_LETTERS = """\
from mnistzoo import DataFile, DatasetSpec, hookimpl

@hookimpl
def register_datasets(register):
    files = tuple(DataFile(name, checksum) for name, checksum in {files!r}.items())
    register(DatasetSpec(
        name="killed-letters", summary="", classes=tuple("abcdefghijklmnopqrstuvwxyz"),
        train=files[:2], test=files[2:], train_images=104, test_images=52, validation_size=26,
        sources=({address!r},),
    ))
"""


class Draw(Command):
    share = 0.1
    written = ("cache/onnx/*",)

    def __init__(self, site: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.words = f"draw sound_a --no-open --port {self._port}"
        self._seen: bytes | None = None

    def is_whole(self, content: bytes) -> bool:
        self._seen = self._seen or content
        return content == self._seen

    def result(self, folder: Path) -> Any:
        return {path.name: path.read_bytes() for path in (folder / "cache/onnx").glob("[!.]*")}

    def run(self, folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
        """Serve on the same port until the model is ready, and end it as Ctrl-C does."""
        words = [sys.executable, "-m", "mnistzoo", *self.words.split()]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with processes.started(
            words, limit=120, env=environment, cwd=folder / "work", **pipes
        ) as process:
            while process.poll() is None and not self._is_ready():
                time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate()
        return process.returncode, said

    def _is_ready(self) -> bool:
        address = f"http://127.0.0.1:{self._port}/api/models"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return bool(json.load(answer)["models"][0]["ready"])
        except OSError:  # it does not listen yet
            return False


COMMANDS: Mapping[str, type[Command]] = {
    "train": Train,
    "export": Export,
    "compare": Compare,
    "download": Download,
    "draw": Draw,
}


def _is_whole_json(content: bytes) -> bool:
    try:
        return bool(json.loads(content))
    except ValueError:
        return False


def _is_whole_safetensors(content: bytes) -> bool:
    try:
        return bool(safetensors.torch.load(content))
    except safetensors.SafetensorError:
        return False


def _tensors(path: Path) -> dict[str, bytes]:
    return {
        name: tensor.numpy().tobytes() for name, tensor in safetensors.torch.load_file(path).items()
    }


def forked(
    words: str, folder: Path, environment: Mapping[str, str], limit: float = processes.LIMIT
) -> "subprocess.CompletedProcess[str]":
    """Run words of mnistzoo in a fork; it is killed at the limit, in seconds."""
    return processes.run_module(
        "mnistzoo", *words.split(), env=environment, cwd=folder / "work", limit=limit
    )
