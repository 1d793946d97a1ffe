"""Pictures of handwritten digits as people take them: a function a kind, drawn from a seed.

``picture(kind, seed)`` returns a Pillow image and the digits that it shows, left to right.
"""

from collections.abc import Callable
from unittest import mock

import handwriting
import numpy as np
from handwriting import Ink
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage

Pixels = NDArray[np.float32]  # (height, width, 3), 0 to 255
Rng = np.random.Generator
Scene = Callable[[Rng], tuple[Image.Image, str]]

KINDS: dict[str, Scene] = {}


def picture(kind: str, seed: int) -> tuple[Image.Image, str]:
    """Return a picture of a kind, and the digits that it shows."""
    return KINDS[kind](np.random.default_rng([seed, sum(map(ord, kind))]))


# Kinds of paper, light and surroundings of which something may be taken for a digit.
WITHOUT_DIGIT = (
    *("crumpled", "fold", "even shade", "dark corners", "soft shadow", "hard shadow"),
    *("shadow of a hand", "glare", "scanner's black edge", "strip of table", "frame at the edge"),
)


def without_digit(kind: str, seed: int) -> Image.Image:
    """Return a picture of one of these kinds with nothing written on it."""
    nothing = np.zeros((handwriting.HEIGHT, handwriting.HEIGHT), np.float32), 0
    with mock.patch.object(handwriting, "digit", return_value=nothing):
        return picture(kind, seed)[0]


def kind(name: str) -> Callable[[Scene], Scene]:
    def register(scene: Scene) -> Scene:
        KINDS[name] = scene
        return scene

    return register


# What scenes are made of


def canvas(rng: Rng, least: int = 360, most: int = 900) -> tuple[int, int]:
    """Return a height and a width, upright or not."""
    long = int(rng.integers(least, most))
    short = int(long * rng.choice([0.75, 0.75, 1.0, 0.6]))
    return (long, short) if rng.random() < 0.3 else (short, long)


def placed(
    rng: Rng,
    ink: Ink,
    size: tuple[int, int],
    share: tuple[float, float] = (0.3, 0.65),
    angle: float = 0,
    inside: tuple[float, float, float, float] = (0.08, 0.08, 0.92, 0.92),
) -> Ink:
    """Return the digit somewhere on a picture: ``share`` of the height of the room inside.

    ``inside`` is left, top, right, bottom, as parts of the picture.
    """
    height, width = size
    left, top, right, bottom = (
        int(part * side) for part, side in zip(inside, (width, height) * 2, strict=True)
    )
    if angle:
        turned = Image.fromarray(ink).rotate(angle, Image.Resampling.BICUBIC, expand=True)
        ink = handwriting.cropped(np.asarray(turned).clip(0, 1))
    tall = rng.uniform(*share) * min(bottom - top, 1.2 * (right - left))
    scale = min(tall / ink.shape[0], 0.95 * (right - left) / ink.shape[1])
    tall, wide = max(1, round(ink.shape[0] * scale)), max(1, round(ink.shape[1] * scale))
    small = np.asarray(Image.fromarray(ink).resize((wide, tall), Image.Resampling.BOX))
    y = int(rng.integers(top, max(top, bottom - tall) + 1))
    x = int(rng.integers(left, max(left, right - wide) + 1))
    result = np.zeros(size, np.float32)
    result[y : y + tall, x : x + wide] = small[: height - y, : width - x]
    return result


def paper(size: tuple[int, int], colour: tuple[float, float, float]) -> Pixels:
    return np.broadcast_to(np.array(colour, np.float32), (*size, 3)).copy()


def white(rng: Rng) -> tuple[float, float, float]:
    light = rng.uniform(215, 252)
    return (light, light - rng.uniform(0, 6), light - rng.uniform(0, 18))


def pen(rng: Rng) -> tuple[float, float, float]:
    pens = [(20, 20, 25), (30, 30, 50), (25, 30, 110), (40, 45, 50), (20, 40, 140), (10, 10, 10)]
    return pens[rng.integers(len(pens))]


def written(
    pixels: Pixels, ink: Ink, colour: tuple[float, float, float], dense: float = 1
) -> Pixels:
    alpha = np.float32(dense) * ink[:, :, None]
    return pixels * (1 - alpha) + np.array(colour, np.float32) * alpha


def clouds(rng: Rng, size: tuple[int, int], cell: int) -> NDArray[np.float32]:
    """Return smooth noise of mean 0 and deviation 1, ``cell`` pixels coarse."""
    height, width = size
    coarse = rng.normal(0, 1, (height // cell + 3, width // cell + 3)).astype(np.float32)
    smooth = Image.fromarray(coarse).resize((width + cell, height + cell), Image.Resampling.BICUBIC)
    field = np.asarray(smooth)[:height, :width]
    return (field - field.mean()) / (field.std() + 1e-6)


def ramp(size: tuple[int, int], angle: float) -> NDArray[np.float32]:
    """Return -1 to 1 across the picture, in a direction in radians."""
    y, x = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
    field = (np.cos(angle) * x + np.sin(angle) * y).astype(np.float32)
    return field / np.abs(field).max()


def drawn(
    size: tuple[int, int], draw: Callable[[ImageDraw.ImageDraw], None], blur: float = 0.6
) -> Ink:
    """Return what is drawn with Pillow's pens, 0 to 1."""
    image = Image.new("L", (size[1], size[0]))
    draw(ImageDraw.Draw(image))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(blur)), np.float32) / np.float32(255)


def lines(
    rng: Rng, size: tuple[int, int], step: float, width: int, across: bool, skew: float = 0
) -> Ink:
    height, width_ = size
    start = rng.uniform(0, step)

    def draw(pen: ImageDraw.ImageDraw) -> None:
        far = width_ if across else height
        for at in np.arange(start - height, (height if across else width_) + height, step):
            ends = (0, at, far, at + skew * far)
            pen.line(ends if across else (at, 0, at - skew * far, far), fill=255, width=width)

    return drawn(size, draw)


def photographed(rng: Rng, pixels: Pixels, noise: float = 2, blur: float = 0) -> Image.Image:
    if blur:
        pixels = ndimage.gaussian_filter(pixels, (blur, blur, 0))
    pixels = pixels + rng.normal(0, noise, pixels.shape).astype(np.float32)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def page(
    rng: Rng, share: tuple[float, float] = (0.3, 0.65), angle: float = 0
) -> tuple[Pixels, Ink, str]:
    """Return white paper, the ink upon it, and the digit."""
    size = canvas(rng)
    ink, label = handwriting.digit(rng)
    return paper(size, white(rng)), placed(rng, ink, size, share, angle), str(label)


# Plain ones


@kind("clean")
def _clean(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    pixels[:] = 255
    return photographed(rng, written(pixels, ink, (0, 0, 0)), 0), label


@kind("inverted")
def _inverted(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    pixels[:] = rng.uniform(0, 30)
    return photographed(rng, written(pixels, ink, (255, 255, 255)), 1), label


@kind("corner")
def _corner(rng: Rng) -> tuple[Image.Image, str]:
    size = canvas(rng)
    ink, label = handwriting.digit(rng)
    x, y = (
        (0.02, 0.35) if rng.random() < 0.5 else (0.65, 0.98),
        ((0.02, 0.4) if rng.random() < 0.5 else (0.6, 0.98)),
    )
    spot = placed(rng, ink, size, (0.7, 1), inside=(x[0], y[0], x[1], y[1]))
    return photographed(rng, written(paper(size, white(rng)), spot, pen(rng)), 2), str(label)


def _cropped_tight(rng: Rng, margin: int) -> tuple[Image.Image, str]:
    ink, label = handwriting.digit(rng)
    scale = rng.uniform(0.3, 1)
    small = Image.fromarray(ink).resize(
        (max(8, int(ink.shape[1] * scale)), max(8, int(ink.shape[0] * scale))), Image.Resampling.BOX
    )
    ink = np.pad(np.asarray(small), margin)
    pixels = written(paper(ink.shape, white(rng)), ink, pen(rng))
    if rng.random() < 0.3:
        pixels = 255 - pixels
    return photographed(rng, pixels, 2), str(label)


@kind("tight")
def _tight(rng: Rng) -> tuple[Image.Image, str]:
    return _cropped_tight(rng, 0)


@kind("nearly tight")
def _nearly_tight(rng: Rng) -> tuple[Image.Image, str]:
    return _cropped_tight(rng, int(rng.integers(1, 12)))


@kind("transparent")
def _transparent(rng: Rng) -> tuple[Image.Image, str]:
    _, ink, label = page(rng)
    light = int(rng.choice([0, 255, 60]))
    pixels = np.dstack([np.full((*ink.shape, 3), light), ink * 255])
    return Image.fromarray(pixels.astype(np.uint8), "RGBA"), label


@kind("MNIST itself")
def _mnist(rng: Rng) -> tuple[Image.Image, str]:
    from mnistzoo import load_dataset

    test = load_dataset("mnist-10k").test
    index = int(rng.integers(0, 10_000))
    size = int(rng.choice([28, 56, 140, 280]))
    image = Image.fromarray(test.images[index])
    resample = rng.choice([Image.Resampling.NEAREST, Image.Resampling.BICUBIC])
    return image.resize((size, size), Image.Resampling(int(resample))), str(test.labels[index])


@kind("8x8 pixels")
def _tiny(rng: Rng) -> tuple[Image.Image, str]:
    ink, label = handwriting.digit(rng)
    height, width = ink.shape
    side = int(max(height, width) * rng.uniform(1.05, 1.3))
    square = np.zeros((side, side), np.float32)
    y, x = (side - height) // 2, (side - width) // 2
    square[y : y + height, x : x + width] = ink
    small = Image.fromarray(255 - 255 * square).resize((8, 8), Image.Resampling.BOX)
    pixels = np.asarray(small)
    return Image.fromarray((255 - pixels if rng.random() < 0.5 else pixels).astype(np.uint8)), str(
        label
    )


@kind("colours")
def _colours(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    while True:
        ground, colour = rng.uniform(0, 255, (2, 3))
        if np.abs(ground - colour).max() > 110:
            break
    pixels[:] = ground
    return photographed(rng, written(pixels, ink, tuple(colour)), 3), label


@kind("rotated")
def _rotated(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng, angle=rng.uniform(-13, 13))
    return photographed(rng, written(pixels, ink, pen(rng))), label


def _by_a_pen(rng: Rng, thinnest: float, thickest: float) -> tuple[Image.Image, str]:
    size = canvas(rng)
    label = int(rng.integers(10))
    ink = handwriting.of_strokes(rng, label, rng.uniform(thinnest, thickest))
    spot = placed(rng, ink, size, (0.4, 0.8))
    return photographed(rng, written(paper(size, white(rng)), spot, pen(rng))), str(label)


@kind("thin pen")
def _thin(rng: Rng) -> tuple[Image.Image, str]:
    return _by_a_pen(rng, 0.01, 0.03)


@kind("thick pen")
def _thick(rng: Rng) -> tuple[Image.Image, str]:
    return _by_a_pen(rng, 0.18, 0.26)


@kind("small on A4")
def _small(rng: Rng) -> tuple[Image.Image, str]:
    ink, label = handwriting.digit(rng)
    size = (1170, 827)
    spot = placed(rng, ink, size, (0.03, 0.07))
    return photographed(rng, written(paper(size, white(rng)), spot, pen(rng)), 2), str(label)


# Pens and papers


@kind("pencil")
def _pencil(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    grain = (0.75 + 0.25 * clouds(rng, ink.shape, 2)).clip(0, 1)
    return photographed(rng, written(pixels, ink * grain, (110, 110, 115), 0.8), 4), label


@kind("faint")
def _faint(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    return photographed(rng, written(pixels, ink, (120, 120, 125), rng.uniform(0.3, 0.5)), 2), label


@kind("dry marker")
def _dry(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    gaps = (clouds(rng, ink.shape, 5) > -1.1).astype(np.float32)
    gaps = ndimage.gaussian_filter(gaps, 1)
    return photographed(rng, written(pixels, ink * (0.45 + 0.55 * gaps), pen(rng)), 3), label


@kind("ruled")
def _ruled(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    rules = lines(rng, ink.shape, rng.uniform(24, 60), int(rng.integers(1, 3)), True)
    pixels = written(pixels, rules, (120, 160, 210), rng.uniform(0.4, 0.9))
    return photographed(rng, written(pixels, ink, pen(rng))), label


@kind("ruled, turned")
def _ruled_turned(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    skew = rng.uniform(-0.12, 0.12)
    rules = lines(rng, ink.shape, rng.uniform(24, 60), int(rng.integers(1, 4)), True, skew)
    pixels = written(pixels, rules, (90, 110, 160), rng.uniform(0.5, 1))
    return photographed(rng, written(pixels, ink, pen(rng))), label


@kind("margin line")
def _margin(rng: Rng) -> tuple[Image.Image, str]:
    pixels, _, _ = page(rng)
    size = pixels.shape[:2]
    ink, label = handwriting.digit(rng)
    spot = placed(rng, ink, size, (0.35, 0.65), inside=(0.2, 0.08, 0.92, 0.92))
    rules = lines(rng, size, rng.uniform(24, 60), 1, True)
    pixels = written(pixels, rules, (120, 160, 210), 0.6)
    x = size[1] * rng.uniform(0.08, 0.16)
    if rng.random() < 0.25:  # on the right
        x, spot = size[1] - x, spot[:, ::-1][:, ::-1]
        spot = placed(rng, ink, size, (0.35, 0.65), inside=(0.08, 0.08, 0.8, 0.92))
    width = int(rng.integers(1, 5))
    margin = drawn(size, lambda d: d.line((x, 0, x, size[0]), fill=255, width=width))
    pixels = written(pixels, margin, (215, 60, 60))
    return photographed(rng, written(pixels, spot, pen(rng))), str(label)


def _squared(
    rng: Rng, colour: tuple[float, float, float], dense: float, width: int
) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng, (0.4, 0.7))
    step = rng.uniform(14, 40)
    skew = rng.uniform(-0.05, 0.05)
    for across in (True, False):
        pixels = written(pixels, lines(rng, ink.shape, step, width, across, skew), colour, dense)
    return photographed(rng, written(pixels, ink, pen(rng))), label


@kind("squared, pale")
def _squared_pale(rng: Rng) -> tuple[Image.Image, str]:
    return _squared(rng, (150, 190, 225), rng.uniform(0.4, 0.9), 1)


@kind("squared, strong")
def _squared_strong(rng: Rng) -> tuple[Image.Image, str]:
    return _squared(rng, (70, 100, 190), rng.uniform(0.7, 1), int(rng.integers(1, 3)))


@kind("squared, as dark as ink")
def _squared_dark(rng: Rng) -> tuple[Image.Image, str]:
    return _squared(rng, (40, 45, 70), 1, 1)


@kind("dotted paper")
def _dotted(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    step, radius = rng.uniform(16, 36), rng.uniform(1, 2)
    height, width = ink.shape

    def draw(pen: ImageDraw.ImageDraw) -> None:
        for y in np.arange(step / 2, height, step):
            for x in np.arange(step / 2, width, step):
                pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)

    pixels = written(pixels, drawn(ink.shape, draw), (110, 120, 150), rng.uniform(0.5, 1))
    return photographed(rng, written(pixels, ink, pen(rng))), label


def _boxed(rng: Rng, table: bool) -> tuple[Image.Image, str]:
    size = canvas(rng)
    height, width = size
    x0, y0 = rng.uniform(0.1, 0.25) * width, rng.uniform(0.1, 0.2) * height
    x1, y1 = rng.uniform(0.75, 0.9) * width, rng.uniform(0.8, 0.9) * height
    ink, label = handwriting.digit(rng)
    inside = (x0 / width + 0.06, y0 / height + 0.06, x1 / width - 0.06, y1 / height - 0.06)
    spot = placed(rng, ink, size, (0.5, 0.9), inside=inside)
    thick = int(rng.integers(1, 7))

    def draw(pen: ImageDraw.ImageDraw) -> None:
        pen.rectangle((x0, y0, x1, y1), outline=255, width=thick)
        if table:
            for x in (x0, x1):
                pen.line((x, 0, x, height), fill=255, width=thick)
            for y in (y0, y1):
                pen.line((0, y, width, y), fill=255, width=thick)

    pixels = written(paper(size, white(rng)), drawn(size, draw), (30, 30, 30))
    return photographed(rng, written(pixels, spot, pen(rng))), str(label)


@kind("box")
def _box(rng: Rng) -> tuple[Image.Image, str]:
    return _boxed(rng, False)


@kind("cell of a table")
def _cell(rng: Rng) -> tuple[Image.Image, str]:
    return _boxed(rng, True)


@kind("frame at the edge")
def _frame(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    pixels = written(pixels, ink, pen(rng))
    width = int(rng.integers(1, 12))
    colour = rng.choice([0, 30, 90])
    pixels[:width] = pixels[-width:] = colour
    pixels[:, :width] = pixels[:, -width:] = colour
    return photographed(rng, pixels, 1), label


@kind("holes")
def _holes(rng: Rng) -> tuple[Image.Image, str]:
    size = canvas(rng)
    ink, label = handwriting.digit(rng)
    spot = placed(rng, ink, size, (0.35, 0.65), inside=(0.2, 0.05, 0.95, 0.95))
    radius = size[0] * rng.uniform(0.015, 0.03)
    count, x = int(rng.integers(2, 5)), size[1] * rng.uniform(0.05, 0.1)
    ys = np.linspace(0.1, 0.9, count) * size[0]

    def draw(pen: ImageDraw.ImageDraw) -> None:
        for y in ys:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)

    pixels = written(paper(size, white(rng)), drawn(size, draw), (60, 50, 45))
    return photographed(rng, written(pixels, spot, pen(rng))), str(label)


@kind("spiral binding")
def _spiral(rng: Rng) -> tuple[Image.Image, str]:
    size = canvas(rng)
    ink, label = handwriting.digit(rng)
    spot = placed(rng, ink, size, (0.35, 0.65), inside=(0.05, 0.18, 0.95, 0.95))
    step = size[1] / rng.integers(14, 26)

    def draw(pen: ImageDraw.ImageDraw) -> None:
        for x in np.arange(step / 2, size[1], step):
            pen.rectangle(
                (x - step * 0.2, size[0] * 0.05, x + step * 0.2, size[0] * 0.08), fill=255
            )
            pen.line((x, 0, x, size[0] * 0.065), fill=160, width=3)

    pixels = written(paper(size, white(rng)), drawn(size, draw), (40, 40, 45))
    return photographed(rng, written(pixels, spot, pen(rng))), str(label)


@kind("specks")
def _specks(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    dots = (rng.random(ink.shape) > 1 - rng.uniform(0.0002, 0.003)).astype(np.float32)
    pixels = written(written(pixels, ink, pen(rng)), dots, (30, 30, 30))
    return photographed(rng, pixels), label


@kind("dust")
def _dust(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    height, width = ink.shape

    def draw(pen: ImageDraw.ImageDraw) -> None:
        for _ in range(int(rng.integers(20, 150))):
            x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.5, 3)
            pen.ellipse((x - r, y - r, x + r, y + r), fill=int(rng.integers(80, 255)))
        for _ in range(int(rng.integers(0, 8))):  # hairs
            x, y = rng.uniform(0, width), rng.uniform(0, height)
            pen.line((x, y, x + rng.uniform(-30, 30), y + rng.uniform(-30, 30)), fill=150, width=1)

    pixels = written(pixels, drawn(ink.shape, draw), (60, 55, 50))
    return photographed(rng, written(pixels, ink, pen(rng))), label


@kind("stain")
def _stain(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    height, width = ink.shape
    x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.15, 0.35) * height
    ring = drawn(
        ink.shape,
        lambda d: d.ellipse((x - r, y - r, x + r, y + r), fill=120, outline=255, width=6),
        3,
    )
    pixels = written(pixels, ring, (170, 120, 70), rng.uniform(0.3, 0.7))
    return photographed(rng, written(pixels, ink, pen(rng))), label


@kind("show-through")
def _through(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    other, _ = handwriting.digit(rng)
    back = placed(rng, other, ink.shape, (0.3, 0.65))[:, ::-1]
    pixels = written(
        pixels, ndimage.gaussian_filter(back, 2), (100, 100, 110), rng.uniform(0.1, 0.22)
    )
    return photographed(rng, written(pixels, ink, pen(rng))), label


@kind("wood grain")
def _wood(rng: Rng) -> tuple[Image.Image, str]:
    _, ink, label = page(rng)
    pixels = _grained(rng, ink.shape, rng.uniform(4, 12))
    return photographed(rng, written(pixels, ink, (20, 15, 12)), 3), label


def _grained(rng: Rng, size: tuple[int, int], strength: float, light: float = 0) -> Pixels:
    light = light or rng.uniform(150, 205)
    height, width = size
    y = np.arange(height, dtype=np.float32)[:, None] / height
    bend = clouds(rng, size, max(40, width // 4))
    rings = np.sin(2 * np.pi * (rng.uniform(6, 18) * y + 0.35 * bend))
    fine = np.asarray(
        Image.fromarray(rng.normal(0, 1, (height, max(2, width // 40))).astype(np.float32)).resize(
            (width, height), Image.Resampling.BILINEAR
        )
    )
    field = (strength * (rings + 0.8 * fine)).astype(np.float32)
    return np.array([light, light * 0.78, light * 0.55], np.float32) + field[:, :, None]


@kind("kraft paper")
def _kraft(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    pixels[:] = (190, 150, 105)
    pixels += 8 * clouds(rng, ink.shape, 3)[:, :, None]
    return photographed(rng, written(pixels, ink, (25, 20, 20)), 4), label


@kind("cloth")
def _cloth(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    y, x = np.mgrid[: ink.shape[0], : ink.shape[1]]
    period = rng.uniform(4, 9)
    weave = np.sin(2 * np.pi * x / period) * np.sin(2 * np.pi * y / period)
    pixels += (rng.uniform(6, 16) * weave)[:, :, None] - 20
    return photographed(rng, written(pixels, ink, pen(rng)), 3), label


@kind("crumpled")
def _crumpled(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    pixels = written(pixels, ink, pen(rng))
    facets = np.zeros(ink.shape, np.float32)
    for _ in range(14):
        side = ramp(ink.shape, rng.uniform(0, 7)) - rng.uniform(-0.9, 0.9)
        facets += np.where(side > 0, 1, -1) * np.exp(-3 * np.abs(side)) * rng.uniform(-1, 1)
    pixels *= 1 + 0.10 * facets[:, :, None]
    return photographed(rng, pixels - 20, 2, 0.7), label


@kind("fold")
def _fold(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    pixels = written(pixels, ink, pen(rng))
    for _ in range(int(rng.integers(1, 3))):
        side = ramp(ink.shape, rng.choice([0, np.pi / 2]) + rng.uniform(-0.1, 0.1))
        side -= rng.uniform(-0.5, 0.5)
        pixels *= np.where(side > 0, 1 - rng.uniform(0.05, 0.15), 1)[:, :, None]
        crease = np.exp(-((side / rng.uniform(0.005, 0.015)) ** 2))[:, :, None]
        pixels *= 1 - rng.uniform(0.1, 0.35) * crease
    return photographed(rng, pixels), label


@kind("sticky note")
def _sticky(rng: Rng) -> tuple[Image.Image, str]:
    return _sheet(rng, ((250, 235, 110), (255, 170, 190), (160, 230, 160))[rng.integers(3)])


# Light


@kind("phone noise")
def _noise(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    pixels = written(pixels, ink, pen(rng)) * rng.uniform(0.5, 0.9)
    return photographed(rng, pixels, rng.uniform(8, 20), 0.8), label


@kind("out of focus")
def _blurred(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    pixels = written(pixels, ink, pen(rng))
    return photographed(rng, pixels, 2, ink.shape[0] * rng.uniform(0.004, 0.014)), label


@kind("jpeg")
def _jpeg(rng: Rng) -> tuple[Image.Image, str]:
    import io

    pixels, ink, label = page(rng)
    stream = io.BytesIO()
    photographed(rng, written(pixels, ink, pen(rng))).save(stream, "JPEG", quality=8)
    return Image.open(io.BytesIO(stream.getvalue())).convert("RGB"), label


@kind("even shade")
def _shade(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    light = 0.72 + rng.uniform(0.1, 0.27) * ramp(ink.shape, rng.uniform(0, 7))
    return photographed(rng, written(pixels, ink, pen(rng)) * light[:, :, None]), label


@kind("dark corners")
def _vignette(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    y, x = np.mgrid[-1 : 1 : ink.shape[0] * 1j, -1 : 1 : ink.shape[1] * 1j]
    light = 0.95 - rng.uniform(0.2, 0.6) * (x**2 + y**2) / 2
    return photographed(rng, written(pixels, ink, pen(rng)) * light[:, :, None]), label


def _shadowed(rng: Rng, soft: tuple[float, float]) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    side = ramp(ink.shape, rng.uniform(0, 7)) - rng.uniform(-0.4, 0.4)
    if rng.random() < 0.4:
        side += 0.12 * clouds(rng, ink.shape, 150)
    shadow = 1 / (1 + np.exp(-(side / rng.uniform(*soft)).clip(-30, 30)))
    light = 1 - rng.uniform(0.25, 0.6) * shadow
    return photographed(rng, written(pixels, ink, pen(rng)) * light[:, :, None]), label


@kind("soft shadow")
def _soft(rng: Rng) -> tuple[Image.Image, str]:
    return _shadowed(rng, (0.06, 0.2))


@kind("hard shadow")
def _hard(rng: Rng) -> tuple[Image.Image, str]:
    return _shadowed(rng, (0.003, 0.03))


@kind("shadow of a hand")
def _hand(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    height, width = ink.shape
    x, bottom = rng.uniform(0.1, 0.9) * width, height

    def draw(pen: ImageDraw.ImageDraw) -> None:
        for finger in range(4):
            at = x + (finger - 1.5) * 0.09 * width
            top = rng.uniform(0.3, 0.6) * height
            pen.line(
                (at, top, x + (finger - 1.5) * 0.05 * width, bottom),
                fill=255,
                width=int(0.075 * width),
            )
            r = 0.037 * width
            pen.ellipse((at - r, top - r, at + r, top + r), fill=255)

    shadow = drawn(ink.shape, draw, rng.uniform(3, 12))
    light = 1 - rng.uniform(0.2, 0.5) * shadow
    return photographed(rng, written(pixels, ink, pen(rng)) * light[:, :, None]), label


@kind("glare")
def _glare(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    pixels[:] = rng.uniform(170, 215)
    height, width = ink.shape
    colours = [(20, 20, 25), (20, 40, 160), (180, 25, 30), (15, 110, 50)]
    pixels = written(pixels, ink, colours[rng.integers(4)])
    y, x = np.mgrid[:height, :width]
    for _ in range(int(rng.integers(1, 3))):
        cy, cx = rng.uniform(0, height), rng.uniform(0, width)
        radius = rng.uniform(0.06, 0.25) * width
        distance = np.hypot(y - cy, (x - cx) * rng.uniform(0.5, 1)) / radius
        glow = np.exp(-(distance**2)) * rng.uniform(60, 200)
        pixels += glow[:, :, None]
    return photographed(rng, pixels.clip(0, 255)), label


@kind("chalkboard")
def _chalk(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    pixels[:] = ((40, 60, 50), (45, 45, 48))[rng.integers(2)]
    pixels += (9 * clouds(rng, ink.shape, 60) + 5 * clouds(rng, ink.shape, 8))[:, :, None]
    grain = (0.75 + 0.3 * clouds(rng, ink.shape, 2)).clip(0.1, 1)
    return photographed(rng, written(pixels, ink * grain, (225, 225, 215)), 5), label


@kind("screen")
def _screen(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    pixels = written(pixels, ink, pen(rng))
    y, x = np.mgrid[: ink.shape[0], : ink.shape[1]]
    moire = np.sin(x / rng.uniform(1.1, 4) + 0.3 * np.sin(y / 60)) + np.sin(y / rng.uniform(8, 30))
    pixels += rng.uniform(4, 10) * moire[:, :, None] - 20
    return photographed(rng, pixels, 3), label


# What else is on the picture


@kind("scanner's black edge")
def _scanner(rng: Rng) -> tuple[Image.Image, str]:
    pixels, ink, label = page(rng)
    pixels = written(pixels, ink, pen(rng))
    width = int(rng.uniform(0.008, 0.07) * max(ink.shape))
    side = rng.integers(4)
    for each in {int(side), int((side + rng.integers(0, 2)) % 4)}:
        edge = np.rot90(pixels, each)
        slope = (np.linspace(0, rng.uniform(-0.4, 0.4), edge.shape[1]) * width).astype(int)
        for column, extra in enumerate(slope):
            edge[: max(1, width + extra), column] = 12
    return photographed(rng, pixels), label


@kind("strip of table")
def _strip(rng: Rng) -> tuple[Image.Image, str]:
    size = canvas(rng)
    part = rng.uniform(0.06, 0.3)
    side = int(rng.integers(4))
    inside = [0.06, 0.06, 0.94, 0.94]
    inside[side] = part + 0.05 if side < 2 else 1 - part - 0.05
    ink, label = handwriting.digit(rng)
    spot = placed(rng, ink, size, (0.4, 0.7), inside=(inside[0], inside[1], inside[2], inside[3]))
    pixels = written(paper(size, white(rng)), spot, pen(rng))
    table = _table(rng, size)
    y, x = np.mgrid[0 : 1 : size[0] * 1j, 0 : 1 : size[1] * 1j]
    along, across = (x, y) if side % 2 == 0 else (y, x)
    along = along if side < 2 else 1 - along
    mask = along < part + rng.uniform(-0.05, 0.05) * (across - 0.5)
    pixels[mask] = table[mask]
    return photographed(rng, pixels, 3, 0.5), str(label)


def _table(rng: Rng, size: tuple[int, int]) -> Pixels:
    which = rng.integers(4)
    if which == 0:
        return _grained(rng, size, rng.uniform(2, 10), rng.uniform(90, 160))
    if which == 1:
        return paper(size, (115, 80, 50)) + rng.normal(0, 4, (*size, 1)).astype(np.float32)
    if which == 2:
        return paper(size, (45, 45, 50)) + 4 * clouds(rng, size, 12)[:, :, None]
    return paper(size, tuple(rng.uniform(20, 150, 3)))


def _sheet(rng: Rng, colour: tuple[float, float, float]) -> tuple[Image.Image, str]:
    size = canvas(rng, 480, 900)
    height, width = size
    sheet = int(height * rng.uniform(0.5, 0.85)), int(width * rng.uniform(0.5, 0.85))
    ink, label = handwriting.digit(rng)
    spot = placed(rng, ink, sheet, (0.4, 0.75), inside=(0.1, 0.1, 0.9, 0.9))
    pixels = written(paper(sheet, colour), spot, pen(rng))
    rgba = np.dstack([pixels, np.full(sheet, 255)]).clip(0, 255).astype(np.uint8)
    turned = Image.fromarray(rgba).rotate(rng.uniform(-8, 8), Image.Resampling.BICUBIC, expand=True)
    table = Image.fromarray(_table(rng, size).clip(0, 255).astype(np.uint8)).convert("RGBA")
    x = int(rng.integers(0, max(1, width - turned.width)))
    y = int(rng.integers(0, max(1, height - turned.height)))
    if rng.random() < 0.5:  # the sheet throws a shadow
        shadow = turned.getchannel("A").filter(ImageFilter.GaussianBlur(6)).point(lambda v: v // 2)
        table.paste(Image.new("RGBA", turned.size, "black"), (x + 5, y + 6), shadow)
    table.paste(turned, (x, y), turned)
    return photographed(rng, np.asarray(table.convert("RGB"), np.float32), 3, 0.5), str(label)


@kind("sheet on a table")
def _whole(rng: Rng) -> tuple[Image.Image, str]:
    return _sheet(rng, white(rng))


@kind("squared sheet on a table")
def _whole_squared(rng: Rng) -> tuple[Image.Image, str]:
    size = canvas(rng, 560, 900)
    height, width = size
    part = rng.uniform(0.08, 0.16)
    inner = (int(height * (1 - 2 * part)), int(width * (1 - 2 * part)))
    ink, label = handwriting.digit(rng)
    sheet = paper(inner, white(rng))
    for across in (True, False):
        sheet = written(
            sheet, lines(rng, inner, rng.uniform(16, 30), 1, across), (130, 165, 210), 0.7
        )
    sheet = written(
        sheet, placed(rng, ink, inner, (0.4, 0.7), inside=(0.1, 0.1, 0.9, 0.9)), pen(rng)
    )
    pixels = _table(rng, size)
    y, x = int(height * part), int(width * part)
    pixels[y : y + inner[0], x : x + inner[1]] = sheet
    return photographed(rng, pixels, 3, 0.5), str(label)


@kind("finger at the edge")
def _finger(rng: Rng) -> tuple[Image.Image, str]:
    size = canvas(rng)
    ink, label = handwriting.digit(rng)
    spot = placed(rng, ink, size, (0.4, 0.7), inside=(0.05, 0.05, 0.72, 0.95))
    height, width = size
    y = rng.uniform(0.3, 0.9) * height
    thick = rng.uniform(0.07, 0.13) * height

    def draw(pen: ImageDraw.ImageDraw) -> None:
        tip = width * rng.uniform(0.8, 0.9)
        pen.line((tip, y, width, y + 30), fill=255, width=int(2 * thick))
        pen.ellipse((tip - thick, y - thick, tip + thick, y + thick), fill=255)

    pixels = written(paper(size, white(rng)), spot, pen(rng))
    pixels = written(pixels, drawn(size, draw, 1.5), (205, 150, 125))
    return photographed(rng, pixels), str(label)


@kind("underlined")
def _underlined(rng: Rng) -> tuple[Image.Image, str]:
    size = canvas(rng)
    ink, label = handwriting.digit(rng)
    spot = placed(rng, ink, size, (0.4, 0.6), inside=(0.15, 0.08, 0.85, 0.8))
    rows, columns = (np.flatnonzero((spot > 0.5).any(axis=axis)) for axis in (1, 0))
    y = rows[-1] + rng.uniform(0.06, 0.12) * size[0]
    x0, x1 = columns[0] - rng.uniform(20, 60), columns[-1] + rng.uniform(20, 60)
    width = int(rng.integers(3, 9))
    line = drawn(size, lambda d: d.line((x0, y, x1, y + rng.uniform(-6, 6)), fill=255, width=width))
    colour = pen(rng)
    return photographed(
        rng, written(written(paper(size, white(rng)), spot, colour), line, colour)
    ), str(label)


@kind("small print beside it")
def _print(rng: Rng) -> tuple[Image.Image, str]:
    size = canvas(rng)
    ink, label = handwriting.digit(rng)
    spot = placed(rng, ink, size, (0.45, 0.7), inside=(0.08, 0.16, 0.92, 0.95))

    def draw(pen: ImageDraw.ImageDraw) -> None:
        pen.text((size[1] * 0.05, size[0] * 0.04), "Name, class, date of the exercise", fill=255)

    pixels = written(paper(size, white(rng)), drawn(size, draw, 0.3), (50, 50, 50))
    return photographed(rng, written(pixels, spot, pen(rng))), str(label)


# Several digits


def _row(rng: Rng, count: int, gap: tuple[float, float]) -> tuple[Ink, str]:
    inks, labels = _of_one_hand(rng, count)
    tallest = max(ink.shape[0] for ink in inks)
    pieces = []
    for ink in inks:
        above = int(rng.integers(0, tallest - ink.shape[0] + 1))
        space = max(1, int(rng.uniform(*gap) * tallest))
        pieces += [np.pad(ink, ((above, tallest - ink.shape[0] - above), (0, space)))]
    return handwriting.cropped(np.hstack(pieces)), labels


def _of_one_hand(rng: Rng, count: int) -> tuple[list[Ink], str]:
    source, labels, inks = int(rng.integers(0, 20)), "", []
    for _ in range(count):
        label = int(rng.integers(10))
        if source < 10:
            ink = handwriting.of_font(handwriting.FONTS[source], label)
        elif source < 15:
            ink = handwriting.of_strokes(rng, label, 0.07)
        else:
            ink, label = handwriting.of_test_set(int(rng.integers(0, 10_000)))
        labels += str(label)
        inks.append(ink)
    return inks, labels


def _several(rng: Rng, count: int) -> tuple[Image.Image, str]:
    size = canvas(rng, 480)
    row, labels = _row(rng, count, (0.12, 0.4))
    spot = placed(rng, row, size, (0.35, 0.6), inside=(0.05, 0.08, 0.95, 0.92))
    return photographed(rng, written(paper(size, white(rng)), spot, pen(rng))), labels


@kind("two digits")
def _two(rng: Rng) -> tuple[Image.Image, str]:
    return _several(rng, 2)


@kind("four digits")
def _four(rng: Rng) -> tuple[Image.Image, str]:
    return _several(rng, 4)


@kind("two lines of digits")
def _lines_of(rng: Rng) -> tuple[Image.Image, str]:
    size = canvas(rng, 600)
    spots, labels = np.zeros(size, np.float32), ""
    for top in (0.06, 0.53):
        row, text = _row(rng, 3, (0.15, 0.4))
        spots += placed(rng, row, size, (0.75, 0.9), inside=(0.05, top, 0.95, top + 0.4))
        labels += text
    return photographed(rng, written(paper(size, white(rng)), spots, pen(rng))), labels


@kind("touching digits")
def _touching(rng: Rng) -> tuple[Image.Image, str]:
    size = canvas(rng, 480)
    while True:
        row, labels = _touching_row(rng)
        # Two digits that only seem to touch are another kind.
        if ndimage.label(row > 0.3, np.ones((3, 3)))[1] == 1:
            break
    spot = placed(rng, row, size, (0.35, 0.6), inside=(0.05, 0.08, 0.95, 0.92))
    return photographed(rng, written(paper(size, white(rng)), spot, pen(rng))), labels


def _touching_row(rng: Rng) -> tuple[Ink, str]:
    """Return two digits, the right one moved to the left until they overlap a little."""
    (left, right), labels = _of_one_hand(rng, 2)
    height = max(left.shape[0], right.shape[0])
    left, right = (np.pad(each, ((height - each.shape[0], 0), (0, 0))) for each in (left, right))
    # The columns between them in the row where they are closest.
    gaps = [
        left.shape[1] - 1 - np.flatnonzero(a > 0.5).max(initial=-height)
        + np.flatnonzero(b > 0.5).min(initial=height)
        for a, b in zip(left, right, strict=True)
    ]  # fmt: skip
    overlap = min(int(min(gaps) + rng.integers(2, 10)), left.shape[1] - 1, right.shape[1] - 1)
    start = left.shape[1] - overlap
    row = np.zeros((height, start + right.shape[1]), np.float32)
    row[:, : left.shape[1]] = left
    row[:, start:] = np.maximum(row[:, start:], right)
    return row, labels
