"""From the ink of one digit to an image as MNIST has it; needs numpy alone.

MNIST's digits were scaled to fit a box of 20x20 pixels, keeping their proportions, and put into
28x28 pixels with their centre of mass in the middle (http://yann.lecun.com/exdb/mnist/). The
drawing page does the same in JavaScript, so this stays a few lines of plain arithmetic.
"""

import math

import numpy as np
from numpy.typing import NDArray

_BOX = 20
_SIDE = 28


def normalise(ink: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the digit as MNIST would have it, uint8 ``(28, 28)``, 255 ink.

    Args:
        ink: float ``(height, width)``, 0 (paper) to 1 (ink), of any size; what is zero around the
            digit does not matter.

    Raises:
        ValueError: if there is no ink.
    """
    if not (ink > 0).any():
        raise ValueError("there is no ink to normalise")
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = _BOX / max(digit.shape)
    height, width = (max(1, round(side * scale)) for side in digit.shape)
    small = resampling(len(digit), height) @ digit @ resampling(digit.shape[1], width).T
    small = small.clip(0)
    image = np.zeros((_SIDE, _SIDE))
    top, left = _offset(small.sum(axis=1)), _offset(small.sum(axis=0))
    image[top : top + height, left : left + width] = small / small.max()
    return np.rint(255 * image).astype(np.uint8)


def resampling(length: int, size: int) -> NDArray[np.float64]:
    """Return the weights ``(size, length)`` of a bicubic resampling, widened where it shrinks.

    Keys's kernel with a = -0.5, as Pillow's BICUBIC.
    """
    step = length / size
    widen = max(step, 1.0)
    centres = (np.arange(size) + 0.5) * step
    x = np.abs((np.arange(length) + 0.5 - centres[:, None]) / widen)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0))
    return weights / weights.sum(axis=1, keepdims=True)


def _offset(mass: NDArray[np.float64]) -> int:
    """Return where a row or column of masses begins if its centre comes to the image's middle."""
    centre = float(np.average(np.arange(len(mass)), weights=mass))
    return min(max(math.floor(_SIDE / 2 - centre + 0.5), 0), _SIDE - len(mass))
