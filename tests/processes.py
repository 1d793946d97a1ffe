"""Programs that tests start: none outlives its time limit, and all hear signals."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# Seconds. What tests start takes at most a minute or two, on a busy machine too.
LIMIT = 600


def restore_signals() -> None:
    """Let Ctrl-C, SIGTERM and a closed terminal reach this process and all that it starts.

    A script that starts pytest by `pytest &` has SIGINT ignored, and so would every child.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "SIGHUP"):  # `nohup pytest` ignores it
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})


@contextlib.contextmanager
def started(
    words: Sequence[str | Path], *, limit: float = LIMIT, **options: Any
) -> Iterator[subprocess.Popen[str]]:
    """Run a program during the block, at most; it and what it started are killed at the limit.

    So no read from it waits for ever: one ends with what was written until then.
    """
    # In a session of its own, so that what it started can be killed with it.
    with subprocess.Popen(words, text=True, start_new_session=True, **options) as process:
        alarm = threading.Timer(limit, _kill, [process])
        alarm.start()
        try:
            yield process
        finally:
            alarm.cancel()
            _kill(process)


def run(
    words: Sequence[str | Path], *, limit: float = LIMIT, check: bool = False, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, as :func:`subprocess.run` does; by default its output is captured.

    Raises:
        subprocess.CalledProcessError: with ``check``, for another exit code than 0; it is negative
            for a program that was killed at the limit.
    """
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    with started(words, limit=limit, **pipes) as process:
        out, err = process.communicate()
    done = subprocess.CompletedProcess(words, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def read_until(text: str, process: subprocess.Popen[str]) -> None:
    """Read lines from a process's stderr until there was one with that text."""
    assert process.stderr is not None
    read = ""
    while text not in read:
        line = process.stderr.readline()
        assert line, f"the process ended before {text!r}: {read}"
        read += line


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:  # Windows
            process.kill()
