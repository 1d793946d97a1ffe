"""Pictures without a digit are refused, or doubted; whatever the pixels, nothing else is raised."""

from typing import Any

import numpy as np
import pytest
import scenes
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mnistzoo.pictures import PictureError
from mnistzoo.prediction import Reader, Reading, read


def drawn(shape: str, box: tuple[int, int, int, int], **options: Any) -> Image.Image:
    """Return a shape in black, on white."""
    image = Image.new("L", (300, 200), 255)
    getattr(ImageDraw.Draw(image), shape)(box, fill=0, **options)
    return image


PICTURES: dict[str, Any] = {
    "noise": np.random.default_rng(0).integers(0, 256, (200, 300, 3)).astype(np.uint8),
    "thin line": drawn("line", (20, 100, 280, 100), width=1),
    "slanting line": drawn("line", (20, 90, 280, 110), width=3),
    "thick line": drawn("line", (60, 100, 240, 100), width=12),
    "dash": drawn("rectangle", (80, 96, 219, 103)),
    "blank": np.full((200, 300), 255, np.uint8),
    "gradient": np.tile(np.linspace(0, 255, 400).astype(np.uint8), (400, 1)),
    "disc": drawn("ellipse", (50, 50, 150, 150)),
}
PIECES = ("noise", "slanting line")  # may be read as several digits


def reading_of(picture: Any, classify: Any) -> Reading | None:
    """Return what a picture shows; None if it is refused."""
    try:
        return read(picture, Reader(classify))
    except PictureError:
        return None


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_without_a_digit_are_refused_or_doubted(name: str, classify_quickly: Any) -> None:
    reading = reading_of(PICTURES[name], classify_quickly)
    if reading is not None:
        assert reading.one.doubt
        assert len(reading.predictions) == 1 or name in PIECES


def test_paper_shadows_and_edges_without_a_digit_are_refused_or_doubted(classify: Any) -> None:
    sure = []
    for kind in scenes.WITHOUT_DIGIT:
        for seed in (0, 1):
            reading = reading_of(scenes.without_digit(kind, seed), classify)
            if reading is not None and not reading.one.doubt:
                sure.append((kind, seed))
    assert not sure


@st.composite
def pictures(draw: st.DrawFn) -> NDArray[np.uint8]:
    """Return paper with bars of any size on it, with or without grain."""
    height, width = draw(st.integers(1, 120)), draw(st.integers(1, 300))
    pixels = np.full((height, width), draw(st.integers(0, 255)), np.uint8)
    for _ in range(draw(st.integers(0, 4))):
        y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        bottom, right = draw(st.integers(y, height - 1)), draw(st.integers(x, width - 1))
        pixels[y : bottom + 1, x : right + 1] = draw(st.integers(0, 255))
    grain = draw(st.sampled_from([0, 0, 3, 60]))
    noise = np.random.default_rng(draw(st.integers(0, 9))).normal(0, grain, pixels.shape)
    return (pixels + noise).clip(0, 255).astype(np.uint8)


@settings(max_examples=100)
@given(pixels=pictures())
def test_no_array_of_pixels_raises_anything_else(
    pixels: NDArray[np.uint8], classify_quickly: Any
) -> None:
    height, width = pixels.shape
    reading = reading_of(pixels, classify_quickly)
    if reading is not None:
        boxes = [each.box for each in reading.predictions]
        assert all(0 <= x < x2 <= width and 0 <= y < y2 <= height for x, y, x2, y2 in boxes)
