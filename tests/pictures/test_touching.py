"""Digits that touch are cut apart, with a doubt; single ones are not."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistzoo import load_dataset
from mnistzoo.pictures.touching import cuts, is_crowded
from mnistzoo.pictures.whole import all_of
from mnistzoo.prediction import Reader, read

TEST = load_dataset("mnist-10k").test


def cropped(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    rows, columns = (np.flatnonzero((image > 99).any(axis=axis)) for axis in (1, 0))
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def touching(*indices: int) -> NDArray[np.uint8]:
    """Return images of the test set side by side, a bar of ink from each to the next."""
    digits = [cropped(TEST.images[index]) for index in indices]
    row = np.zeros((28, sum(digit.shape[1] + 1 for digit in digits)), np.uint8)
    x = 0
    for place, digit in enumerate(digits):
        y = (28 - digit.shape[0]) // 2
        row[y : y + digit.shape[0], x : x + digit.shape[1]] = digit
        if place:
            before = np.flatnonzero(row[14, :x]).max()
            row[14, before : x + np.flatnonzero(row[14, x:]).min() + 1] = 255
        x += digit.shape[1] + 1
    return np.kron(255 - np.pad(row, 10), np.ones((4, 4), np.uint8))


def test_two_digits_that_touch_are_read_left_to_right_and_doubted(classify: Any) -> None:
    right = unwarned = 0
    for first in range(0, 40, 2):
        reading = read(touching(first, first + 1), Reader(classify))
        unwarned += reading.one.doubt is None
        if len(reading.predictions) == 2:
            assert all(each.doubt for each in reading.predictions)
            left, after = (each.box for each in reading.predictions)
            assert left[0] < after[0] and left[2] < after[2]
        right += reading.text == f"{TEST.labels[first]}{TEST.labels[first + 1]}"
    assert right >= 15 and unwarned <= 1


def test_a_single_digit_is_hardly_ever_cut(classify: Any) -> None:
    cut = 0
    for index in range(100):
        large = np.kron(255 - TEST.images[index], np.ones((4, 4), np.uint8))
        cut += len(read(large, Reader(classify)).predictions) > 1
    assert cut <= 1


def test_a_cut_goes_where_the_least_ink_is_and_keeps_it_all() -> None:
    picture = np.full((60, 120, 3), 255, np.uint8)
    picture[10:50, 10:40] = picture[10:50, 70:110] = picture[30:32, 40:70] = 0
    (digit,) = all_of(picture).digits
    for left, right in cuts(digit):
        assert left.ink.sum() + right.ink.sum() == digit.ink.sum()
        assert left.doubt and right.doubt
    assert any(left.box[2] - right.box[0] in range(-1, 3) for left, right in cuts(digit))
    assert any(left.ink.sum() >= 1200 and right.ink.sum() >= 1600 for left, right in cuts(digit))


def test_strokes_that_level_lines_cross_tell_two_digits_from_one() -> None:
    def crowded(image: NDArray[np.uint8]) -> bool:
        (digit,) = all_of(np.repeat(image[..., None], 3, axis=2)).digits
        return is_crowded(digit)

    singles = sum(crowded(255 - image) for image in TEST.images[:300])
    pairs = sum(crowded(touching(first, first + 1)) for first in range(0, 100, 2))
    assert singles <= 9 and pairs >= 30


def test_what_may_be_two_is_doubted_of_digits_and_not_of_letters() -> None:
    picture = touching(0, 3)

    def reader(confidence: float, labels: Sequence[str]) -> Reader:
        def logits(images: NDArray[np.uint8]) -> NDArray[np.float32]:
            sure = confidence if len(images) == 1 else 0.7  # one is read more surely than two
            answers = np.full((len(images), 10), (1 - sure) / 9, np.float32)
            answers[:, 7] = sure
            return np.log(answers)

        return Reader(logits, labels)

    for confidence in (0.91, 0.75):
        doubt = read(picture, reader(confidence, "0123456789")).one.doubt
        assert doubt == "it may be two digits that touch"
        assert read(picture, reader(confidence, "ABCDEFGHIJ")).one.doubt is None
