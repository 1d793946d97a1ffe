"""Digits are found among what else is on a picture."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mnistzoo.pictures import find
from mnistzoo.pictures.lines import without_lines


def drawn(size: tuple[int, int] = (400, 300)) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", size, "white")
    return image, ImageDraw.Draw(image)


def seven(draw: ImageDraw.ImageDraw, x: int, y: int, tall: int = 100, ink: str = "black") -> None:
    points = [(x, y), (x + tall // 2, y), (x + tall // 5, y + tall)]
    draw.line(points, fill=ink, width=tall // 10)


def boxes(image: Image.Image) -> list[tuple[int, int, int, int]]:
    return [digit.box for digit in find(np.asarray(image)).digits]


@pytest.mark.parametrize("slope", [0, 0.03, -0.1])
def test_lines_that_cross_the_picture_go_and_strokes_across_them_stay(slope: float) -> None:
    image = Image.new("1", (400, 300))
    draw = ImageDraw.Draw(image)
    draw.line((150, 60, 170, 240), fill=1, width=14)
    stroke = np.asarray(image).copy()
    for y in range(-60, 400, 25):
        draw.line((0, y, 400, y + 400 * slope), fill=1, width=2)
    cleared = without_lines(np.asarray(image))
    assert (cleared & stroke).sum() > 0.97 * stroke.sum()
    assert (cleared & ~stroke).sum() < 0.1 * (np.asarray(image) & ~stroke).sum()


def test_digits_are_read_line_by_line_left_to_right() -> None:
    image, draw = drawn()
    places = [(40, 20), (150, 35), (270, 15), (60, 170), (200, 180)]
    for x, y in places:
        seven(draw, x, y)
    found = boxes(image)
    assert [(left, top) for left, top, _, _ in found] == [
        pytest.approx(place, abs=8) for place in places
    ]


def test_frames_underlines_holes_and_edges_are_no_digits() -> None:
    image, draw = drawn()
    seven(draw, 180, 80)
    expected = boxes(image)
    draw.rectangle((0, 0, 399, 299), outline="black", width=4)
    draw.rectangle((120, 40, 300, 230), outline="black", width=2)
    draw.line((160, 205, 270, 207), fill="black", width=4)
    for y in (40, 150, 260):
        draw.ellipse((20, y - 8, 36, y + 8), fill="black")
    assert boxes(image) == [pytest.approx(expected[0], abs=2)]


def test_a_digit_on_a_sheet_is_found_not_the_sheet() -> None:
    image = Image.new("RGB", (400, 300), (90, 60, 40))
    draw = ImageDraw.Draw(image)
    draw.polygon([(90, 50), (320, 35), (330, 260), (100, 275)], fill="white")
    seven(draw, 180, 100)
    ((left, top, right, bottom),) = boxes(image)
    assert (left, top, right, bottom) == pytest.approx((180, 95, 235, 200), abs=8)


@pytest.mark.parametrize("colour", ["white", "black", "pink"])
def test_blank_paper_shows_no_digit(colour: str) -> None:
    found = find(np.asarray(Image.new("RGB", (300, 200), colour)))
    assert found.digits == [] and "is blank" in found.why_none
