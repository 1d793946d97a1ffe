"""A few pictures of every kind are read right; ``benchmarks/pictures.py`` measures many."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scenes
from handwriting import FontsMissing
from numpy.typing import NDArray

from mnistzoo import list_models, load_dataset, load_model
from mnistzoo.pictures import read_picture
from mnistzoo.prediction import read

TEST = load_dataset("mnist-10k").test
SEEDS = range(3)


@pytest.fixture(scope="module")
def classify() -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    if "resnet" not in list_models():
        pytest.skip("the plugin mnistzoo-resnet is not installed")
    import torch

    model = load_model("resnet")

    def classify(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits = model(torch.from_numpy(images[:, None].astype(np.float32) / 255))
        return np.asarray(logits.softmax(1))

    return classify


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
        if kind != "8x8 pixels":  # of which nobody can be sure
            assert seen == text or any(each.doubt for each in (*reading.predictions, reading.one))
    assert right >= len(SEEDS) - 1


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
