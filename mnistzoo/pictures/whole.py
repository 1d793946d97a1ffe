"""Pictures with nothing but a digit on even paper, taken as a whole; needs numpy alone.

Nothing is weighed, so that a digit keeps the pieces that it came apart into, and a pen may be as
thick as it likes.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mnistzoo.pictures.found import Digit, Found, none_on
from mnistzoo.pictures.normalise import resampling

Gray = NDArray[np.float32]

LEAST_INK = 0.06  # of the darkest ink; what differs less from the paper is paper
_LEAST_CONTRAST = 0.1
_COARSE = 14  # pixels of the digit's longer side; MNIST has 20
_DARKER = 1.6
_GRAY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def all_of(pixels: NDArray[np.uint8], thicken: Callable[[Gray], Gray] | None = None) -> Found:
    """Return all that differs from the paper as one digit.

    Args:
        pixels: uint8 ``(height, width, 3)``.
        thicken: what is done to ink, float32, before it is cropped.
    """
    gray = pixels @ _GRAY
    contrast = np.abs(gray - paper_of(gray)) / np.float32(255)
    peak = contrast.max()
    if peak <= _LEAST_CONTRAST:
        return none_on(contrast)
    ink = np.where(contrast > LEAST_INK * peak, contrast / peak, np.float32(0))
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    box = (int(left), int(top), int(right), int(bottom))
    cut = ink[top:bottom, left:right]
    if max(cut.shape) < _COARSE:
        cut = _refined(cut)
    digit = Digit(box, thicken(cut) if thicken else cut, float(peak))
    return Found([digit], 0, contrast, ink > 0.5)


def _refined(ink: Gray) -> Gray:
    """Return ink of pixels wider than a pen as a pen would have drawn it.

    A pen that covers half a pixel leaves it half as dark; enlarged smoothly, its stroke is narrower
    than the pixel, and as dark as any.
    """
    padded = np.pad(ink, 1)
    down, across = (resampling(side, 8 * side) for side in padded.shape)
    smooth = (down @ padded @ across.T).astype(np.float32)
    return np.where(smooth > 2 * LEAST_INK, _DARKER * smooth, 0).clip(0, 1).astype(np.float32)


def paper_of(gray: NDArray[np.generic]) -> float:
    """Return the brightness of the paper: the median of the border."""
    return float(np.median(np.concatenate(sides_of(gray))))


def sides_of(gray: NDArray[np.generic]) -> list[Gray]:
    """Return the top, bottom, left and right side."""
    sides = (gray[0], gray[-1], gray[:, 0], gray[:, -1])
    return [side.astype(np.float32) for side in sides]
