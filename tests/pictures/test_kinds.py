"""A few pictures of every kind are read right; ``benchmarks/pictures.py`` measures many."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import handwriting
import numpy as np
import pytest
import scenes

from mnistzoo import load_dataset
from mnistzoo.pictures import read_picture
from mnistzoo.prediction import Reader, read

TEST = load_dataset("mnist-10k").test
SEEDS = range(3)
UNSURE = ("8x8 pixels", "touching digits")  # of which some are read wrong without a doubt


@pytest.fixture(scope="module")
def fonts() -> None:
    """Fetch the fonts, once; ``.ci/run`` has done so before, and says if it could not."""
    try:
        handwriting.fetch_fonts()
    except handwriting.FontsMissing as error:
        pytest.skip(str(error))


def test_fonts_that_cannot_be_fetched_are_one_sentence(
    run_python: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    env = {"PATH": str(tmp_path), "MNISTZOO_FONTS_DIR": str(tmp_path / "fonts")}
    done = run_python(handwriting.__file__, env=env)
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("npm cannot fetch @fontsource/annie-use-your-telescope: ")


@pytest.mark.usefixtures("fonts")
@pytest.mark.parametrize("kind", scenes.KINDS)
def test_pictures_of_a_kind_are_read_right_or_doubted(kind: str, classify: Any) -> None:
    right = 0
    for seed in SEEDS:
        image, text = scenes.picture(kind, seed)
        reading = read(image, Reader(classify))
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
