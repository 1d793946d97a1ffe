"""Programs that tests start: none outlives its time limit, and all hear signals."""

import atexit
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
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
        alarm = threading.Timer(limit, _kill, [process.pid])
        alarm.start()
        try:
            yield process
        finally:
            alarm.cancel()
            _kill(process.pid)


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


def run_module(
    module: str,
    *arguments: str,
    env: Mapping[str, str],
    cwd: str | Path,
    python: str = sys.executable,
    errors: str = "strict",
    limit: float = LIMIT,
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m MODULE`` to its end, in a fork of a process that has imported torch.

    So it imports third parties in no time. What tests which modules are imported, or how Python or
    OpenMP starts, needs :func:`run`.
    """
    if sys.platform != "linux":  # elsewhere libraries may not survive a fork
        command = [python, "-m", module, *arguments]
        return run(command, env=env, cwd=cwd, errors=errors, limit=limit)
    request = {"module": module, "arguments": arguments, "env": dict(env), "cwd": str(cwd)}
    temporary = functools.partial(tempfile.TemporaryFile, "w+", errors=errors)
    with temporary() as out, temporary() as err:
        server = _fork_server(python)
        socket.send_fds(server, [json.dumps(request).encode()], [out.fileno(), err.fileno()])
        number = int(server.recv(20))
        alarm = threading.Timer(limit, _kill, [number])
        alarm.start()
        try:
            code = int(server.recv(20))
        finally:
            alarm.cancel()
            _kill(number)  # what it started and left
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess([module, *arguments], code, out.read(), err.read())


@functools.cache
def _fork_server(python: str) -> socket.socket:
    """Start the process that :func:`run_module` forks; it ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    started_like = {
        "PYTHONIOENCODING": "utf-8",
        **dict.fromkeys(("PYTHONPATH", "PYTHONSAFEPATH", "PYTHONUNBUFFERED"), ""),
    }
    with theirs:
        process = subprocess.Popen(
            [python, str(Path(__file__).with_name("fork_server.py"))],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            env={k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"} | started_like,
            start_new_session=True,
        )
    ours.settimeout(LIMIT)

    @atexit.register
    def end() -> None:
        ours.close()
        wait_or_kill(process)

    return ours


def wait_or_kill(process: "subprocess.Popen[Any]", *, limit: float = LIMIT) -> None:
    """Wait until a process in a session of its own ends; at the limit end it."""
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        _kill(process.pid)
        process.wait(limit)


def read_until(text: str, process: subprocess.Popen[str]) -> None:
    """Read lines from a process's stderr until there was one with that text."""
    assert process.stderr is not None
    read = ""
    while text not in read:
        line = process.stderr.readline()
        assert line, f"the process ended before {text!r}: {read}"
        read += line


def _kill(number: int) -> None:
    """Kill a process and what it started."""
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(number, signal.SIGKILL)
        else:  # Windows, where this is TerminateProcess
            os.kill(number, signal.SIGTERM)
