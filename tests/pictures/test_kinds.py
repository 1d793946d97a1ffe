"""A few pictures of every kind are read right; ``benchmarks/pictures.py`` measures many."""

import functools
from typing import Any

import numpy as np
import pytest
import scenes
from handwriting import FontsMissing

from mnistzoo import load_dataset
from mnistzoo.pictures import read_picture
from mnistzoo.prediction import read

TEST = load_dataset("mnist-10k").test
SEEDS = range(3)
UNSURE = ("8x8 pixels", "touching digits")  # of which some are read wrong without a doubt


@functools.cache
def picture(kind: str, seed: int) -> tuple[Any, str]:
    try:
        return scenes.picture(kind, seed)
    except FontsMissing as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("kind", scenes.KINDS)
def test_pictures_of_a_kind_are_read_right_or_doubted(kind: str, classify: Any) -> None:
    right = 0
    for seed in SEEDS:
        image, text = picture(kind, seed)
        reading = read(image, classify)
        seen = reading.text if len(text) > 1 else str(reading.one.digit)
        right += seen == text
        if kind not in UNSURE:
            assert seen == text or any(each.doubt for each in (*reading.predictions, reading.one))
    assert right >= len(SEEDS) - 1 or kind == "touching digits"


@pytest.mark.parametrize("factor", [1, 4])
def test_the_test_set_sent_through_as_pictures_keeps_its_accuracy(
    factor: int, classify: Any
) -> None:
    # The whole set, once, is measured by a script: see docs/pictures.md.
    images, labels = TEST.images[:1000], TEST.labels[:1000]
    enlarged = np.ones((factor, factor), np.uint8)
    pictures = np.stack([read_picture(255 - np.kron(image, enlarged)) for image in images])
    right = [(classify(each).argmax(axis=1) == labels).sum() for each in (images, pictures)]
    assert abs(int(right[0]) - int(right[1])) <= 2
