"""Digits that touch, cut apart where the least ink is in the way; needs numpy alone."""

import math

import numpy as np

from mnistzoo.pictures.found import Digit, Ink

_WIDE = 0.75  # times the height; two digits that touch are seldom narrower
_LINE = 12  # times the height; what is wider is a line, and no row of digits
_NARROWEST = 6  # pixels of two digits
_SOLID = 0.8  # of the box full of ink: a dash, a bar or a blot
_PLACES = (0.3, 0.4, 0.5, 0.6, 0.7)  # of the width, about which a cut is looked for
_REACH = 0.1  # of the width, to either side
_DOUBT = "it touches another digit, from which it was cut"


def may_touch(digit: Digit) -> bool:
    """Return whether a digit is so wide that it may be two, and neither a line nor a bar."""
    height, width = digit.ink.shape
    return _WIDE * height < width < _LINE * height and digit.ink.mean() < _SOLID


def cuts(digit: Digit) -> list[tuple[Digit, Digit]]:
    """Return the ways in which two digits that touch may be cut apart: left and right, doubted.

    Each cut is a path from top to bottom, at most a column to the side in each row, through the
    least ink: a seam (Avidan and Shamir, "Seam carving", 2007). There are none of a digit less than
    six pixels wide.
    """
    width = digit.ink.shape[1]
    if width < _NARROWEST:
        return []
    reach = max(1, round(_REACH * width))
    pairs = []
    for place in _PLACES:
        first = max(1, round(place * width) - reach)
        seam = first + _seam(digit.ink[:, first : first + 2 * reach + 1])
        is_left = np.arange(width) < seam[:, None]
        halves = (np.where(is_left, digit.ink, 0), np.where(is_left, 0, digit.ink))
        if all(half.any() for half in halves):
            pairs.append((_cropped(halves[0], digit), _cropped(halves[1], digit)))
    return pairs


def _seam(ink: Ink) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return the column, in each row, of the path through the least ink."""
    height, width = ink.shape
    cost = ink + np.float32(1e-3)  # of equal paths the shorter
    came_from = np.zeros((height, width), np.intp)
    for y in range(1, height):
        above = np.pad(cost[y - 1], 1, constant_values=np.inf)
        aside = np.stack([above[1:-1], above[:-2] + np.float32(1e-3), above[2:] + np.float32(1e-3)])
        which = aside.argmin(axis=0)
        came_from[y] = np.arange(width) + np.array([0, -1, 1])[which]
        cost[y] += aside.min(axis=0)
    seam = np.empty(height, np.intp)
    seam[-1] = cost[-1].argmin()
    for y in range(height - 1, 0, -1):
        seam[y - 1] = came_from[y, seam[y]]
    return seam


def _cropped(ink: Ink, whole: Digit) -> Digit:
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    # The ink of a digit of a few pixels is finer than they are.
    x, y, x_end, y_end = whole.box
    across, down = (x_end - x) / ink.shape[1], (y_end - y) / ink.shape[0]
    box = (
        *(x + math.floor(left * across), y + math.floor(top * down)),
        *(x + math.ceil(right * across), y + math.ceil(bottom * down)),
    )
    return Digit(box, ink[top:bottom, left:right], whole.contrast, _DOUBT)
