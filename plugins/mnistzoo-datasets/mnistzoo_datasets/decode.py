"""What the files of a split hold, as images and labels from 0."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pair = tuple[NDArray[np.uint8], NDArray[Any]]


def qmnist(images: NDArray[np.uint8], table: NDArray[np.int32]) -> Pair:
    """Return the first column of the labels' table ``(N, 8)``: the class.

    The others say who wrote the digit, and where in NIST's databases it is.
    """
    return images, table[:, 0]


def emnist(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Pair:
    """Return the images upright: the files hold them transposed."""
    return images.transpose(0, 2, 1), labels


def emnist_letters(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Pair:
    """Return the images upright and the labels from 0: the files count letters from 1."""
    upright, _ = emnist(images, labels)
    return upright, labels.astype(np.int16) - 1
