"""Pictures of digits, as people have them, into images as MNIST has them; needs numpy and Pillow.

MNIST's digits were scaled to fit a box of 20x20 pixels, keeping their proportions, and put into
28x28 pixels with their centre of mass in the middle (http://yann.lecun.com/exdb/mnist/).
"""

import os
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps, UnidentifiedImageError

from mnistzoo.errors import MnistzooError
from mnistzoo.files import expanded

_WORKING_SIZE = 1_000
_LEAST_CONTRAST = 24  # of 255; below it, what differs from the paper is noise
_BOX = 20
_SIDE = 28
# What 99.9 % of MNIST's training images keep to; a picture beyond is more likely no digit.
_LEAST_INK, _MOST_INK = 0.033, 0.305  # mean of the 28x28 pixels, 0 to 1
_MOST_WIDTH = 1.8  # times the height
_MOST_OUTLINE = 0.55  # share of ink on the outline of the box, of boxes of 10x10 pixels or more
_LEAST_CONFIDENCE = 0.7  # all but about one in two hundred test images have more


class PictureError(MnistzooError):
    """A file is no picture that can be read, or nothing is drawn on it."""


def read_picture(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Return the digit in a PNG or JPEG file as MNIST would have it, uint8 ``(28, 28)``, 255 ink.

    The paper is the commonest colour along the edges, light or dark, plain or evenly shaded; the
    ink is whatever differs from it.

    Raises:
        PictureError: if the file is no PNG or JPEG, is damaged, too large or blank.
        OSError: if the file cannot be read.
    """
    return _as_mnist(_pixels(path), os.fspath(path))


def doubt(image: NDArray[np.uint8], confidence: float) -> str | None:
    """Return why this is probably no digit, or not a single one; None if it may well be one.

    Letters that resemble a digit pass: a model that knows ten digits sees one in everything.

    Args:
        image: uint8 ``(28, 28)``, as :func:`read_picture` returns it.
        confidence: the model's, 0 to 1.
    """
    ink = image / 255
    if ink.mean() < _LEAST_INK:
        return "there is less ink than any digit has"
    if ink.mean() > _MOST_INK:
        return "there is more ink than any digit has"
    box = _cropped(ink > 0.2)
    height, width = box.shape
    if width > _MOST_WIDTH * height:
        return "it is wider than any digit is"
    outline = np.concatenate([box[0], box[-1], box[:, 0], box[:, -1]])
    if min(height, width) >= 10 and outline.mean() > _MOST_OUTLINE:
        return "it fills the edges of its box, as no digit does"
    if confidence < _LEAST_CONFIDENCE:
        return "the model is unsure"
    return None


def _pixels(path: str | os.PathLike[str]) -> NDArray[np.float32]:
    """Return the picture's colours, float32 ``(height, width, 3)``, 0 to 255, made small."""
    with expanded(path).open("rb") as stream:
        try:
            with (
                warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
                Image.open(stream, formats=("PNG", "JPEG")) as image,
            ):
                image.draft("RGB", (_WORKING_SIZE, _WORKING_SIZE))
                picture = _flattened(ImageOps.exif_transpose(_shrunk(image)))
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            most = (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
            raise PictureError(
                f"{path} has more than {most} million pixels; crop it, or make it smaller"
            ) from error
        except UnidentifiedImageError as error:
            raise PictureError(f"{path} is no PNG or JPEG picture; convert it to one") from error
        except MemoryError as error:
            raise PictureError(
                f"{path} needs more memory than there is; make it smaller"
            ) from error
        except Exception as error:  # whatever a decoder makes of damaged bytes
            raise PictureError(f"{path} is a damaged picture ({error}); save it again") from error
    return np.asarray(picture, np.float32)


def _shrunk(image: Image.Image) -> Image.Image:
    """Return the picture with at most 1,000 pixels a side, in a mode that can be resized."""
    if image.mode.startswith(("I", "F")):  # 16 bits a pixel, which Pillow would cut off
        values = np.asarray(image, np.float32)
        image = Image.fromarray((values * (255 / max(values.max(), 255))).astype(np.uint8))
    elif image.mode in ("1", "P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    else:
        image.load()
    image.thumbnail((_WORKING_SIZE, _WORKING_SIZE), Image.Resampling.BOX)
    return image


def _flattened(image: Image.Image) -> Image.Image:
    """Return the picture in RGB; what is transparent becomes the opposite of what is drawn."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    alpha = np.asarray(image.getchannel("A"), np.float32)
    light = np.asarray(image.convert("L"), np.float32)
    drawn_light = (light * alpha).sum() > 127.5 * alpha.sum()
    paper = Image.new("RGBA", image.size, "black" if drawn_light else "white")
    return Image.alpha_composite(paper, image).convert("RGB")


def _as_mnist(pixels: NDArray[np.float32], where: str) -> NDArray[np.uint8]:
    ink = np.abs(pixels - _paper(pixels)).max(axis=2)
    darkest = ink.max()
    if darkest < _LEAST_CONTRAST:
        raise PictureError(f"{where} is blank; nothing on it differs from the paper")
    # A speck or the grain of the paper has nothing around it: smoothed, it is fainter than a line.
    radius = max(ink.shape) / 200
    smooth = Image.fromarray(ink.clip(0, 255).astype(np.uint8)).filter(ImageFilter.BoxBlur(radius))
    around = np.asarray(smooth, np.float32)
    grain = np.percentile(_edges(around), 75)
    ink[np.minimum(ink, around) < np.clip(2 * grain, 0.1 * darkest, 0.5 * darkest)] = 0
    if not ink.any():
        raise PictureError(f"{where} shows specks only; draw with a thicker pen")
    return np.rint(255 * _centred(_scaled(_cropped(ink) / darkest))).astype(np.uint8)


def _paper(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the colour of the paper at each pixel, as the edges tell of it.

    The commonest colour there, and its change across the picture, which light from one side and a
    lens that darkens its corners make.
    """
    height, width, _ = pixels.shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x**2 + y**2], axis=2)
    colours, where = _edges(pixels), _edges(terms)
    distance = np.abs(colours - np.median(colours, axis=0)).max(axis=1)
    paper = distance <= 3 * np.median(distance) + 8  # ink may touch the edges
    coefficients, *_ = np.linalg.lstsq(where[paper], colours[paper], rcond=None)
    left = np.abs(colours - where @ coefficients).max(axis=1)
    # A change that explains little is none: it would be ink, or the sharp edge of a shadow.
    if np.percentile(left, 90) > np.percentile(distance, 90) / 3:
        return np.broadcast_to(np.median(colours, axis=0), pixels.shape)
    return (terms @ coefficients).astype(np.float32)


def _edges(values: NDArray[Any]) -> NDArray[Any]:
    """Return what stands along the four edges, one after the other."""
    return np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])


def _cropped(ink: NDArray[Any]) -> NDArray[Any]:
    """Return the smallest box that holds all that is not zero."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _scaled(digit: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = digit.shape
    scale = _BOX / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    resized = Image.fromarray(digit).resize(size, Image.Resampling.BICUBIC)
    scaled = np.asarray(resized, np.float32).clip(0)
    return scaled / scaled.max()


def _centred(digit: NDArray[np.float32]) -> NDArray[np.float32]:
    image = np.zeros((_SIDE, _SIDE), np.float32)
    height, width = digit.shape
    top = _offset(digit.sum(axis=1))
    left = _offset(digit.sum(axis=0))
    image[top : top + height, left : left + width] = digit
    return image


def _offset(mass: NDArray[np.float32]) -> int:
    """Return where a row or column of masses begins if its centre comes to the image's middle."""
    centre = np.average(np.arange(len(mass)), weights=mass)
    return int(np.clip(round(_SIDE / 2 - centre), 0, _SIDE - len(mass)))
