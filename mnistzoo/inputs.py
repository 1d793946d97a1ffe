"""Pixels from bytes: what every model takes, made in this one place."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

_INK = 255


def as_input(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return images ``(N, 28, 28)`` as a model takes them: float32 ``(N, 1, 28, 28)``, 0 to 1."""
    return np.divide(images[:, None], _INK, dtype=np.float32)


def to_input(images: "Tensor") -> "Tensor":
    """Return images of any shape as a model takes them: float32, 0 (paper) to 1 (ink).

    Bytes are divided by 255, on their device; floats are from 0 to 1 already.
    """
    if images.is_floating_point():
        return images.float()
    return images.float().div_(_INK)


def how_to_convert(images: NDArray[Any]) -> str:
    """Return in words how images of another type or shape become uint8 ``(N, 28, 28)``."""
    made = "images.reshape(-1, 28, 28)" if images.shape[1:] != (28, 28) else "images"
    if images.dtype.kind == "f":
        return f"if they go from 0 to 1, numpy.rint({made} * 255).astype('uint8') converts them"
    if images.dtype != np.uint8:
        made += ".astype('uint8')"
    return f"if their values are these, {made} converts them"
