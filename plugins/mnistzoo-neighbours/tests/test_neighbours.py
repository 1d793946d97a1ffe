from collections.abc import Callable

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from mnistzoo import create_model, load_dataset, load_model
from mnistzoo.testing import parametrize_with_checks

IMAGES = load_dataset("mnist-10k").test.images


@parametrize_with_checks("neighbours")
def test_neighbours_keeps_the_contract(check: Callable[[], None]) -> None:
    check()


def test_a_stored_image_is_its_own_nearest_neighbour() -> None:
    # The first images of mnist-10k are the first that were stored.
    model, train = load_model("neighbours"), load_dataset("mnist-10k").train[:200]
    nearest = model.classifier().kneighbors(model.project(train.images), 1, return_distance=False)
    assert nearest.ravel().tolist() == list(range(200))
    assert model.labels[:200].tolist() == train.labels.tolist()


def test_the_logits_are_the_logarithms_of_what_scikit_learn_says() -> None:
    model, images = load_model("neighbours"), IMAGES[:50]
    points = model.points.astype(float)
    reference = KNeighborsClassifier(8, weights="distance").fit(points, model.labels)
    projected = (images.reshape(50, -1) / 255 - model.mean) @ model.components.astype(float)
    expected = (reference.predict_proba(projected) + 0.001) / 1.01
    np.testing.assert_allclose(np.exp(model.logits(images)), expected, rtol=1e-4)


def test_an_image_has_the_very_same_logits_in_any_batch() -> None:
    model = load_model("neighbours")
    together = model.logits(IMAGES[:300])
    alone = [model.logits(IMAGES[i : i + 1]) for i in range(30)]
    assert np.array_equal(np.concatenate(alone), together[:30])
    assert np.array_equal(model.logits(IMAGES[:300][::-1])[::-1], together)


def test_changed_arrays_change_the_votes_at_once() -> None:
    model = load_model("neighbours")
    before = model.logits(IMAGES[:20]).argmax(1)
    model.labels = 9 - model.labels
    assert np.array_equal(model.logits(IMAGES[:20]).argmax(1), 9 - before)


def test_digits_that_are_not_stored_get_few_votes() -> None:
    model = load_model("neighbours")
    model.labels = np.full_like(model.labels, 3)
    (logits,) = model.logits(np.zeros((1, 28, 28), np.uint8))
    assert np.isfinite(logits).all() and logits.argmax() == 3


def test_it_is_no_torch_module() -> None:
    model = create_model("neighbours")
    assert not hasattr(model, "parameters") and model.points.dtype == np.int8
