"""What was found on a picture; needs numpy alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ink = NDArray[np.float32]

_BLANK = 0.1  # contrast of the darkest pixel


@dataclass(frozen=True)
class Digit:
    """A piece of ink that looks like a digit.

    Attributes:
        box: left, top, right, bottom in pixels of the picture.
        ink: float32 ``(height, width)`` of the box, 0 (paper) to 1 (ink).
        contrast: of the ink against the paper, 0 to 1.
        doubt: what speaks against it, such as a neighbour that it touches.
    """

    box: tuple[int, int, int, int]
    ink: Ink
    contrast: float
    doubt: str | None = None


@dataclass(frozen=True)
class Found:
    """What was found on a picture.

    Attributes:
        digits: left to right, lines top to bottom.
        main: the place of the digit that stands out.
        contrast: float32, of the working picture against the paper, 0 to 1.
        mask: what of it was taken for ink of digits.
        rival: how much the best of the other pieces looks like a digit, relative to the main one.
        grain: how far the contrast of mere paper goes.
    """

    digits: list[Digit]
    main: int
    contrast: NDArray[np.float32]
    mask: NDArray[np.bool_]
    rival: float = 0
    grain: float = 0

    @property
    def why_none(self) -> str:
        """Why there are no digits, as the end of a sentence about the picture."""
        if float(self.contrast.max(initial=0)) <= _BLANK:
            return "is blank; nothing on it differs from the paper"
        return "shows nothing that looks like a digit; crop the picture to the digit"


def none_on(contrast: NDArray[np.float32], grain: float = 0) -> Found:
    """Return that a picture of this contrast shows no digit."""
    return Found([], 0, contrast, np.zeros(contrast.shape, bool), grain=grain)
