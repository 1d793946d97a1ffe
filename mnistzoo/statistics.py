"""Intervals and tests: whether a difference between two accuracies is real."""

import math

import numpy as np
from numpy.typing import NDArray

# The two-sided 95 % quantile of the normal distribution.
_Z = 1.959964
# The level of significance of tests that Holm adjusts.
SIGNIFICANT = 0.05


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
