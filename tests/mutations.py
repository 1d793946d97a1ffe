"""Damaged files of every kind that the zoo reads: refused in one sentence, in bounded memory.

``python tests/mutations.py --count 1000000`` mutates that many, in ten minutes, and prints a table;
another ``--seed`` mutates others. Anything but a result or one of the zoo's own errors in one
printable line is a fault, and so is a crash, more memory than damaged.py allows (250 MB, of some
kinds more), or more than ten seconds. Linux only.
"""

import argparse
import contextlib
import json
import mmap
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import torch
from damaged import KINDS, Kind, samples_of

from mnistzoo import MnistzooError

_GUARD = 4 * 2**30  # so that a fault does not end the machine
_MOST_SECONDS, _HANGS_AFTER = 10, 60
_BATCH = 5_000  # cases a process
_STARTLING = (0, 1, 0x7F, 0x80, 0xFF)
_STARTLING_INTEGERS = (0, 1, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63)


def mutated(name: str, seed: int, number: int) -> bytes:
    """Return the damaged file with this number.

    It is the same each time, except that old PyTorch files hold addresses of their process.
    """
    chances = random.Random(f"{seed} {name} {number}")
    samples = samples_of(name)
    content = bytearray(chances.choice(samples))
    for _ in range(chances.choice((1, 1, 1, 2, 3, 8))):
        _mutate(content, chances, chances.choice(samples))
    return KINDS[name].packed(bytes(content))


def _mutate(content: bytearray, chances: random.Random, other: bytes) -> None:
    """Change bytes, more often those near the beginning, where a file says what is in it."""
    place = int(len(content) * chances.random() ** chances.choice((1, 3)))
    length = min(1 + int(chances.expovariate(0.1)), len(content) - place)
    match chances.randrange(8):
        case 0 if content:
            content[place] ^= 1 << chances.randrange(8)
        case 1 if content:
            content[place] = chances.choice(_STARTLING)
        case 2:
            del content[place:]
        case 3:
            del content[place : place + length]
        case 4:
            content[place:place] = content[place : place + length] * chances.choice((1, 100))
        case 5:
            content[place:place] = chances.randbytes(length)
        case 6:
            size, order = chances.choice((2, 4, 8)), chances.choice(("little", "big"))
            integer = chances.choice(_STARTLING_INTEGERS) % 2 ** (8 * size)
            content[place : place + size] = integer.to_bytes(size, order)
        case 7:
            begin = chances.randrange(len(other))
            content[place : place + length] = other[begin : begin + length]


@dataclass
class Tally:
    """What became of the cases of a kind.

    Attributes:
        read: how many were read all the same.
        refused: with one of the zoo's own errors.
        memory: the most that a process took, in bytes.
        seconds: the most that a case took.
        faults: by the case's number.
    """

    read: int
    refused: int
    memory: int
    seconds: float
    faults: dict[int, str]


def try_out(name: str, seed: int, count: int) -> Tally:
    """Read mutated files of a kind, in processes of their own."""
    tally, next_case = Tally(0, 0, 0, 0.0, {}), 0
    for each in ("pytorch", name):  # before the forks
        samples_of(each)
    with mmap.mmap(-1, 8) as current:
        while next_case < count:
            cases = range(next_case, min(count, next_case + _BATCH))
            next_case = _in_a_process(name, seed, cases, current, tally)
    return tally


def _in_a_process(name: str, seed: int, cases: range, current: mmap.mmap, tally: Tally) -> int:
    """Try out cases, up to the first that ends or blocks the process; return the next one."""
    reader, writer = os.pipe()
    current[:] = cases.start.to_bytes(8, "little")
    number = os.fork()
    if not number:
        code = 1
        try:
            os.close(reader)
            with open(writer, "w") as stream:
                _child(name, seed, cases, current, stream)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writer)
    with open(reader) as stream:
        status = _watched(number, current)
        for line in stream:
            told = json.loads(line)
            tally.faults |= {int(case): fault for case, fault in told["faults"].items()}
            tally.read += told["read"]
            tally.refused += told["refused"]
            tally.memory = max(tally.memory, told["memory"])
            tally.seconds = max(tally.seconds, told["seconds"])
    case = int.from_bytes(current[:], "little")
    if status:
        tally.faults[case] = f"ended its process with {os.waitstatus_to_exitcode(status)}"
    return case + 1


def _watched(number: int, current: mmap.mmap) -> int:
    """Wait for the end of a process, and kill it if a case takes too long; return its status."""
    before, since = b"", time.monotonic()
    while True:
        ended, status = os.waitpid(number, os.WNOHANG)
        if ended:
            return status
        if current[:] != before:
            before, since = current[:], time.monotonic()
        elif time.monotonic() - since > _HANGS_AFTER:
            os.kill(number, signal.SIGKILL)
        time.sleep(0.01)


def _child(name: str, seed: int, cases: range, current: mmap.mmap, stream: TextIO) -> None:
    warnings.simplefilter("ignore")  # Pillow has many for damaged files
    kind, tally = KINDS[name], Tally(0, 0, 0, 0.0, {})
    # In memory: a disk would take most of the time.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, contextlib.chdir(folder):
        kind.read(kind.packed(samples_of(name)[0]))  # imports what it needs
        before = _memory()
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + _GUARD, most))
        for case in cases:
            current[:] = case.to_bytes(8, "little")
            content = mutated(name, seed, case)
            began = time.perf_counter()
            fault = _fault(kind, content, tally)
            seconds, taken = time.perf_counter() - began, _memory() - before
            tally.seconds, tally.memory = max(tally.seconds, seconds), max(tally.memory, taken)
            if seconds > _MOST_SECONDS:
                fault = fault or f"took {seconds:.0f} seconds"
            if taken > kind.memory:
                fault = fault or f"took {taken / 1e6:.0f} MB"
            if fault:
                tally.faults[case] = fault
            if taken > kind.memory:  # a process's most memory never falls
                break
    json.dump(vars(tally), stream)


def _fault(kind: Kind, content: bytes, tally: Tally) -> str:
    """Read a file; return what is wrong about how, and empty if nothing is."""
    try:
        kind.read(content)
    except MnistzooError as error:
        tally.refused += 1
        return "" if str(error).isprintable() else f"not one printable line: {str(error)!r}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"[:200]
    tally.read += 1
    return ""


def _memory() -> int:
    """Return the most memory that the process ever had, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _address_space() -> int:
    pages, _, _ = Path("/proc/self/statm").read_text().partition(" ")
    return int(pages) * resource.getpagesize()


def _keep(name: str, seed: int, tally: Tally, folder: Path) -> None:
    """Write the files that are faults into a folder."""
    for case in tally.faults:
        (folder / f"{name}-{seed}-{case}").write_bytes(mutated(name, seed, case))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(KINDS)}; all without")
    parser.add_argument("--count", type=int, default=1_000_000, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for the files that are faults")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    names = chosen.kinds or list(KINDS)
    whole = sum(KINDS[name].share for name in names)
    print("| kind | files | read | refused | most MB | slowest s | took s | faults |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    faults = 0
    for name in names:
        count = round(chosen.count * KINDS[name].share / whole)
        began = time.monotonic()
        tally = try_out(name, chosen.seed, count)
        print(
            f"| {name} | {count:,} | {tally.read:,} | {tally.refused:,} "
            f"| {tally.memory / 1e6:.0f} | {tally.seconds:.2f} | {time.monotonic() - began:.0f} "
            f"| {len(tally.faults)} |",
            flush=True,
        )
        for case, fault in tally.faults.items():
            print(f"{name} {case}: {fault}", file=sys.stderr)
        if chosen.keep:
            _keep(name, chosen.seed, tally, chosen.keep)
        faults += len(tally.faults)
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
