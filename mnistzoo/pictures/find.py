"""Where the digits of a picture are, and the ink of each."""

import numpy as np
from numpy.typing import NDArray

from mnistzoo.missing import MissingModuleError, hidden_module
from mnistzoo.pictures.found import Found
from mnistzoo.pictures.whole import all_of

_LITTLE = 40  # pixels of the longer side, below which a picture has room for a digit only


def find(pixels: NDArray[np.uint8]) -> Found:
    """Return the digits on a picture, uint8 ``(height, width, 3)``.

    Raises:
        MissingModuleError: if the picture has more than 40 pixels a side, and OpenCV, with which
            its digits are looked for, is not installed.
    """
    if max(pixels.shape) <= _LITTLE:
        return all_of(pixels)
    try:
        from mnistzoo.pictures.search import search
    except (ImportError, AttributeError) as error:  # a file that hides OpenCV has no functions
        how = hidden_module(error) or "`pip install opencv-python-headless`"
        raise MissingModuleError(
            f"finding digits on pictures of more than {_LITTLE} pixels needs OpenCV; {how}"
        ) from error
    return search(pixels)
