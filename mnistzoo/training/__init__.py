"""Training: jobs, the loop, and what watches it."""

from mnistzoo.training.callbacks import Callback, Epoch, Start, Step
from mnistzoo.training.errors import TrainingDiverged, TrainingFailed, TrainingInterrupted
from mnistzoo.training.job import TrainingJob, run_training, train
from mnistzoo.training.result import TrainingResult

__all__ = [
    "Callback",
    "Epoch",
    "Start",
    "Step",
    "TrainingDiverged",
    "TrainingFailed",
    "TrainingInterrupted",
    "TrainingJob",
    "TrainingResult",
    "run_training",
    "train",
]
