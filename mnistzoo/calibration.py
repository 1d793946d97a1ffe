"""How sure a model may call itself: temperature scaling, and a threshold below which it refuses.

Both are fitted on validation images, never on the test set.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mnistzoo.fields import check
from mnistzoo.spec import TEMPERATURE, THRESHOLD, Weights

REFUSED = 0.01  # the share of validation images, the least sure, that the threshold refuses

_HALVINGS = 60


@dataclass(frozen=True)
class Calibration:
    """What turns logits into confidences that can be trusted, and when to answer nothing.

    Attributes:
        temperature: divides the logits before the softmax.
        threshold: of the confidence; answers with less are refused.

    Raises:
        ValueError: if one is outside its range, which is that of :class:`mnistzoo.Weights`.
    """

    temperature: float = field(metadata=TEMPERATURE)
    threshold: float = field(metadata=THRESHOLD)

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def shipped_with(cls, weights: Weights) -> "Calibration | None":
        """Return what a plugin declares of its weights, if it does."""
        if weights.temperature is None or weights.threshold is None:
            return None
        return cls(weights.temperature, weights.threshold)

    @classmethod
    def fit(cls, logits: NDArray[np.float32], labels: NDArray[np.integer]) -> "Calibration":
        """Return the calibration by logits ``(N, C)`` of validation images and labels ``(N,)``."""
        temperature = fit_temperature(logits, labels)
        confidences = softmax(logits / temperature).max(1)
        return cls(temperature, float(np.quantile(confidences, REFUSED)))


# Of weights that are shipped without: confidences as the model has them, and one for all to reach.
UNCALIBRATED = Calibration(temperature=1, threshold=0.7)


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.integer]) -> float:
    """Return the temperature, 0.01 to 100, with the lowest cross entropy (arXiv 1706.04599).

    The cross entropy is convex in the inverse of the temperature, and its slope there is the mean
    of the expected logit less that of the label: it is halved down to where that is zero.

    Args:
        logits: ``(N, C)``, N at least 1.
        labels: integers ``(N,)``, 0 to C - 1.
    """
    exact = logits.astype(np.float64)
    own = exact[np.arange(len(exact)), labels].mean()
    allowed = TEMPERATURE["interval"]
    low, high = 1 / allowed.high, 1 / allowed.low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        slope = (softmax(exact * middle) * exact).sum(1).mean() - own
        low, high = (middle, high) if slope < 0 else (low, middle)
    return 2 / (low + high)


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the probabilities ``(N, C)`` of logits ``(N, C)``."""
    exponentials = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)
