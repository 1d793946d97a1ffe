"""Letters as MNIST would have them: images that are no digits, to see whether a model says so."""

import functools
import itertools

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mnistzoo.pictures.normalise import normalise

# Left out are those that can be read as a digit (O and D as 0, I, l and r as 1, Z as 2, S as 5, G
# and b as 6, T as 7, B as 8, g and q as 9), and small ones that are capitals but for their size.
LETTERS = "ACEFHKLMNPRUVWX" + "adefhkmnt"

_SIZE = 64  # of the font, pixels; the canvas is twice as wide and high
_THICKER = (0, 1, 2)  # by how many pixels on each side of a stroke
_SLANTS = (-0.3, -0.15, 0.0, 0.15, 0.3)  # to the right, for each pixel up


@functools.cache
def drawn_letters() -> NDArray[np.uint8]:
    """Return 360 images, uint8 ``(360, 28, 28)``, 255 ink: 24 letters in 15 forms each.

    They are drawn with the font that Pillow brings along, at three weights and five slants, and
    normalised as MNIST's digits were. The same version of Pillow draws the same images.
    """
    font = ImageFont.load_default(_SIZE)
    forms = itertools.product(LETTERS, _THICKER, _SLANTS)
    images = np.stack([_drawn(letter, font, thicker, slant) for letter, thicker, slant in forms])
    images.flags.writeable = False
    return images


def _drawn(
    letter: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    thicker: int,
    slant: float,
) -> NDArray[np.uint8]:
    side = 2 * _SIZE
    canvas = Image.new("L", (side, side))
    place = (side / 2, side / 2)
    ImageDraw.Draw(canvas).text(place, letter, 255, font, anchor="mm", stroke_width=thicker)
    slanted = canvas.transform(
        (side, side),
        Image.Transform.AFFINE,
        (1, slant, -slant * side / 2, 0, 1, 0),
        Image.Resampling.BILINEAR,
    )
    return normalise(np.divide(np.asarray(slanted), 255, dtype=np.float32))
