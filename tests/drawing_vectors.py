"""Drawings and their images, which the normalisers in Python and in JavaScript both keep to.

``python tests/drawing_vectors.py`` writes two IDX files beside the tests of the page: the drawings,
and as many images of 28x28 pixels, by Python as it is now.
"""

from pathlib import Path

import cv2
import numpy as np
from drawing import DIGITS, SIDE
from numpy.typing import NDArray

from mnistzoo.data import read_idx, write_idx
from mnistzoo.pictures import digits_on, normalise

_FOLDER = Path(__file__).parent / "web"
_DRAWINGS, _IMAGES = _FOLDER / "drawings-idx3-ubyte.gz", _FOLDER / "images-idx3-ubyte.gz"
_COUNT = 20  # each digit twice, but for a dot and a scribble


def main() -> None:
    sheets = drawings(_COUNT)
    write_idx(_DRAWINGS, np.stack(sheets), compress=True)
    write_idx(_IMAGES, np.stack([image_of(sheet) for sheet in sheets]), compress=True)


def vectors() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return drawings ``(N, 280, 280)``, 255 paper, and their images ``(N, 28, 28)``, 255 ink."""
    return read_idx(_DRAWINGS), read_idx(_IMAGES)


def image_of(sheet: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a drawing as the models see it, by Python."""
    _, found = digits_on(sheet, drawing=True)
    return normalise(found.digits[found.main].ink)


def drawings(count: int) -> list[NDArray[np.uint8]]:
    """Return digits in many hands: moved, turned, stretched, shaken; and some scribbles."""
    random = np.random.default_rng(0)
    sheets = []
    for number in range(count):
        sheet = np.full((SIDE, SIDE), 255, np.uint8)
        turn, (wide, high) = random.normal(0, 0.15), random.uniform(0.3, 1.1, 2)
        turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        moved, pen = random.uniform(-20, 20, 2), int(random.integers(1, 40))
        strokes = [np.array(stroke) for stroke in DIGITS[number % 10]]
        if number % 20 == 9:
            wide, high = 0.02, 0.02  # a dot
        if number % 20 == 19:
            strokes = [random.uniform(20, 260, (6, 2))]
        for stroke in strokes:
            points = (stroke - 140) * (wide, high) @ turned.T + 140 + moved
            points += random.normal(0, 2, points.shape)
            cv2.polylines(sheet, [np.rint(points).astype(np.int32)], False, 0, pen, cv2.LINE_AA)
        sheets.append(sheet)
    return sheets


if __name__ == "__main__":
    main()
