from collections.abc import Callable

import torch

from mnistzoo import load_dataset, load_model
from mnistzoo.testing import parametrize_with_checks


@parametrize_with_checks("ensemble")
def test_the_ensemble_keeps_the_contract(check: Callable[[], None]) -> None:
    check()


def test_the_ensemble_is_the_mean_of_its_members_probabilities() -> None:
    images = torch.tensor(load_dataset("mnist-10k").test.images[:50]).unsqueeze(1) / 255
    ensemble = load_model("ensemble")
    with torch.inference_mode():
        members = [member(images).softmax(1) for member in ensemble.members]
        found = ensemble(images).softmax(1)
    torch.testing.assert_close(found, torch.stack(members).mean(0))
    assert not torch.allclose(members[0], members[1], atol=1e-4)


def test_its_first_member_is_the_resnet_small_that_ships() -> None:
    first = load_model("ensemble").members[0].state_dict()
    for name, tensor in load_model("resnet_small").state_dict().items():
        assert torch.equal(tensor, first[name])
