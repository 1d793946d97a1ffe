"""Fifteen ways to spoil images, as a test of models that were trained on clean ones.

The kinds are those of MNIST-C (Mu and Gilmer, "MNIST-C: A Robustness Benchmark for Computer
Vision", arXiv 1906.02337), with blur in place of edges. They are computed here with parameters of
our own, which stand in each docstring: figures cannot be set beside those of MNIST-C's files.
"""

import math
from collections.abc import Callable
from zlib import crc32

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Images = NDArray[np.float32]

_SIDE = 28
_CENTRE = (_SIDE - 1) / 2


def corrupt(images: NDArray[np.uint8], kind: str) -> NDArray[np.uint8]:
    """Return images spoilt in one way, always the same for the same images.

    Args:
        images: uint8 ``(N, 28, 28)``, 0 (paper) to 255 (ink).
        kind: one of :data:`CORRUPTIONS`.

    Raises:
        KeyError: if there is no such kind.
    """
    random = np.random.default_rng(crc32(kind.encode()))
    spoilt = CORRUPTIONS[kind](np.divide(images, 255, dtype=np.float32), random)
    return np.rint(np.clip(spoilt, 0, 1) * 255).astype(np.uint8)


def _shot_noise(images: Images, random: Generator) -> Images:
    """Return the counts of photons, on average 5 where there is full ink, as brightness."""
    return np.divide(random.poisson(images * 5), 5, dtype=np.float32)


def _impulse_noise(images: Images, random: Generator) -> Images:
    """Make 20 % of the pixels black or white, half each."""
    drawn = random.random(images.shape, np.float32)
    return np.where(drawn < 0.1, 0, np.where(drawn > 0.9, 1, images)).astype(np.float32)


def _blur(images: Images, random: Generator) -> Images:
    """Blur with a Gaussian of standard deviation 1.6 pixels."""
    return _smoothed(images, 1.6)


def _glass(images: Images, random: Generator) -> Images:
    """Take each pixel from up to 2 pixels away, across and down; then blur, 0.7 pixels."""
    away = random.integers(-2, 2, (2, *images.shape), endpoint=True)
    rows, columns = np.clip(np.indices((_SIDE, _SIDE))[:, None] + away, 0, _SIDE - 1)
    scattered: Images = images[np.arange(len(images))[:, None, None], rows, columns]
    return _smoothed(scattered, 0.7)


def _motion(images: Images, random: Generator) -> Images:
    """Move by 9 pixels in a direction of each image's own, and take the mean on the way."""
    angle = random.uniform(0, math.pi, len(images))
    way = np.stack([np.sin(angle), np.cos(angle)])
    steps = [_moved(images, step * way) for step in range(-4, 5)]
    return np.mean(steps, axis=0, dtype=np.float32)


def _shear(images: Images, random: Generator) -> Images:
    """Slant by 35 degrees, to the left or to the right."""
    slant = math.tan(math.radians(35)) * _signs(images, random)
    identity = np.ones(len(images))
    return _mapped(images, np.array([[identity, 0 * slant], [slant, identity]]))


def _scale(images: Images, random: Generator) -> Images:
    """Shrink to 0.6 of the size."""
    shrunk = np.full(len(images), 1 / 0.6)
    return _mapped(images, np.array([[shrunk, 0 * shrunk], [0 * shrunk, shrunk]]))


def _rotate(images: Images, random: Generator) -> Images:
    """Turn by 35 degrees, either way."""
    angle = math.radians(35) * _signs(images, random)
    cos, sin = np.cos(angle), np.sin(angle)
    return _mapped(images, np.array([[cos, -sin], [sin, cos]]))


def _translate(images: Images, random: Generator) -> Images:
    """Shift by 5 pixels in a direction of each image's own."""
    angle = random.uniform(0, 2 * math.pi, len(images))
    return _moved(images, 5 * np.stack([np.sin(angle), np.cos(angle)]))


def _brightness(images: Images, random: Generator) -> Images:
    """Lighten everything by half of the range."""
    return images + np.float32(0.5)


def _stripe(images: Images, random: Generator) -> Images:
    """Invert a vertical stripe of 6 pixels, its left edge 4 to 18 pixels from the image's."""
    left = random.integers(4, 18, len(images), endpoint=True)[:, None, None]
    inside = (np.arange(_SIDE) >= left) & (np.arange(_SIDE) < left + 6)
    return np.where(inside, 1 - images, images)


def _fog(images: Images, random: Generator) -> Images:
    """Add clouds about 5 pixels wide, from nothing to 0.7 of the range."""
    clouds = _smoothed(random.standard_normal(images.shape, np.float32), 5)
    least, most = clouds.min((1, 2), keepdims=True), clouds.max((1, 2), keepdims=True)
    return images + np.float32(0.7) * (clouds - least) / (most - least)


def _spatter(images: Images, random: Generator) -> Images:
    """Splash ink on a tenth of the image, in drops about 1.5 pixels wide."""
    drops = _smoothed(random.standard_normal(images.shape, np.float32), 1.5)
    threshold = np.quantile(drops, 0.9, axis=(1, 2), keepdims=True)
    return np.where(drops > threshold, 1, images).astype(np.float32)


def _dotted_line(images: Images, random: Generator) -> Images:
    """Draw a straight line from side to side: every other two pixels, 2 pixels thick."""
    start, end = random.uniform(6, 22, (2, len(images), 1))
    along = np.arange(_SIDE)
    return _with_line(images, start + (end - start) * along / (_SIDE - 1), along % 4 < 2, random)


def _zigzag(images: Images, random: Generator) -> Images:
    """Draw a zigzag from side to side: up and down by 4 pixels every 8, 2 pixels thick."""
    start, end = random.uniform(6, 22, (2, len(images), 1))
    along = np.arange(_SIDE)
    wave = np.abs((along + random.integers(0, 8, (len(images), 1))) % 8 - 4.0) - 2
    line = start + (end - start) * along / (_SIDE - 1) + wave
    return _with_line(images, line, np.full(_SIDE, True), random)


CORRUPTIONS: dict[str, Callable[[Images, Generator], Images]] = {
    "shot noise": _shot_noise,
    "impulse noise": _impulse_noise,
    "blur": _blur,
    "glass": _glass,
    "motion": _motion,
    "shear": _shear,
    "scale": _scale,
    "rotate": _rotate,
    "translate": _translate,
    "brightness": _brightness,
    "stripe": _stripe,
    "fog": _fog,
    "spatter": _spatter,
    "dotted line": _dotted_line,
    "zigzag": _zigzag,
}


def _signs(images: Images, random: Generator) -> NDArray[np.float64]:
    return random.choice([-1.0, 1.0], len(images))


def _smoothed(images: Images, deviation: float) -> Images:
    """Convolve with a Gaussian; outside an image lies paper."""
    distance = np.subtract.outer(np.arange(_SIDE), np.arange(_SIDE))
    reach = np.arange(-_SIDE, _SIDE + 1)
    bump = np.exp(-(distance**2) / (2 * deviation**2))
    bump = (bump / np.exp(-(reach**2) / (2 * deviation**2)).sum()).astype(np.float32)
    return bump @ images @ bump


def _moved(images: Images, by: NDArray[np.float64]) -> Images:
    """Shift each image by ``by[:, n]``, pixels down and across."""
    identity, nothing = np.ones(len(images)), np.zeros(len(images))
    return _mapped(images, np.array([[identity, nothing], [nothing, identity]]), by)


def _mapped(
    images: Images, matrix: NDArray[np.float64], shift: NDArray[np.float64] | None = None
) -> Images:
    """Look each pixel up, bilinearly, where an affine map around the centre sends it.

    Args:
        images: float32 ``(N, 28, 28)``.
        matrix: ``(2, 2, N)``, from row and column of the result to those of the image.
        shift: ``(2, N)``, by which the image is moved, pixels down and across.
    """
    grid = (np.indices((_SIDE, _SIDE)) - _CENTRE).reshape(2, -1)
    place = np.einsum("abn,bp->anp", matrix, grid) + _CENTRE
    if shift is not None:
        place -= shift[:, :, None]
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    place = np.clip(place + 1, 0, _SIDE + 1 - 1e-6)
    corner = place.astype(int)
    down, across = (place - corner).astype(np.float32)
    row, column = corner
    image = np.arange(len(images))[:, None]
    upper = padded[image, row, column] * (1 - across) + padded[image, row, column + 1] * across
    lower = (
        padded[image, row + 1, column] * (1 - across) + padded[image, row + 1, column + 1] * across
    )
    return (upper * (1 - down) + lower * down).reshape(images.shape)


def _with_line(
    images: Images, height: NDArray[np.float64], drawn: NDArray[np.bool_], random: Generator
) -> Images:
    """Ink 2 pixels a column at ``height`` ``(N, 28)``, where drawn; upright for half the images."""
    rows = np.arange(_SIDE)[:, None]
    line = (np.abs(rows + 0.5 - (height[:, None] + 0.5)) <= 1) & drawn
    upright = random.random(len(images)) < 0.5
    line[upright] = line[upright].transpose(0, 2, 1)
    return np.where(line, 1, images).astype(np.float32)
