import torch

from mnistzoo import get_spec, load_dataset, load_model
from mnistzoo.testing import check_model


def test_the_ensemble_keeps_the_contract() -> None:
    check_model("ensemble")


def test_the_ensemble_is_the_mean_of_its_members_probabilities() -> None:
    images = torch.tensor(load_dataset("mnist-10k").test.images[:50]).unsqueeze(1) / 255
    with torch.inference_mode():
        members = [load_model(name)(images).softmax(1) for name in get_spec("ensemble").members]
        logits = load_model("ensemble")(images)
    assert torch.allclose(logits.exp(), torch.stack(members).mean(0), atol=1e-6)
