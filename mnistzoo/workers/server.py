"""The process that workers are forked from: it has imported torch, and runs nothing.

Its standard input is a socket. A request is a byte and three files: the worker's channel, what its
standard output and error become, and the pipe on which the server tells the worker's number, and at
its end its exit code. The first message on the channel says what surrounds the worker. The server
ends, and all workers with it, when the socket is closed: with the process that started it, however
that ended. Its parent is a process that has imported nothing, and ends what is left when the server
has ended in another way. Linux only.
"""

import contextlib
import ctypes
import gc
import importlib
import os
import resource
import selectors
import signal
import socket
import sys
from collections.abc import Iterable
from typing import Any

from mnistzoo.workers.channel import Channel

# What evaluates, times and trains. Not onnxruntime: it starts threads, which no fork has.
_IMPORTED = ("torch", "torch.utils.flop_counter", "mnistzoo.workers.tasks")
_PARENT_LOOKED_FOR_SECONDS = 5
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def main() -> None:
    """Serve until the socket is closed; in each worker, run the task that is asked for."""
    control = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    _be_survived(control)
    for name in _IMPORTED:
        importlib.import_module(name)
    # It imports much more of torch at its first call.
    sys.modules["mnistzoo.measure"].multiply_adds(sys.modules["torch"].nn.Linear(28, 1))
    gc.freeze()  # so that a worker's collections do not touch, and so copy, all these pages
    channel = Channel(_serve(control))
    surroundings, _ = channel.receive()
    _become(surroundings)
    sys.modules["mnistzoo.workers.tasks"].run(channel)


def _be_survived(control: socket.socket) -> None:
    """Fork, and return in the new process. This one ends what that leaves, however it ends.

    A model can end the server, and then nobody else would end what other models have started.
    """
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    server = os.fork()
    if not server:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        return
    control.close()
    while os.getppid() == parent and os.waitpid(server, os.WNOHANG) == (0, 0):
        signal.sigtimedwait({signal.SIGCHLD}, _PARENT_LOOKED_FOR_SECONDS)
    _end_all()


def _serve(control: socket.socket) -> socket.socket:
    """Fork a worker for each request, and return there; the server never returns."""
    parent, server = os.getppid(), os.getpid()
    # What a worker leaves behind, even in a session of its own, becomes a child of this process.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    statuses: dict[int, int] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select(_PARENT_LOOKED_FOR_SECONDS)}
            if woken in ready:
                os.read(woken, 4096)
                _tell_ends(statuses)
            if os.getppid() != parent:  # it is gone, though a copy of it holds the socket
                _end_all()
            if control.fileno() not in ready:
                continue
            message, files, _, _ = socket.recv_fds(control, 1, 3)
            if not message:
                _end_all()
            if len(files) != 3:  # not from the zoo
                _close(files)
                continue
            channel, output, status = files
            try:
                number = os.fork()
            except OSError:  # the worker's pipe is closed: it could not be started
                _close(files)
                continue
            if not number:
                break
            _close((channel, output))
            statuses[number] = status
            _write(status, f"{number}\n")
    _separate(channel, output, server)
    return socket.socket(fileno=channel)


def _close(files: Iterable[int]) -> None:
    for file in files:
        os.close(file)


def _tell_ends(statuses: dict[int, int]) -> None:
    """Tell the exit code of each worker that has ended, and end what they left behind."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            number, status = ended
            if (pipe := statuses.pop(number, None)) is not None:
                _write(pipe, f"{os.waitstatus_to_exitcode(status)}\n")
                os.close(pipe)
            for child in _children() - statuses.keys():
                _end(child)


def _children() -> set[int]:
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as stream:
        return set(map(int, stream.read().split()))


def _end_all() -> None:
    """End this process and all that were started."""
    with contextlib.suppress(ChildProcessError):
        while True:
            for child in _children():
                _end(child)
            os.waitpid(-1, 0)
    os._exit(0)


def _end(number: int) -> None:
    for end in (os.killpg, os.kill):
        with contextlib.suppress(OSError):
            end(number, signal.SIGKILL)


def _write(pipe: int, text: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads it any more
        os.write(pipe, text.encode())


def _separate(channel: int, output: int, server: int) -> None:
    """Cut the new process off from the server, but for its death."""
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server:
        os._exit(1)
    for file in (1, 2):
        os.dup2(output, file)
    os.closerange(3, channel)
    os.closerange(channel + 1, 2**16)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _become(surroundings: dict[str, Any]) -> None:
    """Take over limits, environment, path and folder."""
    most = _data_bytes() + surroundings["memory"]
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ.clear()
    os.environ.update(surroundings["environment"])
    sys.modules["mnistzoo.plugins"].load_only(surroundings["plugins"])
    sys.path[:] = surroundings["path"]
    sys.modules["torch"].set_num_threads(surroundings["threads"])
    with contextlib.suppress(OSError):  # a folder that is gone
        os.chdir(surroundings["folder"])


def _data_bytes() -> int:
    """Return the size of this process's data, as RLIMIT_DATA counts it."""
    with open("/proc/self/statm", encoding="ascii") as stream:
        return int(stream.read().split()[5]) * resource.getpagesize()
