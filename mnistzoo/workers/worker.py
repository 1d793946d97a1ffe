"""A worker, as the process that started it sees it: its limits, and why it ended."""

import atexit
import collections
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from mnistzoo.errors import MnistzooError, one_line, printable
from mnistzoo.workers.channel import Channel, ChannelError, Message

_LINES, _LINE_BYTES = 3, 300  # of its output, in the reason why it failed
_MOST_REASON = 10_000
_MOST_MEMORY = 2**60  # bytes; the system counts them in 64 bits
_START_SECONDS = 120  # of the server, which imports torch, and of a worker
_DYING_SECONDS = 0.5  # in which a server whose workers are gone is gone too
_END_SECONDS = 10  # in which what is to end does so by itself, or, killed, by the system
_START = """\
import sys
sys.path[:] = sys.argv[1:]
from mnistzoo.workers.server import main
main()
"""


class WorkerFailed(MnistzooError):
    """A worker came to no result; says why."""


class ServerEnded(WorkerFailed):
    """The process that workers are forked from ended, and all workers with it; a new one serves."""


@dataclass(frozen=True)
class Limits:
    """What a worker may take.

    Attributes:
        seconds: without a sign of progress.
        memory: bytes beyond those of the imported libraries; None: half of the machine's.
    """

    seconds: float = 600
    memory: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.seconds < float("inf"):
            raise ValueError(f"seconds is {self.seconds}, it must be a number above 0")
        if self.memory is not None and self.memory <= 0:
            raise ValueError(f"memory is {self.memory}, it must be a number of bytes above 0")

    @property
    def memory_bytes(self) -> int:
        """The limit, in bytes."""
        half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
        return min(self.memory or half, _MOST_MEMORY)


def can_isolate() -> bool:
    """Say whether workers can be started: on Linux."""
    return sys.platform == "linux"


class Worker:
    """A process of its own that runs one task; a context, at whose end the process is ended.

    Args:
        plugins: the distributions that it may load.
        threads: that it computes with.
        limits: what it may take.
        on_line: is called with each line that the task reports.
    """

    def __init__(
        self,
        plugins: Iterable[str],
        *,
        threads: int = 1,
        limits: Limits | None = None,
        on_line: Callable[[str], object] = lambda line: None,
    ) -> None:
        self._limits, self._on_line = limits or Limits(), on_line
        self._lines: collections.deque[str] = collections.deque(maxlen=_LINES)
        self._number: int | None = None
        self._killed = False
        self._lock = threading.RLock()  # of the number, which another process may have later
        ours, theirs = socket.socketpair()
        read_output, output = os.pipe()
        self._status, status = os.pipe()
        self._connection = ours
        self._channel = Channel(ours, self._limits.seconds)
        self.printed = 0  # bytes
        self._reader = threading.Thread(target=self._read_output, args=(read_output,), daemon=True)
        self._reader.start()
        try:
            self._server = _server()
            self._server.start_worker((theirs.fileno(), output, status))
        finally:
            theirs.close()
            os.close(output)
            os.close(status)
        self._number = self._read_status(_START_SECONDS)
        if self._number is None:
            self.close()
            self._server.require_alive()
            raise WorkerFailed("its process could not be started")
        self.send(
            {
                "environment": dict(os.environ),
                "plugins": sorted(plugins),
                "path": _path(),
                "folder": os.getcwd(),
                "memory": self._limits.memory_bytes,
                "threads": threads,
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, facts: Mapping[str, Any], *arrays: NDArray[Any]) -> None:
        """Tell it something.

        Raises:
            WorkerFailed: if it has ended.
        """
        try:
            self._channel.send(facts, *arrays)
        except OSError as error:
            raise WorkerFailed(self._why()) from error

    def receive(self, most: int = 0, signs: int = 0) -> Message:
        """Wait for its next answer.

        Args:
            most: bytes that the arrays in it may have.
            signs: of progress, and lines, that may come before it.

        Raises:
            WorkerFailed: if its task failed, or it ended, made no progress for too long, or
                answered something else.
        """
        for _ in range(signs + 1):
            try:
                facts, arrays = self._channel.receive(most)
            except TimeoutError as error:
                self.kill()
                raise WorkerFailed(
                    f"it made no progress for {self._limits.seconds:g} seconds and was "
                    f"ended{self._last_lines()}"
                ) from error
            except (EOFError, OSError) as error:
                raise WorkerFailed(self._why()) from error
            except ChannelError:
                self.kill()
                raise
            if isinstance(line := facts.get("line"), str):
                self._on_line(printable(line.replace("\n", " ")))
            elif isinstance(failure := facts.get("failure"), str):
                raise WorkerFailed(one_line(failure[:_MOST_REASON]))
            elif "alive" not in facts:
                return facts, arrays
        self.kill()
        raise WorkerFailed("it gave more signs of progress than there is to do, and was ended")

    def pause(self) -> None:
        """Stop it, its threads too, until :meth:`resume`: it takes no time from others."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def interrupt(self) -> None:
        """Ask it to come to an end soon, as Ctrl-C would; callable from any thread."""
        self.resume()
        with self._lock:
            if self._number is not None and not self._killed:
                with contextlib.suppress(OSError):
                    os.kill(self._number, signal.SIGINT)

    def kill(self) -> None:
        """End the process and what it started; callable from any thread."""
        self._signal(signal.SIGKILL)
        self._killed = True
        with contextlib.suppress(OSError):  # who waits for an answer wakes up
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the process, and wait until it has ended."""
        self.kill()
        if self._number is not None:
            self._read_status(_END_SECONDS)
        with self._lock:
            self._number = None
        self._connection.close()
        os.close(self._status)
        self._reader.join(1)

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            if self._number is None or self._killed:
                return
            for send in (os.killpg, os.kill):  # its group, once it has one
                with contextlib.suppress(OSError):
                    send(self._number, number)

    def _read_status(self, seconds: float) -> int | None:
        """Return what the server says next of it: first its number, at its end its exit code."""
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([self._status], [], [], seconds)[0]:
                return None
            if not (came := os.read(self._status, 1)):
                return None
            line += came
        return int(line)

    def _why(self) -> str:
        """Return why it ended without an answer.

        Raises:
            ServerEnded: if that is why.
        """
        self._server.require_alive()
        code = self._read_status(2)  # which comes at once, where the process has ended
        if code is None:
            ended = "it closed its connection, and was ended"
            self.kill()
        elif code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:  # a real-time signal has none
                name = f"signal {-code}"
            ended = f"its process was ended by {name}"
            if -code == signal.SIGKILL:
                ended += ", perhaps for want of memory"
        else:
            ended = f"its process ended by itself, with exit code {code}"
        if code is not None:
            with self._lock:
                self._number = None
        self._reader.join(1)
        return f"{ended}{self._last_lines()}"

    def _last_lines(self) -> str:
        said = one_line(" / ".join(self._lines))
        return f"; it printed last: {said}" if said else ""

    def _read_output(self, output: int) -> None:
        with open(output, "rb") as stream:
            while line := stream.readline(_LINE_BYTES):
                self.printed += len(line)
                if text := line.decode(errors="replace").strip():
                    self._lines.append(text)


def _path() -> list[str]:
    return [each for each in sys.path if isinstance(each, str)]  # imports pass over all else


def _interpreter_flags() -> list[str]:
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return flags  # as multiprocessing takes them


class _Server:
    """The process that workers are forked from."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with theirs:
            # In a session of its own: Ctrl-C in a terminal is for this process to handle.
            self._process = subprocess.Popen(
                [sys.executable, *_interpreter_flags(), "-c", _START, *_path()],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        atexit.register(self._end)

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _end(self) -> None:
        self._control.close()
        self._send(signal.SIGCONT)  # a model may have stopped it
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._send(signal.SIGKILL)
            self._process.wait()

    def require_alive(self) -> None:
        """Wake it, where a model has stopped it.

        Raises:
            ServerEnded: if it has ended.
        """
        self._send(signal.SIGCONT)
        try:
            self._process.wait(_DYING_SECONDS)
        except subprocess.TimeoutExpired:
            return
        with _starting:
            if _servers.get(os.getpid()) is self:
                del _servers[os.getpid()]
        raise ServerEnded("the process that models get theirs from has ended; try again")

    def start_worker(self, files: tuple[int, int, int]) -> None:
        with self._lock:
            self._send(signal.SIGCONT)
            try:
                socket.send_fds(self._control, [b"w"], files)
                return
            except OSError:
                pass
        self.require_alive()
        raise WorkerFailed("the process that models get theirs from takes no requests")


_servers: dict[int, _Server] = {}
_starting = threading.Lock()


def _server() -> _Server:
    """Return the server of this process; a fork of it gets one of its own."""
    with _starting:
        if os.getpid() not in _servers:
            _servers[os.getpid()] = _Server()
        return _servers[os.getpid()]


def prepare() -> None:
    """Start the server now, so that it imports torch while this process does."""
    if can_isolate():
        _server()
