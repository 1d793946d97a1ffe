"""Training: the loop and the learning-rate schedule."""

from mnistzoo.training.trainer import (
    Epoch,
    TrainingDiverged,
    TrainingInterrupted,
    TrainingRun,
    train,
)

__all__ = ["Epoch", "TrainingDiverged", "TrainingInterrupted", "TrainingRun", "train"]
