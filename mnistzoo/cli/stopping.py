"""Ctrl-C, SIGTERM and a closed terminal end a command; what it has finished is saved first."""

import math
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = {
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
}  # Windows has no SIGHUP


# Seconds in which a second signal is impatience; after them the first was swallowed on its way.
_PATIENCE = 5


class StopSignals:
    """In its block SIGTERM and SIGHUP do what Ctrl-C does: they raise KeyboardInterrupt.

    After that all are put off, so that an impatient second one does not cut short what saves the
    finished work, until :meth:`listen` is called. A signal that is ignored stays so, as Ctrl-C does
    in a background process of a script, and SIGHUP, a closed terminal, after ``nohup``.

    The exception may be swallowed on its way, as in a ``__del__``. Then a signal that comes some
    seconds later raises it again, unless all are put off by then.

    Attributes:
        came: whether a signal came that was not put off.
    """

    def __init__(self) -> None:
        self._held = False
        self._put_off = False
        self.came = False
        self._raised = self._last = -math.inf
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # no other may set handlers
            for number in _SIGNALS:
                before = signal.getsignal(number)
                if before in (signal.default_int_handler, signal.SIG_DFL):
                    self._before[number] = before
                    signal.signal(number, self._stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def put_off(self) -> None:
        """Deliver no signal until :meth:`listen` is called.

        Somebody who asks again after some seconds has waited for what hangs, and is heard.
        """
        self._held = True

    def listen(self) -> None:
        """Deliver signals again, first the one that was put off, if there is one.

        Raises:
            KeyboardInterrupt: if there is one.
        """
        self._held = False
        self._raised = -math.inf
        if self._put_off:
            self._put_off = False
            self._stop(signal.SIGINT, None)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        last, self._last = self._last, now
        waited_long = self._put_off and now - last >= _PATIENCE
        if (self._held and not waited_long) or now - self._raised < _PATIENCE:
            self._put_off = True
            return
        self._raised = now
        self.came = True
        raise KeyboardInterrupt
