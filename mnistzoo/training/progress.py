"""How far a training run is, on stderr."""

import contextlib
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mnistzoo.bars import Bars
from mnistzoo.spec import Recipe
from mnistzoo.training.trainer import Epoch, steps_per_epoch

_REDRAW_SECONDS = 0.2


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Say nothing more; rich would end the process."""
        self.quiet = True


class TrainingProgress:
    """A bar and a line an epoch; without ``bar`` or a terminal at stderr, the lines alone.

    Where they can no longer be written, as to a terminal that was closed, the training goes on.
    """

    def __init__(
        self, title: str, recipe: Recipe, images: int, *, show: bool = True, bar: bool = True
    ) -> None:
        self._console = _Console(
            stderr=True, highlight=False, markup=False, soft_wrap=True, quiet=not show
        )
        self._title = title
        self._epochs = recipe.epochs
        self._bar = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not (show and bar and self._console.is_terminal),
        )
        steps = recipe.epochs * steps_per_epoch(images, recipe.batch_size)
        self._task = self._bar.add_task(title, total=steps)
        self._drawn = 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._bar.stop()

    def on_step(self, step: int) -> None:
        """Move the bar, at most five times a second."""
        now = time.monotonic()
        if now - self._drawn >= _REDRAW_SECONDS:
            self._drawn = now
            with contextlib.suppress(OSError):
                self._bar.update(self._task, completed=step)

    def on_epoch(self, epoch: Epoch) -> None:
        """Print the epoch's line."""
        accuracy = epoch.validation_accuracy
        validation = "" if accuracy is None else f"validation {100 * accuracy:.2f} %  "
        left = epoch.seconds / epoch.number * (self._epochs - epoch.number)
        with contextlib.suppress(OSError):
            self._console.print(
                f"{self._title}  epoch {epoch.number}/{self._epochs}  loss {epoch.loss:.4f}  "
                f"{validation}{epoch.seconds:.1f} s, {left:.0f} s left"
            )
