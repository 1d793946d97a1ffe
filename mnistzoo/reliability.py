"""How far a model can be relied on: the figures beyond its accuracy on clean images of digits.

Temperature and threshold are those shipped with the weights. Where there are none they are fitted
on validation images, never on the test set.
"""

import statistics
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistzoo.calibration import Calibration, softmax
from mnistzoo.corruptions import CORRUPTIONS, corrupt
from mnistzoo.data import Dataset, Split
from mnistzoo.dataset_spec import DIGITS
from mnistzoo.evaluation import Evaluation, require_logits
from mnistzoo.letters import LETTERS, drawn_letters

COLUMNS = ("calibration", "coverage", "non-digits", "corruptions")
FASHION = "fashion-mnist"

_REFUSING = "a threshold of the confidence refuses the least sure hundredth of validation images"

Logits = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class Probes:
    """The images that a model's reliability is measured on.

    Attributes:
        measured: column of :data:`COLUMNS` to how it is measured, in words.
        test: the data set's clean test images.
        validation: its validation images; None where no column needs them.
        non_digits: what they are to images, uint8 ``(N, 28, 28)``.
        corrupted: kind of :data:`~mnistzoo.corruptions.CORRUPTIONS` to the test images, spoilt.
    """

    measured: Mapping[str, str]
    test: Split
    validation: Split | None = None
    non_digits: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    corrupted: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, data: Dataset, columns: Collection[str], fashion: NDArray[np.uint8] | None = None
    ) -> "Probes":
        """Make the images that columns need.

        Args:
            data: that the models classify.
            columns: some of :data:`COLUMNS`.
            fashion: the test images of Fashion-MNIST; None where they cannot be had.

        Raises:
            DataError: if the data cannot be had.
        """
        measured: dict[str, str] = {}
        validation = data.validation if set(columns) - {"corruptions"} else None
        if "calibration" in columns:
            measured["calibration"] = (
                "expected calibration error on the test images, over 15 bins, after temperature "
                "scaling"
            )
        if "coverage" in columns:
            measured["coverage"] = (
                f"{_REFUSING}; share of the test images that it accepts, and accuracy on those"
            )
        non_digits = {}
        if "non-digits" in columns:
            if data.classes == DIGITS:
                non_digits["letters"] = drawn_letters()
                if fashion is not None:
                    non_digits[FASHION] = fashion
            measured["non-digits"] = _how_accepted(data, non_digits)
        corrupted = {}
        if "corruptions" in columns:
            corrupted = {kind: corrupt(data.test.images, kind) for kind in CORRUPTIONS}
            measured["corruptions"] = (
                f"mean accuracy on the test images, spoilt in {len(corrupted)} ways of our own, "
                "which are not MNIST-C's files"
            )
        return cls(measured, data.test, validation, non_digits, corrupted)


@dataclass(frozen=True)
class Reliability:
    """What :func:`measure` finds; None, or nothing, for what was not asked for.

    Attributes:
        temperature: that divides the logits.
        threshold: of the confidence, which refuses the least sure hundredth of validation images.
        calibration_shipped: whether both came with the weights, or else were fitted now.
        expected_calibration_error: on the test images, after the temperature.
        accepted: the share of the test images whose confidence reaches the threshold, 0 to 1.
        accepted_accuracy: on those, 0 to 1; None where there are none.
        non_digits: what they are to the share that is accepted all the same, 0 to 1.
        corruptions: kind to the accuracy on test images spoilt in this way, 0 to 1.
    """

    temperature: float | None = None
    threshold: float | None = None
    calibration_shipped: bool | None = None
    expected_calibration_error: float | None = None
    accepted: float | None = None
    accepted_accuracy: float | None = None
    non_digits: Mapping[str, float] = field(default_factory=dict)
    corruptions: Mapping[str, float] = field(default_factory=dict)

    @property
    def corrupted_accuracy(self) -> float | None:
        """The mean over the corruptions."""
        return statistics.mean(self.corruptions.values()) if self.corruptions else None

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        return {
            "temperature": self.temperature,
            "threshold": self.threshold,
            "calibration_shipped": self.calibration_shipped,
            "expected_calibration_error": self.expected_calibration_error,
            "accepted": self.accepted,
            "accepted_accuracy": self.accepted_accuracy,
            "non_digits": dict(self.non_digits),
            "corrupted_accuracy": self.corrupted_accuracy,
            "corruptions": dict(self.corruptions),
        }


def measure(logits: Logits, probes: Probes, shipped: Calibration | None = None) -> Reliability:
    """Measure a model by its answers for the probes.

    Args:
        logits: from images, uint8 ``(N, 28, 28)``, to the model's logits ``(N, C)``.
        probes: the images.
        shipped: the calibration that came with its weights; without one it is fitted now.

    Raises:
        EvaluationError: if an answer is no logits.
        MnistzooError: whatever ``logits`` raises.
    """
    classes = probes.test.classes

    def answers(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = logits(images)
        require_logits(found, len(images), len(classes))
        return found

    corruptions = {
        kind: Evaluation.from_logits(answers(images), probes.test.labels, classes).accuracy
        for kind, images in probes.corrupted.items()
    }
    if probes.validation is None:
        return Reliability(corruptions=corruptions)
    used = shipped or Calibration.fit(answers(probes.validation.images), probes.validation.labels)

    def confidences(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        return softmax(answers(images) / used.temperature).max(1)

    scaled = answers(probes.test.images) / used.temperature
    test = Evaluation.from_logits(scaled, probes.test.labels, classes)
    accepted = test.probabilities.max(1) >= used.threshold
    return Reliability(
        temperature=used.temperature,
        threshold=used.threshold,
        calibration_shipped=shipped is not None,
        expected_calibration_error=test.expected_calibration_error,
        accepted=float(accepted.mean()),
        accepted_accuracy=float(test.correct[accepted].mean()) if accepted.any() else None,
        non_digits={
            what: float((confidences(images) >= used.threshold).mean())
            for what, images in probes.non_digits.items()
        },
        corruptions=corruptions,
    )


def _how_accepted(data: Dataset, non_digits: Mapping[str, NDArray[np.uint8]]) -> str:
    """Return what the share of non-digits that is accepted means, or why there is none."""
    if not non_digits:
        return f"not measured, since the classes of {data.name} are no digits"
    how = (
        f"{_REFUSING}; share that it accepts of "
        f"{len(non_digits['letters'])} pictures of {len(LETTERS)} letters in Pillow's font"
    )
    if FASHION in non_digits:
        return f"{how}, and of Fashion-MNIST's {len(non_digits[FASHION]):,} test images"
    return (
        f"{how}; Fashion-MNIST is left out, since it is not here: `mnistzoo data download "
        f"--dataset {FASHION}` brings it"
    )
