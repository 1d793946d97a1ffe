"""Digits that touch, cut apart where the least ink is in the way; needs numpy alone."""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from mnistzoo.pictures.found import Digit, Ink
from mnistzoo.pictures.normalise import resampling

_WIDE = 0.75  # times the height; two digits that touch are seldom narrower
_LINE = 12  # times the height; what is wider is a line, and no row of digits
_SOLID = 0.8  # of the box full of ink: a dash, a bar or a blot
_ROWS = 32  # in which strokes are counted: more would count the grain of the ink
_INK = 0.4  # of a stroke; less is the gap between two that nearly touch
_CROWDED = 0.2  # exceeded by 8 of 1,000 of MNIST's test images, and by 4 of 5 touching pairs
_NARROWEST = 6  # pixels of two digits
_TALLEST = 96  # pixels, several times those of MNIST; a seam through more takes long
_PLACES = np.linspace(0.25, 0.75, 9)  # of the width, about which a cut is looked for
_REACH = 0.1  # of the width, to either side
_STEP = np.float32(1e-3)  # of ink that each pixel of a path costs, and each column to the side
_DOUBT = "it touches another digit, from which it was cut"


def is_line_or_bar(digit: Digit) -> bool:
    """Return whether a digit is none, and so no row of digits either."""
    height, width = digit.ink.shape
    return width >= _LINE * height or digit.ink.mean() >= _SOLID


def is_wide(digit: Digit) -> bool:
    """Return whether a digit is so wide that it may be two."""
    height, width = digit.ink.shape
    return width > _WIDE * height


def is_crowded(digit: Digit) -> bool:
    """Return whether level lines cross more strokes than those of one digit.

    They cross one stroke or two, but for the curls of a 6 or a 9, which are narrow. What is counted
    are the strokes beyond two, on the average of all rows, for each width of one height.
    """
    height, width = digit.ink.shape
    down, across = resampling(height, _ROWS), resampling(width, max(1, _ROWS * width // height))
    ink = np.pad(down @ digit.ink @ across.T > _INK, ((0, 0), (1, 0)))
    strokes = np.count_nonzero(ink[:, 1:] > ink[:, :-1], axis=1)
    return bool((strokes - 2).clip(0).mean() * width / height > _CROWDED)


def cuts(digit: Digit) -> list[tuple[Digit, Digit]]:
    """Return the ways in which two digits that touch may be cut apart: left and right, doubted.

    Each cut is a path from top to bottom, at most a column to the side in each row, through the
    least ink: a seam (Avidan and Shamir, "Seam carving", 2007). There are none of a digit less than
    six pixels wide.
    """
    digit = _small(digit)
    width = digit.ink.shape[1]
    if width < _NARROWEST:
        return []
    pairs = []
    for seam in _seams(digit.ink):
        is_left = np.arange(width) < seam[:, None]
        halves = (np.where(is_left, digit.ink, 0), np.where(is_left, 0, digit.ink))
        if all(half.any() for half in halves):
            pairs.append((_cropped(halves[0], digit), _cropped(halves[1], digit)))
    return pairs


def _small(digit: Digit) -> Digit:
    height, width = digit.ink.shape
    if height <= _TALLEST:
        return digit
    down = resampling(height, _TALLEST)
    across = resampling(width, max(1, round(width * _TALLEST / height)))
    ink = (down @ digit.ink @ across.T).clip(0, 1).astype(np.float32)
    return dataclasses.replace(digit, ink=ink)


def _seams(ink: Ink) -> NDArray[np.intp]:
    """Return for each place the column, in each row, of the path through the least ink about it."""
    height, width = ink.shape
    reach = max(1, round(_REACH * width))
    # No seam begins before the second column, and beyond the last one there is no way.
    first = np.maximum(1, np.round(_PLACES * width).astype(int) - reach)
    columns = first[:, None] + np.arange(2 * reach + 1)
    cost = np.pad(ink, ((0, 0), (0, 2 * reach + 1)), constant_values=np.inf)[:, columns]
    cost += _STEP  # of equal paths the shorter
    places, across = np.arange(len(_PLACES)), np.arange(2 * reach + 1)
    came_from = np.zeros(cost.shape, np.intp)
    for y in range(1, height):
        above = np.pad(cost[y - 1], ((0, 0), (1, 1)), constant_values=np.inf)
        aside = np.stack([above[:, 1:-1], above[:, :-2] + _STEP, above[:, 2:] + _STEP])
        came_from[y] = across + np.array([0, -1, 1])[aside.argmin(axis=0)]
        cost[y] += aside.min(axis=0)
    seams = np.empty((height, len(_PLACES)), np.intp)
    seams[-1] = cost[-1].argmin(axis=1)
    for y in range(height - 1, 0, -1):
        seams[y - 1] = came_from[y, places, seams[y]]
    return (seams + first).T


def _cropped(ink: Ink, whole: Digit) -> Digit:
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    # The ink has other pixels than the picture: smaller ones if it has but a few, or larger ones.
    x, y, x_end, y_end = whole.box
    across, down = (x_end - x) / ink.shape[1], (y_end - y) / ink.shape[0]
    box = (
        *(x + math.floor(left * across), y + math.floor(top * down)),
        *(x + math.ceil(right * across), y + math.ceil(bottom * down)),
    )
    return Digit(box, ink[top:bottom, left:right], whole.contrast, _DOUBT)
