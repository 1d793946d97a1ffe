"""From a file, its bytes, a Pillow image or an array to pixels; needs numpy and Pillow."""

import contextlib
import io
import os
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mnistzoo.errors import MnistzooError, one_line
from mnistzoo.files import expanded
from mnistzoo.warning_filters import warnings_kept_back


class HasArray(Protocol):
    """What becomes an array: an array itself, or a tensor."""

    def __array__(self) -> NDArray[Any]: ...


Source = str | os.PathLike[str] | bytes | Image.Image | NDArray[Any] | HasArray

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".heic", ".heif"),
)
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
_MOST_SCANNED = 2_000_000_000  # pixels times the scans of a JPEG: some seconds
_LONGEST = 1_280  # pixels of the longer side, after which a digit gains nothing


class PictureError(MnistzooError):
    """A picture cannot be read, or nothing is drawn on it."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        pixels: uint8 ``(height, width, 3)``, RGB, upright, at most 1,280 a side.
        scale: pixels of the original for each of these.
        name: how an error speaks of it.
    """

    pixels: NDArray[np.uint8]
    scale: float
    name: str


def decode(picture: Source) -> Picture:
    """Return the pixels of a picture, of any mode and size, turned as its camera says.

    Args:
        picture: a path; the bytes of a file; a Pillow image; or an array, or what becomes one such
            as a tensor: ``(height, width)``, ``(1, height, width)``, ``(height, width, 3)`` or
            ``(height, width, 4)`` of uint8 or bool, or of floats from 0 to 1. A Pillow image of
            mode F holds such floats.

    Raises:
        PictureError: if it cannot be decoded, is damaged or too large.
        OSError: if the file cannot be read.
        ValueError: if the array is of another type or shape.
    """
    if isinstance(picture, Image.Image):
        return _decoded(picture, "the image")
    if isinstance(picture, bytes):
        return _opened(io.BytesIO(picture), "the picture")
    if not isinstance(picture, str | os.PathLike):
        return _decoded(Image.fromarray(_bytes_of(_array_of(picture))), "the array")
    with expanded(picture).open("rb") as stream:
        return _opened(stream, os.fspath(picture))


def _opened(stream: BinaryIO, name: str) -> Picture:
    try:
        with warnings_kept_back("error", Image.DecompressionBombWarning):
            opened = Image.open(stream, formats=(*_FORMATS, *_heif()))
        with opened as image:
            _require_few_scans(stream, image, name)
            longest = max(image.size)
            image.draft("RGB", (_LONGEST, _LONGEST))
            return _decoded(image, name, longest)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        most = (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise PictureError(
            f"{name} has more than {most} million pixels; crop it, or make it smaller"
        ) from error
    except UnidentifiedImageError as error:
        stream.seek(0)
        if stream.read(12)[4:] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1"):
            raise PictureError(
                f"{name} is a HEIC picture; pip install pillow-heif, or save it as JPEG"
            ) from error
        raise PictureError(
            f"{name} cannot be read as a picture; save it as PNG, JPEG, WebP, TIFF, BMP or GIF"
        ) from error
    except PictureError:
        raise
    except MemoryError as error:
        raise PictureError(f"{name} needs more memory than there is; make it smaller") from error
    except Exception as error:  # whatever a decoder makes of damaged bytes
        why = one_line(str(error))
        raise PictureError(f"{name} is a damaged picture ({why}); save it again") from error


def _require_few_scans(stream: BinaryIO, image: Image.Image, name: str) -> None:
    """Refuse a progressive JPEG that goes over its pixels so often that it takes minutes.

    Raises:
        PictureError: if it does; cameras and programs write about ten scans.
    """
    if image.format not in ("JPEG", "MPO"):
        return
    place = stream.tell()
    stream.seek(0)
    scans = stream.read().count(b"\xff\xda")  # elsewhere in a JPEG no ff is followed by da
    stream.seek(place)
    if scans * image.width * image.height > _MOST_SCANNED:
        raise PictureError(f"{name} is a JPEG of {scans} scans, which take too long; save it again")


def _heif() -> tuple[str, ...]:
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
        return ("HEIF",)
    return ()


def _array_of(picture: HasArray) -> NDArray[Any]:
    try:
        return picture if isinstance(picture, np.ndarray) else picture.__array__()
    except (AttributeError, RuntimeError, TypeError) as error:  # a tensor that is not on the CPU
        raise ValueError(
            f"a picture must be a path, bytes, a Pillow image or an array, not a "
            f"{type(picture).__name__} that does not become one: {error}"
        ) from error


def _bytes_of(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an array of pixels as uint8."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    elif array.ndim == 3 and array.shape[0] == 1 and array.shape[2] not in (3, 4):
        array = array[0]
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise ValueError(
            f"a picture must be (height, width), (1, height, width), (height, width, 3) or "
            f"(height, width, 4), not {array.shape}"
        )
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if np.issubdtype(array.dtype, np.floating):
        if array.min() >= 0 and array.max() <= 1:
            return np.rint(array * 255).astype(np.uint8)
        raise ValueError(
            f"a picture must have floats from 0 to 1, not from {array.min():g} to "
            f"{array.max():g}; scale them, such as by division by 255"
        )
    raise ValueError(f"a picture must be uint8, bool or floats from 0 to 1, not {array.dtype}")


def _decoded(image: Image.Image, name: str, longest: int = 0) -> Picture:
    if 0 in image.size:
        raise PictureError(f"{name} has no pixels")
    longest = longest or max(image.size)
    if image.mode.startswith(("I", "F")):  # 16 bits a pixel, which Pillow would cut off
        values = np.asarray(image, np.float32)
        if not np.isfinite(values).all():
            raise PictureError(f"{name} has pixels that are no numbers; save it again")
        values = values.clip(0)
        if image.mode == "F" and values.max() <= 1:
            values *= 255
        image = Image.fromarray((values * (255 / max(values.max(), 255))).astype(np.uint8))
    elif image.mode == "La":  # Pillow converts this to LA, and to nothing else
        image = image.convert("LA")
    elif image.mode in ("1", "P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    factor = -(-max(image.size) // _LONGEST)
    if factor > 1:
        small = image.reduce(factor)
        small.info = image.info
        small.getexif().update(image.getexif())
        image = small
    turned = ImageOps.exif_transpose(image) if image.getexif().get(0x0112, 1) != 1 else image
    pixels = np.asarray(_flattened(turned))
    return Picture(pixels, longest / max(pixels.shape), name)


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
