"""Pictures with nothing but a digit on even paper: all that differs from the paper is ink.

Nothing needs to be weighed there, so that a digit keeps the pieces that it came apart into, and a
pen may be as thick as it likes.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.float32]

_LEAST_INK = 0.06  # of the darkest ink; what differs less from the paper is paper
_LEAST_CONTRAST = 64  # of 255
_MOST_GRAIN = 4.0  # of 255, along the border
_MOST_PIECES = 12
_FARTHEST = 0.25  # from the largest piece, as a part of its size
_MOST_WIDTH = 1.8  # times the height


def contrast_with_border(gray: NDArray[np.uint8]) -> Gray:
    """Return how far each pixel is from the median of the border, darker or lighter, 0 to 255."""
    return np.abs(gray.astype(np.float32) - np.float32(np.median(_border(gray))))


def as_ink(contrast: Gray) -> Gray:
    """Return ink, 0 to 1, of all that differs from the paper; there must be some."""
    peak = contrast.max()
    return np.where(contrast > _LEAST_INK * peak, contrast / peak, 0).astype(np.float32)


def is_plain(gray: NDArray[np.uint8]) -> bool:
    """Return whether a picture, uint8 ``(height, width)``, shows one digit on even paper.

    The border is of one brightness, everything else is darker, or everything is lighter; and the
    pieces of it are few, close together, and not two digits.
    """
    border = _border(gray)
    paper = float(np.median(border))
    lowest, highest = float(gray.min()), float(gray.max())
    peak = max(paper - lowest, highest - paper)
    if (
        peak < _LEAST_CONTRAST
        or min(paper - lowest, highest - paper) > _MOST_GRAIN
        or np.abs(border - paper).max() > _MOST_GRAIN
    ):
        return False
    away = cv2.absdiff(gray, np.full_like(gray, round(paper)))
    count, _, stats, _ = cv2.connectedComponentsWithStats(
        (away > _LEAST_INK * peak).view(np.uint8), connectivity=8
    )
    return count - 1 <= _MOST_PIECES and _are_one_digit(stats[1:, :4])


def _border(gray: NDArray[np.uint8]) -> Gray:
    edges = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    return edges.astype(np.float32)


def _are_one_digit(boxes: NDArray[np.int32]) -> bool:
    """Return whether pieces, each left, top, width and height, may be one digit that came apart."""
    starts, ends = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    width, height = ends.max(axis=0) - starts.min(axis=0)
    if width > _MOST_WIDTH * height:
        return False
    sizes = boxes[:, 2:].max(axis=1)
    largest = int(sizes.argmax())
    gaps = np.maximum(starts - ends[largest], starts[largest] - ends)
    if gaps.max() > _FARTHEST * sizes[largest]:
        return False
    for other in range(len(boxes)):
        if other == largest:
            continue
        beside, below = gaps[other] >= 0
        inside = (gaps[other] < 0).all() and (starts[other] > starts[largest]).all()
        tall = boxes[other, 3] / height
        if (
            (beside and tall > 0.5)  # the next digit
            or (below and tall > 0.35)  # the next line
            or (inside and (ends[other] < ends[largest]).all() and tall > 0.3)  # in a frame
        ):
            return False
    return True
