"""Runs that are killed at random moments, run again, and looked at.

``python tests/kills.py --times 200`` sends SIGKILL to that many runs of ``train --checkpoint``,
``export``, ``compare --train --out``, ``data download`` and ``draw``, and prints a table. All the
while a reader looks at the files that they write. Nothing may be half written, forgotten or left
over, and a second run of the same command must end as one that was never killed. Linux only.
"""

import argparse
import contextlib
import ctypes
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import processes
import safetensors
import safetensors.torch
import small_data
from hostile import install, write_weights

_PR_SET_CHILD_SUBREAPER = 36
_SECONDS_TO_END = 20  # of processes whose parent was killed
_A_MINUTE_AGO = -120  # since when a file that nobody claims may be removed by the next run


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
        done = _forked(self.words, folder, environment)
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
        return f"{told} epochs were told, {saved} saved" if saved < told else ""


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


class Reader(threading.Thread):
    """Reads files again and again while its block runs; a context.

    Attributes:
        seen: each content once.
    """

    def __init__(self, folder: Path, patterns: Sequence[str]) -> None:
        super().__init__(daemon=True)
        self.seen: set[bytes] = set()
        self._folder, self._patterns = folder, patterns
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(0.002):
            self._read()
        self._read()

    def _read(self) -> None:
        for pattern in self._patterns:
            for path in self._folder.glob(pattern):
                # What begins with a dot is being written, and no reader's business.
                if not path.name.startswith("."):
                    with contextlib.suppress(FileNotFoundError):
                        self.seen.add(path.read_bytes())

    def __enter__(self) -> "Reader":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()


class Victim:
    """A command in an environment of its own, and what it comes to when nobody kills it.

    Args:
        name: of :data:`COMMANDS`.
        place: an empty folder.
    """

    def __init__(self, name: str, place: Path) -> None:
        site = place / "site"
        install(site, [], write_weights(place / "linear.safetensors"))
        self.command = COMMANDS[name](site)
        self._place, self._site = place, site
        folder, environment = self._fresh("undisturbed")
        _forked("--version", folder, environment)  # starts what is then forked
        began = time.monotonic()
        with Reader(folder, self.command.written) as reader:
            code, said = self.command.run(folder, environment)
        self.seconds = time.monotonic() - began
        if code or not all(map(self.command.is_whole, reader.seen)):
            raise RuntimeError(f"{name} fails undisturbed, with {code}: {said}")
        self._result = self.command.result(folder)
        self._usual = {path.name for path in _left_over(folder)}  # torch's own folders

    def kill(self, number: int, moment: float) -> tuple[bool, list[str]]:
        """Kill a run after some seconds; return whether it still ran, and what was wrong."""
        folder, environment = self._fresh(str(number))
        others = _children()
        with Reader(folder, self.command.written) as reader:
            killed = _forked(self.command.words, folder, environment, limit=moment)
        faults = [f"process {each} lives on" for each in _those_that_live_on(others)]
        faults += self._halves("the killed run", reader)
        if lost := self.command.lost(folder, killed.stderr):
            faults.append(lost)
        for path in _left_over(folder):
            os.utime(path, (time.time() + _A_MINUTE_AGO,) * 2)
        with Reader(folder, self.command.written) as reader:
            code, said = self.command.run(folder, environment)
        faults += self._halves("the next run", reader)
        left_over = [path for path in _left_over(folder) if path.name not in self._usual]
        faults += [f"{path.relative_to(folder)} is left over" for path in left_over]
        if code:
            faults.append(f"the next run ended with {code}: {said}")
        elif self.command.result(folder) != self._result:
            faults.append("the next run has another result")
        return killed.returncode == -signal.SIGKILL, faults

    def _halves(self, whose: str, reader: Reader) -> list[str]:
        unsound = [each for each in reader.seen if not self.command.is_whole(each)]
        return [f"of {whose} a reader saw half a file, {len(each)} bytes" for each in unsound]

    def _fresh(self, name: str) -> tuple[Path, dict[str, str]]:
        folder = self._place / name
        for each in ("work", "home", "tmp", "cache"):
            (folder / each).mkdir(parents=True)
        plugins = (each.name for each in distributions(path=[str(self._site)]))
        return folder, os.environ | {
            "PYTHONPATH": str(self._site),
            "MNISTZOO_PLUGINS": ",".join(plugins),
            "MNISTZOO_CACHE_DIR": str(folder / "cache"),
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
        }


def _forked(
    words: str, folder: Path, environment: Mapping[str, str], limit: float = processes.LIMIT
) -> "subprocess.CompletedProcess[str]":
    return processes.run_module(
        "mnistzoo", *words.split(), env=environment, cwd=folder / "work", limit=limit
    )


def _left_over(folder: Path) -> list[Path]:
    """Return what a run that ended well would have removed."""
    return [*folder.glob("tmp/*"), *folder.glob("work/**/.*"), *folder.glob("cache/**/.*")]


def _children() -> set[int]:
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return set(map(int, text.split()))


def _those_that_live_on(before: set[int]) -> set[int]:
    """Wait for what a killed process has left, which became our children; return what stays."""
    until = time.monotonic() + _SECONDS_TO_END
    while (left := _children() - before) and time.monotonic() < until:
        for number in left:
            os.waitpid(number, os.WNOHANG)
        time.sleep(0.01)
    for number in left:
        os.kill(number, signal.SIGKILL)
    return left


@contextlib.contextmanager
def adopting() -> Iterator[None]:
    """Become, for the block, the parent of processes whose own was killed."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commands", nargs="*", help=f"of {', '.join(COMMANDS)}; all without")
    parser.add_argument("--times", type=int, default=200, help="kills of running processes, in all")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    names = chosen.commands or list(COMMANDS)
    whole = sum(COMMANDS[name].share for name in names)
    print("| command | kills | ended before | took s | faults |\n|---|---|---|---|---|")
    with adopting():
        for name in names:
            _kill_often(name, round(chosen.times * COMMANDS[name].share / whole), chosen.seed)


def _kill_often(name: str, times: int, seed: int) -> None:
    began, running, tried = time.monotonic(), 0, 0
    faults: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        victim = Victim(name, Path(place))
        chances = random.Random(f"{seed} {name}")
        while running < times:
            moment = chances.uniform(0.05, 1) * victim.seconds
            ran, found = victim.kill(tried, moment)
            running, tried = running + ran, tried + 1
            faults.update(found)
            for each in found:
                when = f"{name} after {moment:.3f} of {victim.seconds:.3f} s"
                print(f"{when}: {each}", file=sys.stderr)
        victim.command.close()
    seconds = time.monotonic() - began
    print(
        f"| {name} | {running} | {tried - running} | {seconds:.0f} | {faults.total()} |", flush=True
    )


if __name__ == "__main__":
    main()
