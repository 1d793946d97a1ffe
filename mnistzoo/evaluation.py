"""How good a model is on labelled images."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from mnistzoo.data import DataError, Split
from mnistzoo.data.datasets import as_labels
from mnistzoo.errors import MnistzooError
from mnistzoo.inference import BATCH_SIZE, predict_batches, predict_logits, resolve_device
from mnistzoo.statistics import wilson_interval

_CALIBRATION_BINS = 15
# From a declared accuracy: other versions of torch and other processors may flip a few images.
DECLARED_TOLERANCE = 0.0005


class EvaluationError(MnistzooError, ValueError):
    """A model's answers are no logits."""


@dataclass(frozen=True)
class ConfidenceBand:
    """The predictions whose confidence lies in an interval.

    Attributes:
        label: the interval in words.
        count: how many.
        accuracy: how often they are right, 0 to 1; None where there are none.
    """

    label: str
    count: int
    accuracy: float | None


@dataclass(frozen=True)
class Evaluation:
    """A model's predictions for N labelled images, and what follows from them.

    Attributes:
        labels: true digits, uint8 ``(N,)``, N at least 1.
        probabilities: softmax of the logits, float64 ``(N, 10)``.
    """

    labels: NDArray[np.uint8]
    probabilities: NDArray[np.float64]

    @classmethod
    def from_logits(cls, logits: NDArray[np.float32], labels: NDArray[Any]) -> "Evaluation":
        """Build it from logits ``(N, 10)`` and labels ``(N,)``, integers of any type.

        Raises:
            DataError: if the labels are no digits.
            EvaluationError: if the shapes disagree, or a logit is NaN or infinite.
        """
        labels = as_labels(labels)
        if logits.shape != (len(labels), 10) or len(labels) == 0:
            raise EvaluationError(
                f"the logits have shape {logits.shape}, expected ({len(labels)}, 10)"
            )
        if not np.isfinite(logits).all():
            raise EvaluationError("some logits are NaN or infinite; train the model again")
        shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
        exponentials = np.exp(shifted)
        return cls(labels, exponentials / exponentials.sum(1, keepdims=True))

    @cached_property
    def predictions(self) -> NDArray[np.int64]:
        """The most probable digit of each image, ``(N,)``."""
        return self.probabilities.argmax(1)

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each prediction is right, ``(N,)``."""
        return self.predictions == self.labels

    @property
    def accuracy(self) -> float:
        """The share of right predictions, 0 to 1."""
        return float(self.correct.mean())

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the accuracy."""
        return wilson_interval(int(self.correct.sum()), len(self.labels))

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """``(10, 10)``: row the true digit, column the predicted one."""
        counts = np.bincount(self.labels * np.int64(10) + self.predictions, minlength=100)
        return counts.reshape(10, 10)

    @property
    def per_class_accuracy(self) -> list[float | None]:
        """For each digit the share of its images that are recognised; None where it has none."""
        totals = self.confusion.sum(1)
        return [
            float(right / total) if total else None
            for right, total in zip(self.confusion.diagonal(), totals, strict=True)
        ]

    @property
    def top_confusions(self) -> list[tuple[int, int, int]]:
        """The five most frequent errors: true digit, predicted digit, how often."""
        errors = self.confusion - np.diag(self.confusion.diagonal())
        order = np.argsort(-errors, axis=None, kind="stable")[:5]
        return [
            (int(i) // 10, int(i) % 10, int(errors.flat[i])) for i in order if errors.flat[i] > 0
        ]

    @property
    def confidence_bands(self) -> list[ConfidenceBand]:
        """Above 99 %, from 90 to 99 %, below 90 %."""
        confidence = self.probabilities.max(1)
        bands = {
            "above 99 %": confidence > 0.99,
            "90 to 99 %": (confidence >= 0.9) & (confidence <= 0.99),
            "below 90 %": confidence < 0.9,
        }
        return [
            ConfidenceBand(
                label,
                int(inside.sum()),
                float(self.correct[inside].mean()) if inside.any() else None,
            )
            for label, inside in bands.items()
        ]

    @property
    def expected_calibration_error(self) -> float:
        """Mean distance of confidence and accuracy over 15 equal bins (arXiv 1706.04599)."""
        confidence = self.probabilities.max(1)
        bins = np.minimum((confidence * _CALIBRATION_BINS).astype(int), _CALIBRATION_BINS - 1)
        gaps = np.bincount(bins, self.correct - confidence, _CALIBRATION_BINS)
        return float(np.abs(gaps).sum() / len(self.labels))

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        return {
            "images": len(self.labels),
            "accuracy": self.accuracy,
            "accuracy_interval": list(self.accuracy_interval),
            "per_class_accuracy": self.per_class_accuracy,
            "confusion": self.confusion.tolist(),
            "top_confusions": [
                {"true": true, "predicted": predicted, "count": count}
                for true, predicted, count in self.top_confusions
            ],
            "confidence_bands": [
                {"band": band.label, "count": band.count, "accuracy": band.accuracy}
                for band in self.confidence_bands
            ],
            "expected_calibration_error": self.expected_calibration_error,
        }


def evaluate(
    model: nn.Module,
    data: "Split | TorchDataset[Any] | DataLoader[Any]",
    *,
    device: str | torch.device = "auto",
) -> Evaluation:
    """Evaluate a model, in evaluation mode and moved to the device, on labelled images.

    Args:
        model: from images, float32 ``(N, 1, 28, 28)`` from 0 to 1, to logits ``(N, 10)``.
        data: a split, any data set of ``(image, label)``, or a ``DataLoader`` over one; images
            ``(1, 28, 28)`` or ``(28, 28)``, uint8 or float from 0 to 1.
        device: as :func:`mnistzoo.inference.resolve_device` takes it.

    Raises:
        DataError: if the data is of another kind.
        DeviceError: if the device is not there.
        EvaluationError: if the model returns no logits ``(N, 10)``, or NaN.
        ModelFailed: if the model raises an exception.
    """
    where = resolve_device(device)
    model = model.to(where)
    if isinstance(data, Split):
        images, _ = data.tensors()
        logits = predict_logits(model, images.to(where))
        return Evaluation.from_logits(logits.cpu().numpy(), data.labels)
    labels: list[Tensor] = []
    logits = predict_batches(model, _batches(data, labels), where)
    return Evaluation.from_logits(logits.cpu().numpy(), torch.cat(labels).numpy())


def _batches(data: "TorchDataset[Any] | DataLoader[Any]", labels: list[Tensor]) -> Iterator[Tensor]:
    """Yield the images batch by batch, and append each batch's labels to the list.

    Raises:
        DataError: if the data is of another kind than :func:`evaluate` takes.
    """
    loader = data if isinstance(data, DataLoader) else DataLoader(data, batch_size=BATCH_SIZE)
    empty = True
    for batch in loader:
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            raise DataError(
                f"the data gives {type(batch).__name__}, expected pairs of an image and a label"
            )
        images, found = map(torch.as_tensor, batch)
        if images.dim() == 3:
            images = images.unsqueeze(1)
        if images.shape[1:] != (1, 28, 28) or not (
            images.is_floating_point() or images.dtype == torch.uint8
        ):
            raise DataError(
                f"the images are {images.dtype} {tuple(images.shape)}, expected float or uint8 "
                "(N, 1, 28, 28); transform them in the data set"
            )
        if images.is_floating_point() and not 0 <= images.min() <= images.max() <= 1:
            raise DataError(
                f"the images go from {images.min():.4g} to {images.max():.4g}, expected floats "
                "from 0 (paper) to 1 (ink); leave out what normalises them, the models do it inside"
            )
        labels.append(found.cpu())
        empty = False
        yield images
    if empty:
        raise DataError("there are no images to evaluate")
