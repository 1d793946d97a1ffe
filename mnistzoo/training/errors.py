"""How a training run ends early, with the result of its complete epochs."""

from mnistzoo.errors import MnistzooError, describe_os_error
from mnistzoo.training.result import TrainingResult


class TrainingDiverged(MnistzooError):
    """The loss or a weight became NaN or infinite.

    ``result`` is that of the complete epochs before.
    """

    def __init__(self, result: TrainingResult, step: int) -> None:
        super().__init__(
            f"the loss or a weight became NaN or infinite in epoch {len(result.history) + 1}, step "
            f"{step}; try a lower learning rate"
        )
        self.result = result


class TrainingFailed(MnistzooError):
    """The model failed, or a callback, after some complete epochs.

    ``result`` is that of these epochs; the cause is the error itself.
    """

    def __init__(self, result: TrainingResult, error: MnistzooError | OSError) -> None:
        why = describe_os_error(error) if isinstance(error, OSError) else str(error)
        # In the epoch that follows, or in a callback at the end of this one.
        super().__init__(f"failed after epoch {len(result.history)}: {why}")
        self.result = result


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C came; ``result`` is that of the complete epochs before."""

    def __init__(self, result: TrainingResult) -> None:
        where = "after the last epoch" if result.complete else f"in epoch {len(result.history) + 1}"
        super().__init__(f"interrupted {where}")
        self.result = result
