"""How good a model is on labelled images."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from mnistzoo.data import Split
from mnistzoo.data.datasets import as_labels
from mnistzoo.errors import MnistzooError
from mnistzoo.inference import predict_logits, resolve_device, to_tensor

# The two-sided 95 % quantile of the normal distribution.
_Z = 1.959964
_CALIBRATION_BINS = 15


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

    def facts(self) -> dict[str, Any]:
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


def evaluate(model: nn.Module, data: Split, *, device: str = "auto") -> Evaluation:
    """Evaluate a model, in evaluation mode and moved to the device, on labelled images.

    Raises:
        DeviceError: if the device is not there.
        EvaluationError: if the model returns no logits ``(N, 10)``, or NaN.
    """
    where = resolve_device(device)
    logits = predict_logits(model.to(where), to_tensor(data.images, where))
    return Evaluation.from_logits(logits.cpu().numpy(), data.labels)


def wilson_interval(right: int, total: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share (Wilson 1927, doi:10.2307/2276774)."""
    share = right / total
    spread = 1 + _Z**2 / total
    middle = (share + _Z**2 / (2 * total)) / spread
    half = _Z * math.sqrt(share * (1 - share) / total + _Z**2 / (4 * total**2)) / spread
    return max(0.0, middle - half), min(1.0, middle + half)


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[int, int, float]:
    """Compare two models on the same images by McNemar's exact test (doi:10.1007/BF02295996).

    Args:
        first: whether the first model is right on each image, ``(N,)``.
        second: the same of the second.

    Returns:
        How many images only the first has right, how many only the second, and the two-sided
        probability of so uneven a split between equally good models.
    """
    only_first = int((first & ~second).sum())
    only_second = int((second & ~first).sum())
    total, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(total, k) for k in range(fewer + 1))
    return only_first, only_second, min(1.0, 2 * tail / 2**total)


def holm(p_values: list[float]) -> list[float]:
    """Return p-values adjusted for testing several at once (Holm 1979, jstor.org/4615733)."""
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    ranked = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, index in enumerate(ranked):
        highest = max(highest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = highest
    return adjusted
