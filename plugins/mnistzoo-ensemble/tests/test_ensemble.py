from collections.abc import Callable

import torch

from mnistzoo import get_spec, load_dataset, load_model
from mnistzoo.testing import parametrize_with_checks


@parametrize_with_checks("ensemble")
def test_the_ensemble_keeps_the_contract(check: Callable[[], None]) -> None:
    check()


def test_the_ensemble_is_the_geometric_mean_of_its_members_probabilities() -> None:
    images = torch.tensor(load_dataset("mnist-10k").test.images[:50]).unsqueeze(1) / 255
    with torch.inference_mode():
        members = [load_model(name) for name in get_spec("ensemble").members]
        product = torch.stack([member(images).softmax(1) for member in members]).prod(0)
        logits = load_model("ensemble")(images)
    mean = product ** (1 / len(members))
    assert torch.allclose(logits.softmax(1), mean / mean.sum(1, keepdim=True), atol=1e-5)
