"""The ink of one digit, in the picture's own pixels; needs numpy and OpenCV."""

import cv2
import numpy as np

from mnistzoo.pictures.paper import Bytes, Gray, gray_of
from mnistzoo.pictures.pieces import Piece
from mnistzoo.pictures.views import View

Box = tuple[int, int, int, int]

_LONGEST = 400  # pixels of a side of the ink, twenty times those of MNIST
_THINNEST = 0.07  # pen, as a part of the digit: MNIST has hardly a thinner one


def ink_of(piece: Piece, view: View, pixels: Bytes) -> tuple[Box, Gray]:
    """Return where the ink of a piece is, and the ink, 0 (paper) to 1, at most 800 pixels a side.

    The box is left, top, right, bottom in the pixels of the picture.
    """
    height, width = view.labels.shape
    full_height, full_width = pixels.shape[:2]
    margin = 3
    rows, columns = piece.around(margin)
    top, bottom = rows.start * full_height // height, -(-rows.stop * full_height // height)
    left, right = columns.start * full_width // width, -(-columns.stop * full_width // width)
    gray = gray_of(pixels[top:bottom, left:right], view.weights)
    factor = max(1, max(gray.shape) // _LONGEST)
    if factor > 1:
        size = (-(-gray.shape[1] // factor), -(-gray.shape[0] // factor))
        gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
    gray = gray.astype(np.float32)
    core = np.isin(view.labels[rows, columns], piece.parts)
    core &= view.contrast[rows, columns] > 0.4 * piece.contrast
    near = cv2.dilate(core.view(np.uint8), np.ones((5, 5), np.uint8))
    size = (gray.shape[1], gray.shape[0])
    paper = cv2.resize(view.paper[rows, columns], size, interpolation=cv2.INTER_LINEAR)
    allowed = cv2.resize(near.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) > 0.3
    contrast = gray - paper if view.light else (paper - gray) / np.maximum(paper, 1)
    values = contrast[allowed]
    peak = max(float(np.percentile(values[values > 0.5 * values.max()], 70)), 1e-6)
    low = max(0.12, min(2 * view.grain / piece.contrast, 0.4)) * peak
    ink = np.where((contrast > low) & allowed, contrast / peak, 0).clip(0, 1).astype(np.float32)
    ink = thickened(ink)
    inked_rows, inked_columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    y0, y1 = int(inked_rows[0]), int(inked_rows[-1]) + 1
    x0, x1 = int(inked_columns[0]), int(inked_columns[-1]) + 1
    box = (left + x0 * factor, top + y0 * factor)
    end = (min(right, left + x1 * factor), min(bottom, top + y1 * factor))
    return (*box, *end), ink[y0:y1, x0:x1]


def thickened(ink: Gray) -> Gray:
    """Return the ink of a thin pen as if the pen were as thin as MNIST's thinnest."""
    mask = np.pad(ink > 0.4, 1)
    depth = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, 3)
    stroke = 4 * float(depth.sum()) / max(1, int(mask.sum())) - 1
    missing = round(_THINNEST * max(ink.shape) - stroke)
    if missing <= 0:
        return ink
    round_pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (missing + 1, missing + 1))
    return cv2.dilate(ink, round_pen)
