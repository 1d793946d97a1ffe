"""Where the digits of a picture are, and the ink of each."""

import numpy as np
from numpy.typing import NDArray

from mnistzoo.missing import MissingModuleError, hidden_module, install_command
from mnistzoo.pictures.found import Found
from mnistzoo.pictures.whole import all_of

_LITTLE = 40  # pixels of the longer side


def find(pixels: NDArray[np.uint8], *, drawing: bool = False) -> Found:
    """Return the digits on a picture, uint8 ``(height, width, 3)``.

    A picture of at most 40 pixels a side has room for a digit only: all that differs from its paper
    is the digit, which needs numpy alone.

    Args:
        pixels: of the picture.
        drawing: all that differs from the paper is one digit, whatever its size and looks; so
            ``mnistzoo/web/static/normalise.js`` does it too.

    Raises:
        MissingModuleError: if the picture is larger, and OpenCV, with which its digits are looked
            for, is not installed.
    """
    if max(pixels.shape) <= _LITTLE and not drawing:
        return all_of(pixels)
    try:
        from mnistzoo.pictures.search import search
    except (ImportError, AttributeError) as error:  # a file that hides OpenCV has no functions
        how = hidden_module(error) or f"`{install_command('pictures')}` installs it"
        raise MissingModuleError(
            f"finding digits on pictures of more than {_LITTLE} pixels a side needs OpenCV; {how}"
        ) from error
    return search(pixels, drawing=drawing)
