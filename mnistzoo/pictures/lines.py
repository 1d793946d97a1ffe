"""Lines that cross a picture from side to side, as on ruled and squared paper; needs OpenCV."""

import itertools

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

_SLOPES = np.linspace(-0.16, 0.16, 33)
_FLATTEST = 12  # times the height; in a wider picture a line of these slopes leaves it
_LOOKED_AT = 2_000  # pixels of ink, by which the slope is found


def without_lines(mask: Mask) -> Mask:
    """Return the ink without the lines that cross the picture, nearly level or nearly upright.

    Where a stroke crosses a line, it is thicker there than the line, and stays. If there are no
    such lines, the mask itself is returned.
    """
    level = _without_level_lines(mask)
    turned = np.ascontiguousarray(level.T)
    upright = _without_level_lines(turned)
    return level if upright is turned else upright.T


def _without_level_lines(mask: Mask) -> Mask:
    height, width = mask.shape
    places = np.flatnonzero(mask)
    if len(places) < width // 2 or width > _FLATTEST * height:
        return mask
    down = _shifts(places[:: max(1, len(places) // _LOOKED_AT)], height, width)
    level = _sheared(mask, down).view(np.uint8)
    near = (cv2.dilate(level, np.ones((3, 1), np.uint8)) > 0) * np.uint8(200)
    length = max(9, width // 7) | 1
    core = cv2.blur(near, (length, 1), borderType=cv2.BORDER_REPLICATE) > 0.85 * 200
    line = cv2.dilate(core.view(np.uint8), np.ones((1, length), np.uint8)) > 0
    line &= (np.count_nonzero(line, axis=1) > 0.5 * width)[:, None]
    on_line = (level > 0) & line
    count = np.count_nonzero(on_line)
    runs = np.count_nonzero(on_line[1:] & ~on_line[:-1]) + np.count_nonzero(on_line[0])
    if runs == 0 or count / runs > 0.015 * max(height, width) + 1:
        return mask
    thickness = int(1.5 * count / runs + 2)
    strokes = cv2.morphologyEx(level, cv2.MORPH_OPEN, np.ones((thickness, 1), np.uint8)) > 0
    return mask & ~_sheared(on_line & ~strokes, -down)


def _shifts(places: NDArray[np.intp], height: int, width: int) -> NDArray[np.intp]:
    """Return by how much each column is to be moved up, so that most ink comes to lie in rows."""
    y, x = np.divmod(places, width)
    x -= width // 2
    rows = np.rint(y - _SLOPES[:, None] * x).astype(int) + height
    rows += 3 * height * np.arange(len(_SLOPES))[:, None]
    counts = np.bincount(rows.ravel(), minlength=3 * height * len(_SLOPES))
    best = int(np.square(counts.reshape(len(_SLOPES), -1)).sum(axis=1).argmax())
    return np.rint(_SLOPES[best] * (np.arange(width) - width // 2)).astype(int)


def _sheared(mask: Mask, up: NDArray[np.intp]) -> Mask:
    """Return the mask with each column moved up by so many pixels."""
    if not up.any():
        return mask
    height, width = mask.shape
    result = np.zeros_like(mask)
    starts = [0, *(np.flatnonzero(np.diff(up)) + 1), width]
    for left, right in itertools.pairwise(starts):
        by = int(up[left])
        result[max(0, -by) : height - max(0, by), left:right] = mask[
            max(0, by) : height - max(0, -by), left:right
        ]
    return result
