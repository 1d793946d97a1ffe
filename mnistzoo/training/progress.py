"""How far a training run is, on stderr."""

import contextlib
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mnistzoo.bars import Bars
from mnistzoo.training.callbacks import Callback, Epoch, Start, Step
from mnistzoo.training.result import TrainingResult

_REDRAW_SECONDS = 0.2


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Say nothing more; rich would end the process."""
        self.quiet = True


class TrainingProgress(Callback):
    """A bar and a line an epoch; without ``bar`` or a terminal at stderr, the lines alone.

    Where they can no longer be written, as to a terminal that was closed, the training goes on.

    Args:
        bar: whether to show one.
        say: takes each line; None prints it on stderr.
    """

    def __init__(self, *, bar: bool = True, say: Callable[[str], None] | None = None) -> None:
        self._say = say or self._print
        self._console = _Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._bar = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not (bar and self._console.is_terminal),
        )
        self._drawn = 0.0

    def on_train_begin(self, start: Start) -> None:
        """Show the bar."""
        self._title = f"{start.model} seed {start.recipe.seed}"
        self._epochs = start.recipe.epochs
        done, total = (number * start.steps for number in (start.epochs_done, self._epochs))
        self._task = self._bar.add_task(self._title, total=total, completed=done)
        with contextlib.suppress(OSError):
            self._bar.start()

    def on_step(self, step: Step) -> None:
        """Move the bar, at most five times a second."""
        now = time.monotonic()
        if now - self._drawn >= _REDRAW_SECONDS:
            self._drawn = now
            with contextlib.suppress(OSError):
                self._bar.update(self._task, completed=step.number)

    def on_epoch_end(self, epoch: Epoch) -> None:
        """Print the epoch's line."""
        accuracy = epoch.validation_accuracy
        validation = "" if accuracy is None else f"validation {100 * accuracy:.2f} %  "
        left = epoch.seconds / epoch.number * (self._epochs - epoch.number)
        self._say(
            f"{self._title}  epoch {epoch.number}/{self._epochs}  loss {epoch.loss:.4f}  "
            f"{validation}{epoch.seconds:.1f} s, {left:.0f} s left"
        )

    def _print(self, line: str) -> None:
        with contextlib.suppress(OSError):
            self._console.print(line)

    def on_train_end(self, result: TrainingResult | None) -> None:
        """Take the bar away."""
        with contextlib.suppress(OSError):
            self._bar.stop()
