"""Ink becomes an image as MNIST has it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnistzoo import load_dataset
from mnistzoo.pictures import normalise

TEST = load_dataset("mnist-10k").test


def test_an_image_of_mnist_stays_as_it_is() -> None:
    same = 0
    for image in TEST.images[:200]:
        # MNIST put the centre of mass on a pixel by a rounding of its own.
        result = normalise((image / 255).astype(np.float32)).astype(int)
        same += any(
            np.abs(np.roll(result, (down, across), (0, 1)) - image).max() <= 2
            for down in (-1, 0, 1)
            for across in (-1, 0, 1)
        )
    assert same >= 190  # a few of MNIST's do not fill their box of 20x20 pixels


@settings(max_examples=50)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 50))
def test_any_ink_fits_the_box_with_its_mass_in_the_middle(
    height: int, width: int, margin: int
) -> None:
    image = normalise(np.pad(np.ones((height, width), np.float32), margin))
    assert image.shape == (28, 28) and image.dtype == np.uint8 and image.max() == 255
    rows, columns = np.nonzero(image)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    for axis in (0, 1):
        centre = np.average(np.arange(28), weights=image.sum(axis=1 - axis))
        assert centre + 0.5 == pytest.approx(14, abs=1)


def test_without_ink_there_is_nothing_to_normalise() -> None:
    with pytest.raises(ValueError, match="no ink"):
        normalise(np.zeros((5, 5), np.float32))
