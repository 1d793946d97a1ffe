"""Images spoilt on purpose."""

import numpy as np
import pytest

from mnistzoo import load_dataset
from mnistzoo.corruptions import CORRUPTIONS, corrupt

IMAGES = load_dataset("mnist-10k").test[:200].images


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_images_are_spoilt_but_not_beyond_recognition_and_always_alike(kind: str) -> None:
    spoilt = corrupt(IMAGES, kind)
    assert spoilt.shape == IMAGES.shape and spoilt.dtype == np.uint8
    assert (spoilt != IMAGES).any((1, 2)).all()
    np.testing.assert_array_equal(corrupt(IMAGES, kind), spoilt)
    # What is left of each digit resembles it more than it resembles the next one.
    own, other = (similarity(IMAGES, spoilt), similarity(np.roll(IMAGES, 1, 0), spoilt))
    assert (own > other).mean() > 0.6


def similarity(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the correlation of each pair, with shifts of up to 6 pixels allowed for."""
    pairs = [each.astype(float) - each.mean((1, 2), keepdims=True) for each in (images, others)]
    spectra = [np.fft.rfft2(each, (56, 56)) for each in pairs]
    moved = np.fft.irfft2(spectra[0].conj() * spectra[1], (56, 56))
    near = np.roll(moved, (6, 6), (1, 2))[:, :13, :13].max((1, 2))
    norms = [np.sqrt((each**2).sum((1, 2))) for each in pairs]
    return near / (norms[0] * norms[1])


def test_the_strengths_are_those_that_the_page_states() -> None:
    blank = np.zeros((400, 28, 28), np.uint8)
    full = np.full((400, 28, 28), 255, np.uint8)
    share = (corrupt(blank, "impulse noise") == 255).mean()
    assert share == pytest.approx(0.1, abs=0.003)
    assert (corrupt(full, "impulse noise") == 0).mean() == pytest.approx(0.1, abs=0.003)
    assert (corrupt(blank, "brightness") == 128).all()
    assert (corrupt(blank, "stripe") == 255).sum((1, 2)).tolist() == [6 * 28] * 400
    assert (corrupt(blank, "spatter") == 255).mean() == pytest.approx(0.1, abs=0.005)
    assert (corrupt(blank, "shot noise") == 0).all()
    fog = corrupt(blank, "fog")
    assert (fog.min((1, 2)) == 0).all() and (fog.max((1, 2)) >= 178).all()
    dot = blank[:1].copy()
    dot[0, 14, 14] = 255
    assert ink_distance(corrupt(dot, "translate"), corrupt(dot, "translate")) == 0
    assert ink_distance(dot, corrupt(dot, "translate")) == pytest.approx(5, abs=0.1)


def ink_distance(images: np.ndarray, others: np.ndarray) -> float:
    """Return how far the centre of mass of the first image's ink moves."""
    rows, columns = np.indices((28, 28))
    centres = [
        np.array([(each[0] * rows).sum(), (each[0] * columns).sum()]) / each[0].sum()
        for each in (images.astype(float), others.astype(float))
    ]
    return float(np.linalg.norm(centres[0] - centres[1]))
