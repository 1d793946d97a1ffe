"""How far each pixel of a picture differs from the paper around it; needs numpy and OpenCV.

The paper is looked for locally: a closing fills whatever is narrower than a pen's stroke and leaves
what is wider, so that the edge of a shadow, of a sheet or of a table is paper on both sides.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Weights = tuple[float, float, float]

GRAY: Weights = (0.299, 0.587, 0.114)  # ITU-R BT.601
COLOURS: tuple[Weights, ...] = ((1, 0, 0), (0, 0, 1), (0.5, -0.5, 0), (0, -0.5, 0.5))
_WORKING_SIZE = 480  # pixels of the longer side
_SMALLEST = 224
_DARKEST_PAPER = 48  # of 255: contrast is measured against this much light at least
_MOST_GRAIN = 0.2


def gray_of(pixels: Bytes, weights: Weights) -> Bytes:
    """Return ``(height, width)`` of RGB pixels, each channel of so much weight."""
    if weights == GRAY:
        return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    offset = 128 if sum(weights) < 0.5 else 0
    return (pixels @ np.array(weights, np.float32) + offset).clip(0, 255).astype(np.uint8)


def working(pixels: Bytes, weights: Weights) -> Bytes:
    """Return the picture in gray, of the size at which digits are looked for."""
    gray = gray_of(pixels, weights)
    longest = max(gray.shape)
    if longest > _WORKING_SIZE or longest < _SMALLEST:
        factor = min(_WORKING_SIZE, max(longest, _SMALLEST)) / longest
        size = max(1, round(gray.shape[1] * factor)), max(1, round(gray.shape[0] * factor))
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        gray = cv2.resize(gray, size, interpolation=how)
    return cv2.GaussianBlur(gray, (0, 0), 0.8)


def closed(gray: Bytes, pen: float) -> Bytes:
    """Return the picture with everything dark filled that is narrower than a pen."""
    return cv2.morphologyEx(gray, cv2.MORPH_CLOSE, _square(pen))


def opened(gray: Bytes, pen: float) -> Bytes:
    """Return the picture without everything light that is narrower than a pen."""
    return cv2.morphologyEx(gray, cv2.MORPH_OPEN, _square(pen))


def _square(pen: float) -> Bytes:
    size = max(3, round(pen)) | 1
    return np.ones((size, size), np.uint8)


def two_tones(gray: Bytes) -> tuple[float, float]:
    """Return the brightness of the light and of the dark part of a picture, parted as by Otsu."""
    threshold, _ = cv2.threshold(gray, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    dark = gray <= threshold
    if dark.all() or not dark.any():
        return float(gray[0, 0]), float(gray[0, 0])  # it is of one tone
    return float(np.median(gray[~dark])), float(np.median(gray[dark]))


def contrast_with(paper: Bytes, gray: Bytes, light: bool) -> tuple[Gray, float]:
    """Return how far ink, dark or light, differs from the paper, and how far mere paper does.

    The contrast is 0 for the ordinary pixel of paper, and about 1 for black on white.
    """
    if light:
        contrast = cv2.subtract(gray, paper, dtype=cv2.CV_32F)
        contrast /= max(float(np.percentile(gray[::3, ::3], 99.5)), _DARKEST_PAPER)
    else:
        contrast = cv2.subtract(paper, gray, dtype=cv2.CV_32F)
        contrast /= np.maximum(paper, _DARKEST_PAPER)
    low, middle = np.percentile(contrast[::4, ::4], [8, 38])
    if middle > _MOST_GRAIN:  # a crop so tight that most of it is ink
        middle = low
    contrast -= np.float32(middle)
    return contrast, float(middle - low)


def is_colourful(pixels: Bytes) -> bool:
    """Return whether the picture has colours that gray would lose."""
    sample = pixels[:: -(-pixels.shape[0] // 60), :: -(-pixels.shape[1] // 60)].astype(int)
    hues = sample.reshape(-1, 3) @ np.array([[1, 0], [-1, -1], [0, 1]])
    low, high = np.percentile(hues, [0.5, 99.5], axis=0)
    return bool((high - low).max() > 40)
