"""Progress bars that leave room for what is said meanwhile."""

import logging
import sys
from typing import Any

from rich.progress import Progress


class Bars(Progress):
    """rich's progress bars; what is logged while they move stands above them, not inside.

    rich itself sees to what is printed and to warnings, but not to handlers of logging, which keep
    the stderr that they began with.
    """

    _moved: tuple[logging.StreamHandler[Any], ...] = ()

    def start(self) -> None:
        """Draw the bars."""
        stderr = sys.stderr
        super().start()
        if sys.stderr is not stderr:  # where stderr is a terminal
            self._moved = tuple(
                handler
                for handler in logging.root.handlers
                if isinstance(handler, logging.StreamHandler) and handler.stream is stderr
            )
            for handler in self._moved:
                handler.setStream(sys.stderr)

    def stop(self) -> None:
        """Draw them no longer."""
        super().stop()
        for handler in self._moved:
            handler.setStream(sys.stderr)
        self._moved = ()
