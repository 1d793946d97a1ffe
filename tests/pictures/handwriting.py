"""Digits as hands write them: ten handwriting fonts, drawn strokes, and enlarged test images.

A digit is its ink: float32 ``(height, width)``, 0 to 1, cropped to its box, some 300 pixels high.
"""

import functools
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from platformdirs import user_cache_path

from mnistzoo import load_dataset

Ink = NDArray[np.float32]

HEIGHT = 300
_VERSION = "5.3.0"
# Of npm's @fontsource packages, each under the SIL Open Font License 1.1. A font whose clean 1 the
# shipped resnet takes for a 7 is left out: it is the reader of pictures that is measured.
FONTS = (
    *("annie-use-your-telescope", "architects-daughter", "gaegu", "gloria-hallelujah"),
    *("indie-flower", "kalam", "nanum-pen-script", "schoolbell", "shadows-into-light"),
    "sue-ellen-francisco",
)

# Each digit as strokes through points, x and y from 0 to 1, y downwards.
_STROKES: dict[int, list[list[tuple[float, float]]]] = {
    0: [[(0.5, 0), (0.15, 0.12), (0, 0.5), (0.15, 0.88), (0.5, 1), (0.85, 0.88), (1, 0.5),
         (0.85, 0.12), (0.5, 0)]],
    1: [[(0.1, 0.22), (0.3, 0), (0.28, 0.5), (0.26, 1)]],
    2: [[(0, 0.25), (0.2, 0.04), (0.55, 0), (0.9, 0.2), (0.75, 0.5), (0.4, 0.78), (0, 1)],
        [(0, 1), (0.5, 0.98), (1, 0.97)]],
    3: [[(0.05, 0.12), (0.4, 0), (0.85, 0.15), (0.75, 0.4), (0.35, 0.48)],
        [(0.35, 0.48), (0.85, 0.55), (0.95, 0.8), (0.6, 1), (0.2, 0.98), (0, 0.85)]],
    4: [[(0.5, 0), (0.25, 0.35), (0, 0.64)], [(0, 0.64), (0.5, 0.62), (1, 0.6)],
        [(0.75, 0.3), (0.72, 0.65), (0.68, 1)]],
    5: [[(0.2, 0), (0.16, 0.25), (0.12, 0.45)], [(0.12, 0.45), (0.5, 0.36), (0.95, 0.55),
         (0.9, 0.85), (0.5, 1), (0, 0.9)], [(0.2, 0), (0.5, 0.01), (0.9, 0)]],
    6: [[(0.75, 0), (0.35, 0.2), (0.06, 0.55), (0.12, 0.88), (0.5, 1), (0.88, 0.85), (0.85, 0.6),
         (0.5, 0.5), (0.12, 0.68)]],
    7: [[(0, 0.05), (0.5, 0.03), (1, 0)], [(1, 0), (0.7, 0.45), (0.5, 1)]],
    8: [[(0.8, 0.12), (0.45, 0), (0.14, 0.16), (0.3, 0.4), (0.7, 0.56), (0.9, 0.8), (0.5, 1),
         (0.1, 0.82), (0.3, 0.56), (0.72, 0.38), (0.85, 0.2), (0.8, 0.12)]],
    9: [[(0.85, 0.2), (0.5, 0), (0.1, 0.15), (0.12, 0.42), (0.5, 0.52), (0.85, 0.3), (0.86, 0.2)],
        [(0.86, 0.2), (0.8, 0.6), (0.7, 1)]],
}  # fmt: skip


class FontsMissing(RuntimeError):
    """npm could not fetch the fonts."""


def digit(rng: np.random.Generator) -> tuple[Ink, int]:
    """Return a digit of any hand, and which one it is."""
    source = rng.integers(0, 20)
    label = int(rng.integers(0, 10))
    if source < 10:
        return of_font(FONTS[source], label), label
    if source < 15:
        return of_strokes(rng, label), label
    return of_test_set(int(rng.integers(0, 10_000)))


def of_font(name: str, label: int) -> Ink:
    """Return a digit of a handwriting font.

    Raises:
        FontsMissing: if npm cannot fetch it.
    """
    font = ImageFont.truetype(_font_file(name), HEIGHT)
    image = Image.new("L", (2 * HEIGHT, 2 * HEIGHT))
    ImageDraw.Draw(image).text((HEIGHT / 2, HEIGHT / 4), str(label), fill=255, font=font)
    return cropped(np.asarray(image, np.float32) / np.float32(255))


def fetch_fonts() -> None:
    """Fetch the fonts that are not in the user's cache.

    Raises:
        FontsMissing: if npm cannot fetch one.
    """
    for name in FONTS:
        _font_file(name)


def of_strokes(rng: np.random.Generator, label: int, pen: float | None = None) -> Ink:
    """Return a digit drawn with a round pen, ``pen`` of the height wide."""
    pen = pen or rng.uniform(0.04, 0.13)
    width = HEIGHT * rng.uniform(0.5, 0.75)
    slant = rng.uniform(-0.15, 0.15)
    image = Image.new("L", (2 * HEIGHT, 2 * HEIGHT))
    draw = ImageDraw.Draw(image)
    radius = pen * HEIGHT / 2
    wobble = rng.normal(0, 0.02, (2, 3))
    for stroke in _STROKES[label]:
        points = np.array(stroke)
        # The same shift for the same place, so that strokes that meet still do.
        waves = np.sin(points @ np.array([[5.0], [7.0]]) + np.arange(3)[None] * 2)
        points = points + waves @ wobble.T
        path = _smooth(points)
        x = HEIGHT * 0.6 + path[:, 0] * width - slant * path[:, 1] * HEIGHT
        y = HEIGHT * 0.4 + path[:, 1] * HEIGHT
        for px, py in zip(x, y, strict=True):
            draw.ellipse((px - radius, py - radius, px + radius, py + radius), fill=255)
    soft = image.filter(ImageFilter.GaussianBlur(1))
    return cropped(np.asarray(soft, np.float32) / np.float32(255))


def of_test_set(index: int) -> tuple[Ink, int]:
    """Return an image of MNIST's test set, enlarged, with edges as sharp as a pen's."""
    test = load_dataset("mnist-10k").test
    image = Image.fromarray(np.pad(test.images[index], 4)).resize(
        (540, 540), Image.Resampling.BICUBIC
    )
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(3)), np.float32) / 255
    return cropped(np.clip((soft - 0.4) * 4 + 0.5, 0, 1)), int(test.labels[index])


def cropped(ink: Ink) -> Ink:
    rows, columns = (np.flatnonzero((ink > 0.1).any(axis=axis)) for axis in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _smooth(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a Catmull-Rom curve through the points."""
    padded = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    t = np.linspace(0, 1, 60)[:, None]
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        pieces.append(
            0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2
                   + (3 * b - a - 3 * c + d) * t**3)
        )  # fmt: skip
    return np.vstack(pieces)


@functools.cache
def _font_file(name: str) -> str:
    """Return the font's file, fetched once into the user's cache, never into the repository."""
    folder = Path(os.environ.get("MNISTZOO_FONTS_DIR", user_cache_path("mnistzoo") / "fonts"))
    path = folder / f"{name}-{_VERSION}.woff"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "--silent", f"@fontsource/{name}@{_VERSION}"]
        try:
            done = subprocess.run(
                command, cwd=folder, check=True, capture_output=True, text=True, timeout=120
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise FontsMissing(f"npm cannot fetch @fontsource/{name}: {error}") from error
        package = folder / done.stdout.split()[-1]
        with tarfile.open(package) as archive:
            stream = archive.extractfile(f"package/files/{name}-latin-400-normal.woff")
            assert stream is not None
            partial = path.with_suffix(f".{os.getpid()}")
            partial.write_bytes(stream.read())
        partial.replace(path)
        package.unlink()
    return str(path)


if __name__ == "__main__":
    try:
        fetch_fonts()
    except FontsMissing as error:
        sys.exit(str(error))
