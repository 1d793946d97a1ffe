"""Runs that are killed at random moments, run again, and looked at.

``python tests/kills.py --times 200`` sends SIGKILL to that many runs of ``train --checkpoint``,
``export``, ``compare --train --out``, ``data download`` and ``draw``, and prints a table. All the
while a reader looks at the files that they write. Nothing may be half written, forgotten or left
over, and a second run of the same command must end as one that was never killed. Linux only.
"""

import argparse
import contextlib
import ctypes
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import distributions
from pathlib import Path

from hostile import install, write_weights
from killed_commands import COMMANDS, forked

_PR_SET_CHILD_SUBREAPER = 36
_SECONDS_TO_END = 20  # of processes whose parent was killed
_A_MINUTE_AGO = -120  # since when a file that nobody claims may be removed by the next run


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
        forked("--version", folder, environment)  # starts what is then forked
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
            killed = forked(self.command.words, folder, environment, limit=moment)
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
