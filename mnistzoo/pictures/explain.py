"""The steps of reading a picture, as pictures for a person to look at; needs Pillow."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mnistzoo.pictures.decode import Picture
from mnistzoo.pictures.found import Found

_ENLARGED = 8


def explain(
    picture: Picture, found: Found, images: Sequence[NDArray[np.uint8]]
) -> dict[str, Image.Image]:
    """Return the steps by name.

    ``1-found`` is the picture with a box around each digit; ``2-contrast`` how far each pixel
    differs from the paper; ``3-ink`` what was taken for ink; ``4-digits`` what the model sees.
    """
    boxed = Image.fromarray(picture.pixels)
    draw = ImageDraw.Draw(boxed)
    for digit in found.digits:
        draw.rectangle(digit.box, outline="red", width=max(1, max(boxed.size) // 200))
    contrast = (255 * found.contrast.clip(0, 1)).astype(np.uint8)
    seen = np.kron(np.hstack(images), np.ones((_ENLARGED, _ENLARGED), np.uint8))
    return {
        "1-found": boxed,
        "2-contrast": Image.fromarray(255 - contrast),
        "3-ink": Image.fromarray(np.where(found.mask, 0, 255).astype(np.uint8)),
        "4-digits": Image.fromarray(seen),
    }
