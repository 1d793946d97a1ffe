"""Whether a picture shows nothing but a digit on even paper; needs numpy and OpenCV."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mnistzoo.pictures.whole import LEAST_INK, paper_of, sides_of

_LEAST_CONTRAST = 64  # of 255
_MOST_GRAIN = 4.0  # of 255, of the border
_MOST_INK = 0.4  # of the picture; more is a sheet, of which the border is the frame
_LEAST_EVEN = 0.8  # of a side of the border
_MOST_PIECES = 12
_FARTHEST = 0.16  # piece from the largest, as a part of the size of all
_MOST_WIDTH = 1.8  # of several pieces, times the height


def is_plain(gray: NDArray[np.uint8]) -> bool:
    """Return whether a picture, uint8 ``(height, width)``, shows one digit on even paper.

    The border is of one brightness, but for a stroke that may run into one side; everything else
    is darker, or everything is lighter; and the pieces are few, close together, and not two digits.
    """
    paper = paper_of(gray)
    lowest, highest = float(gray.min()), float(gray.max())
    peak = max(paper - lowest, highest - paper)
    if peak < _LEAST_CONTRAST or min(paper - lowest, highest - paper) > _MOST_GRAIN:
        return False
    even = [np.abs(side - paper) <= _MOST_GRAIN for side in sides_of(gray)]
    if sum(not side.all() for side in even) > 1 or min(s.mean() for s in even) < _LEAST_EVEN:
        return False
    ink = cv2.absdiff(gray, np.full_like(gray, round(paper))) > LEAST_INK * peak
    if ink.mean() > _MOST_INK:
        return False
    count, _, stats, _ = cv2.connectedComponentsWithStats(ink.view(np.uint8), connectivity=8)
    return count - 1 <= _MOST_PIECES and _are_one_digit(stats[1:, :4])


def _are_one_digit(boxes: NDArray[np.int32]) -> bool:
    """Return whether pieces, each left, top, width and height, may be one digit that came apart."""
    if len(boxes) == 1:
        return True
    starts, ends = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    width, height = ends.max(axis=0) - starts.min(axis=0)
    if width > _MOST_WIDTH * height:
        return False
    largest = int(boxes[:, 2:].max(axis=1).argmax())
    others = np.arange(len(boxes)) != largest
    gaps = np.maximum(starts - ends[largest], starts[largest] - ends)[others]
    if gaps.max() > _FARTHEST * max(width, height):
        return False
    tall = boxes[others, 3] / height
    both_tall = np.minimum(tall, boxes[largest, 3] / height)
    beside, below = gaps[:, 0] >= 0, gaps[:, 1] >= 0
    inside = (starts[others] > starts[largest]) & (ends[others] < ends[largest])
    underline = (starts[others, 1] >= ends[largest, 1]) & (boxes[others, 2] > 0.6 * width)
    return not (
        (beside & (both_tall > 0.5)).any()  # the next digit
        or (below & (both_tall > 0.42)).any()  # the next line
        or (inside.all(axis=1) & (tall > 0.3)).any()  # a digit in a frame
        or underline.any()
    )
