from collections.abc import Callable

import pytest
import torch

from mnistzoo import get_spec, load_dataset, load_model
from mnistzoo.testing import parametrize_with_checks


@parametrize_with_checks("tiny968", "tiny1k", "tiny1k_views", "tiny7k")
def test_the_tiny_nets_keep_the_contract(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize(
    ("name", "most"), [("tiny968", 1_000), ("tiny1k_views", 1_430), ("tiny7k", 8_000)]
)
def test_a_tiny_net_is_tiny(name: str, most: int) -> None:
    assert get_spec(name).num_params <= most


def test_eight_views_are_better_than_one() -> None:
    images, labels = load_dataset("mnist-10k").test[:2_000].tensors()
    model = load_model("tiny968")
    with torch.inference_mode():
        several = model(images / 255).argmax(1)
        once = type(model).__mro__[1].forward(model, images / 255).argmax(1)
    assert (several == labels).sum() > (once == labels).sum()
