"""What can be watched while a model trains."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from mnistzoo.recipe import Recipe

if TYPE_CHECKING:
    from mnistzoo.training.result import TrainingResult


@dataclass(frozen=True)
class Start:
    """What a run is about to do.

    Attributes:
        model: its name.
        recipe: that is followed.
        images: how many are trained on.
        steps: of an epoch.
        epochs_done: that a checkpoint has gone through already.
    """

    model: str
    recipe: Recipe
    images: int
    steps: int
    epochs_done: int


@dataclass(frozen=True)
class Step:
    """One batch, after the optimizer's step.

    Attributes:
        number: in the run, from 1.
        learning_rate: of the step.
        loss: of the batch, a tensor on the training device; to read it waits for the device.
    """

    number: int
    learning_rate: float
    loss: Tensor


@dataclass(frozen=True)
class Epoch:
    """One complete pass over the training images.

    Attributes:
        number: from 1.
        loss: mean training loss of the epoch's steps. Where a function of the plugin's own trains
            and says none: cross entropy of the first 1,000 training images, at the epoch's end.
        learning_rate: of the epoch's last step; 0 where there is none.
        validation_accuracy: at its end, 0 to 1; None without a validation split.
        seconds: since training began, validation included.
    """

    number: int
    loss: float
    learning_rate: float
    validation_accuracy: float | None
    seconds: float


class Callback:
    """Watches a training run; override what is of interest.

    An exception that a method raises ends the run.
    """

    def on_train_begin(self, start: Start) -> None:
        """Called once, before the first step."""

    def on_step(self, step: Step) -> None:
        """Called after each step."""

    def on_epoch_end(self, epoch: Epoch) -> None:
        """Called after each epoch, once its checkpoint is saved."""

    def on_train_end(self, result: "TrainingResult | None") -> None:
        """Called once, at the end of every run that began.

        Args:
            result: of the run, complete or not; None after an exception of a callback.
        """


class StopWhen(Callback):
    """Ends a run at its next step, as Ctrl-C does, once a condition holds.

    So a signal stops it even if its exception was swallowed on its way, as in a ``__del__``.
    """

    def __init__(self, condition: Callable[[], bool]) -> None:
        self._condition = condition

    def on_step(self, step: Step) -> None:
        """Raise KeyboardInterrupt if the condition holds."""
        if self._condition():
            raise KeyboardInterrupt
