from collections.abc import Callable

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from mnistzoo import create_model, load_dataset, load_model
from mnistzoo.testing import parametrize_with_checks


def pictures(images: np.ndarray) -> torch.Tensor:
    return torch.tensor(images).unsqueeze(1) / 255


@parametrize_with_checks("neighbours")
def test_neighbours_keeps_the_contract(check: Callable[[], None]) -> None:
    check()


def test_a_stored_image_is_its_own_nearest_neighbour() -> None:
    # The first images of mnist-10k are the first that were stored.
    model, train = load_model("neighbours"), load_dataset("mnist-10k").train[:200]
    nearest = model.classifier().kneighbors(
        model.project(pictures(train.images)).detach().numpy(), 1, return_distance=False
    )
    assert nearest.ravel().tolist() == list(range(200))
    assert model.labels[:200].tolist() == train.labels.tolist()


def test_the_logits_are_the_logarithms_of_what_scikit_learn_says() -> None:
    model, images = load_model("neighbours"), pictures(load_dataset("mnist-10k").test.images[:50])
    stored = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}
    reference = KNeighborsClassifier(8, weights="distance").fit(stored["points"], stored["labels"])
    projected = (images.flatten(1).double().numpy() - stored["mean"]) @ stored["components"]
    expected = (reference.predict_proba(projected) + 0.001) / 1.01
    np.testing.assert_allclose(model(images).exp().numpy(), expected, rtol=1e-5)


def test_an_image_has_the_very_same_logits_in_any_batch() -> None:
    model, images = load_model("neighbours"), pictures(load_dataset("mnist-10k").test.images[:300])
    together = model(images)
    assert torch.equal(torch.cat([model(image) for image in images[:30].split(1)]), together[:30])
    assert torch.equal(model(images.flip(0)).flip(0), together)


def test_changed_tensors_change_the_votes_at_once() -> None:
    model, images = load_model("neighbours"), pictures(load_dataset("mnist-10k").test.images[:20])
    before = model(images).argmax(1)
    model.labels.copy_(9 - model.labels)
    assert torch.equal(model(images).argmax(1), 9 - before)


def test_digits_that_are_not_stored_get_few_votes() -> None:
    model = load_model("neighbours")
    model.labels.fill_(3)
    (logits,) = model(torch.zeros(1, 1, 28, 28))
    assert logits.isfinite().all() and logits.argmax() == 3


def test_its_parameters_are_stored_numbers_without_a_gradient() -> None:
    model: nn.Module = create_model("neighbours")
    assert {name: tensor.dtype for name, tensor in model.named_parameters()} == {
        "mean": torch.float32,
        "components": torch.float32,
        "points": torch.int8,
        "labels": torch.uint8,
    }
    assert not any(parameter.requires_grad for parameter in model.parameters())
