"""How good a model is on labelled images."""

import dataclasses
import statistics
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from mnistzoo.batches import as_bytes, labelled_batches
from mnistzoo.calibration import softmax
from mnistzoo.classifier import Classifier, as_classifier, is_module
from mnistzoo.data import DataError, Dataset, Split
from mnistzoo.data.split import as_labels
from mnistzoo.dataset_spec import DIGITS
from mnistzoo.errors import MnistzooError
from mnistzoo.inference import BATCH_SIZE, predict_batches, resolve_device
from mnistzoo.seeding import seeded
from mnistzoo.statistics import wilson_interval

_CALIBRATION_BINS = 15
REPEATS = 5  # evaluations of a model that draws random numbers in them
# From a declared accuracy: other versions of torch and other processors may flip a few images.
DECLARED_TOLERANCE = 0.0005
_MANY = 1_000  # images at once for what is not a module: enough that calls cost little


class EvaluationError(MnistzooError, ValueError):
    """A model's answers are not logits."""


def require_logits(logits: NDArray[np.float32], images: int, classes: int) -> None:
    """Refuse what a model answers for images if it is no logits, one a class.

    Raises:
        EvaluationError: if they have another shape, or one is NaN or infinite.
    """
    if logits.shape != (images, classes):
        raise EvaluationError(
            f"the logits have shape {logits.shape}, expected ({images}, {classes}), one a class"
        )
    if not np.isfinite(logits).all():
        raise EvaluationError("some logits are NaN or infinite; train the model again")


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
class CalibrationBin:
    """The predictions whose confidence lies in one of equal intervals from 0 to 1.

    Attributes:
        count: how many.
        right: how many of them are right.
        confidence: their mean, 0 to 1; None where there are none.
    """

    count: int
    right: int
    confidence: float | None


@dataclass(frozen=True)
class Evaluation:
    """A model's predictions for N labelled images, and what follows from them.

    Attributes:
        labels: true classes, uint8 ``(N,)``, N at least 1.
        probabilities: softmax of the logits, float64 ``(N, C)``.
        classes: the names of the C labels.
    """

    labels: NDArray[np.uint8]
    probabilities: NDArray[np.float64]
    classes: tuple[str, ...]

    @property
    def evaluations(self) -> list["Evaluation"]:
        """Itself alone, as a :class:`RepeatedEvaluation` has several."""
        return [self]

    @classmethod
    def from_logits(
        cls,
        logits: NDArray[np.float32],
        labels: NDArray[Any],
        classes: tuple[str, ...] | None = None,
    ) -> "Evaluation":
        """Build it from logits ``(N, C)`` and labels ``(N,)``, integers of any type.

        Args:
            logits: one a class.
            labels: from 0.
            classes: their names; without them they are numbered.

        Raises:
            DataError: if there are none, or a label has no class.
            EvaluationError: if the shapes disagree, or a logit is NaN or infinite.
        """
        if classes is None:
            classes = tuple(map(str, range(logits.shape[1] if logits.ndim == 2 else len(DIGITS))))
        labels = as_labels(labels, len(classes))
        if len(labels) == 0:
            raise DataError("there are no images to evaluate")
        require_logits(logits, len(labels), len(classes))
        return cls(labels, softmax(logits), classes)

    def __repr__(self) -> str:
        return f"Evaluation({100 * self.accuracy:.2f} % of {len(self.labels):,} images)"

    @cached_property
    def predictions(self) -> NDArray[np.int64]:
        """The most probable class of each image, ``(N,)``."""
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
        """``(C, C)``: row the true class, column the predicted one."""
        size = len(self.classes)
        counts = np.bincount(self.labels * np.int64(size) + self.predictions, minlength=size**2)
        return counts.reshape(size, size)

    @property
    def per_class_accuracy(self) -> list[float | None]:
        """For each class the share of its images that are recognised; None where it has none."""
        totals = self.confusion.sum(1)
        return [
            float(right / total) if total else None
            for right, total in zip(self.confusion.diagonal(), totals, strict=True)
        ]

    @property
    def top_confusions(self) -> list[tuple[int, int, int]]:
        """The five most frequent errors: true class, predicted class, how often."""
        errors = self.confusion - np.diag(self.confusion.diagonal())
        order = np.argsort(-errors, axis=None, kind="stable")[:5]
        return [
            (*divmod(int(i), len(self.classes)), int(errors.flat[i]))
            for i in order
            if errors.flat[i] > 0
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

    @cached_property
    def calibration_bins(self) -> list[CalibrationBin]:
        """Over 15 equal intervals of the confidence, from 0 to 1."""
        confidence = self.probabilities.max(1)
        bins = np.minimum((confidence * _CALIBRATION_BINS).astype(int), _CALIBRATION_BINS - 1)
        counts = np.bincount(bins, minlength=_CALIBRATION_BINS)
        right = np.bincount(bins, self.correct, _CALIBRATION_BINS)
        sums = np.bincount(bins, confidence, _CALIBRATION_BINS)
        return [
            CalibrationBin(int(count), int(hits), float(total / count) if count else None)
            for count, hits, total in zip(counts, right, sums, strict=True)
        ]

    @property
    def expected_calibration_error(self) -> float:
        """Mean distance of confidence and accuracy over 15 equal bins (arXiv 1706.04599)."""
        gaps = (
            abs(each.right - each.count * each.confidence)
            for each in self.calibration_bins
            if each.confidence is not None
        )
        return sum(gaps) / len(self.labels)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        return {
            "images": len(self.labels),
            "classes": list(self.classes),
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
            "calibration_bins": [dataclasses.asdict(each) for each in self.calibration_bins],
        }


@dataclass(frozen=True)
class RepeatedEvaluation:
    """Evaluations, on the same images, of a model that draws random numbers in each.

    Attributes:
        evaluations: at least 2.
    """

    evaluations: list[Evaluation]

    @property
    def accuracy(self) -> float:
        """The mean, 0 to 1."""
        return statistics.mean(each.accuracy for each in self.evaluations)

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the mean accuracy, for the images of one evaluation."""
        images = len(self.evaluations[0].labels)
        return wilson_interval(round(self.accuracy * images), images)

    @property
    def accuracy_sd(self) -> float:
        """The sample standard deviation."""
        return statistics.stdev(each.accuracy for each in self.evaluations)

    @property
    def predictive_entropy(self) -> NDArray[np.float64]:
        """For each image the entropy of its mean probabilities, in nats, ``(N,)``.

        After Gal, "Uncertainty in Deep Learning", 2016, section 3.3.1.
        """
        mean = np.mean([each.probabilities for each in self.evaluations], axis=0)
        return -(mean * np.log(mean.clip(1e-300))).sum(1)

    def to_dict(self) -> dict[str, Any]:
        """Return what is of all evaluations, and the first one, as JSON can hold it."""
        return self.evaluations[0].to_dict() | {
            "accuracy": self.accuracy,
            "accuracy_sd": self.accuracy_sd,
            "accuracies": [each.accuracy for each in self.evaluations],
            "predictive_entropy": float(self.predictive_entropy.mean()),
        }


def evaluate_repeatedly(
    model: Any,
    data: "Split | TorchDataset[Any] | DataLoader[Any]",
    *,
    repeats: int = REPEATS,
    seed: int = 0,
    device: str | torch.device = "auto",
) -> RepeatedEvaluation:
    """Evaluate a model that draws random numbers in evaluation, as MC dropout does, several times.

    Args:
        model: as :func:`evaluate` takes it.
        data: likewise.
        repeats: how many evaluations, at least 2.
        seed: of the first; that of each further one is by 1 higher.
        device: as :func:`mnistzoo.inference.resolve_device` takes it.

    Raises:
        MnistzooError: as :func:`evaluate`.
        ValueError: for another number of evaluations.
    """
    if repeats < 2:
        raise ValueError(f"repeats is {repeats}, it must be at least 2")
    where = resolve_device(device)
    evaluations = []
    for number in range(repeats):
        with seeded(seed + number, where):
            evaluations.append(evaluate(model, data, device=where))
    return RepeatedEvaluation(evaluations)


def evaluate_as_declared(
    model: Any,
    data: "Split | TorchDataset[Any] | DataLoader[Any]",
    *,
    stochastic: bool,
    device: str | torch.device = "auto",
) -> Evaluation | RepeatedEvaluation:
    """Evaluate a model once or, if its spec calls it stochastic, several times from seeds.

    Args:
        model: as :func:`evaluate` takes it.
        data: likewise.
        stochastic: what :attr:`mnistzoo.ModelSpec.stochastic` says.
        device: as :func:`mnistzoo.inference.resolve_device` takes it.

    Raises:
        MnistzooError: as :func:`evaluate`.
    """
    if stochastic:
        return evaluate_repeatedly(model, data, device=device)
    return evaluate(model, data, device=device)


def evaluate(
    model: Any,
    data: "Split | TorchDataset[Any] | DataLoader[Any]",
    *,
    device: str | torch.device = "auto",
) -> Evaluation:
    """Evaluate a model, in evaluation mode and moved to the device, on labelled images.

    Args:
        model: a module from images, float32 ``(N, 1, 28, 28)`` from 0 to 1, to logits ``(N, C)``;
            a :class:`~mnistzoo.Predictor` or another :class:`~mnistzoo.Classifier`; or an estimator
            as scikit-learn's. Those compute where they do, whatever the device.
        data: a split, any data set of ``(image, label)``, or a ``DataLoader`` over one; images
            ``(1, 28, 28)`` or ``(28, 28)``, uint8 or float from 0 to 1.
        device: as :func:`mnistzoo.inference.resolve_device` takes it.

    Raises:
        ClassifierError: if the model is nothing of that kind, or an estimator fails.
        DataError: if the data is of another kind, or empty.
        DeviceError: if the device is not there.
        EvaluationError: if the model returns no logits, one a class, or NaN.
        ModelFailed: if the model raises an exception.
    """
    _require_images(data)
    where = resolve_device(device)
    if not is_module(model):
        return _evaluate_classifier(as_classifier(model), data)
    model = model.to(where)
    if isinstance(data, Split):
        # Copied batch by batch, into memory that stays in the cache.
        parts = np.split(data.images, range(BATCH_SIZE, len(data), BATCH_SIZE))
        batches = (torch.tensor(part).unsqueeze(1) for part in parts)
        logits = predict_batches(model, batches, where)
        return Evaluation.from_logits(logits.cpu().numpy(), data.labels, data.classes)
    labels: list[Tensor] = []
    logits = predict_batches(model, labelled_batches(data, labels), where)
    return Evaluation.from_logits(logits.cpu().numpy(), torch.cat(labels).numpy(), _classes(data))


def _require_images(data: object) -> None:
    if isinstance(data, Dataset):
        raise DataError("evaluate() takes the images of one split; give data.test")
    if not (isinstance(data, DataLoader) or hasattr(data, "__getitem__")):
        raise DataError(
            "evaluate() takes a split, a data set of (image, label) or a DataLoader, not "
            f"{type(data).__name__}; give data.test of load_dataset()"
        )
    if isinstance(data, Split) and not len(data):
        raise DataError("there are no images to evaluate")


def _classes(data: "Split | TorchDataset[Any] | DataLoader[Any]") -> tuple[str, ...] | None:
    """Return the names of the labels, where the data says them."""
    inner = data.dataset if isinstance(data, DataLoader) else data
    return inner.classes if isinstance(inner, Split) else None


def _evaluate_classifier(
    classifier: Classifier, data: "Split | TorchDataset[Any] | DataLoader[Any]"
) -> Evaluation:
    if isinstance(data, Split):
        images, labels = data.images, data.labels
    else:
        found: list[Tensor] = []
        batches = [as_bytes(batch) for batch in labelled_batches(data, found)]
        images, labels = np.concatenate(batches), torch.cat(found).numpy()
    return Evaluation.from_logits(logits_in_parts(classifier, images), labels, _classes(data))


def logits_in_parts(classifier: Classifier, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return a classifier's logits ``(N, C)`` of images ``(N, 28, 28)``, part by part."""
    return np.concatenate([classifier.logits(part) for part in in_parts(images)])


def in_parts(images: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return the images that what is not a module gets at once, 1,000 at most."""
    return [images[start : start + _MANY] for start in range(0, len(images), _MANY)]
