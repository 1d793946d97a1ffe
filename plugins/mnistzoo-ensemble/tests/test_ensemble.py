from collections.abc import Callable

import torch

from mnistzoo import get_spec, load_dataset, load_model
from mnistzoo.testing import parametrize_with_checks


@parametrize_with_checks("ensemble")
def test_the_ensemble_keeps_the_contract(check: Callable[[], None]) -> None:
    check()


def test_the_ensemble_is_the_mean_over_its_members_and_shifts_up_and_down() -> None:
    pixels = load_dataset("mnist-10k").test.images[:50].copy()
    pixels[:, [0, -1]] = 0  # with an empty border, to roll is to shift
    images = torch.tensor(pixels).unsqueeze(1) / 255
    views = [images.roll(down, dims=2) for down in (0, 1, -1)]
    with torch.inference_mode():
        members = [load_model(name) for name in get_spec("ensemble").members]
        probabilities = [member(view).softmax(1) for member in members for view in views]
        logits = load_model("ensemble")(images)
    assert torch.allclose(logits.exp(), torch.stack(probabilities).mean(0), atol=1e-5)
