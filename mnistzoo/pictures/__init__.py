"""Pictures of digits, as people have them, into images as MNIST has them.

A picture is decoded, its digits are found, and each is normalised: a step a file.
"""

import numpy as np
from numpy.typing import NDArray

from mnistzoo.pictures.decode import Picture, PictureError, Source, decode
from mnistzoo.pictures.find import find
from mnistzoo.pictures.found import Digit, Found
from mnistzoo.pictures.normalise import normalise

__all__ = [
    "Digit",
    "Found",
    "Picture",
    "PictureError",
    "Source",
    "decode",
    "digits_on",
    "find",
    "normalise",
    "read_picture",
]


def read_picture(picture: Source) -> NDArray[np.uint8]:
    """Return the digit on a picture as MNIST would have it, uint8 ``(28, 28)``, 255 ink.

    Of several digits the one that stands out. ``Predictor.predict`` says too what it is, and
    whether it is to be doubted.

    Args:
        picture: a path, the bytes of a file, a Pillow image or an array; see :func:`decode`.

    Raises:
        PictureError: if the picture cannot be decoded, or shows no digit.
        OSError: if the file cannot be read.
    """
    _, found = digits_on(picture)
    return normalise(found.digits[found.main].ink)


def digits_on(picture: Source, *, drawing: bool = False) -> tuple[Picture, Found]:
    """Return the decoded picture, and the digits that are found on it, at least one.

    Args:
        picture: a path, the bytes of a file, a Pillow image or an array; see :func:`decode`.
        drawing: all that is on it is one digit; see :func:`find`.

    Raises:
        PictureError: if the picture cannot be decoded, or shows no digit.
        OSError: if the file cannot be read.
    """
    decoded = decode(picture)
    found = find(decoded.pixels, drawing=drawing)
    if not found.digits:
        raise PictureError(f"{decoded.name} {found.why_none}")
    return decoded, found
