from collections.abc import Callable
from pathlib import Path

import torch

from mnistzoo import create_model, load_model
from mnistzoo.testing import parametrize_with_checks


@parametrize_with_checks("mnistnet")
def test_mnistnet_keeps_the_contract(check: Callable[[], None]) -> None:
    check()


def test_the_architecture_is_the_published_one() -> None:
    model = create_model("mnistnet")
    assert sum(parameter.numel() for parameter in model.parameters()) == 109_386
    layers = ("fc1", "fc2", "fc3")
    assert list(model.state_dict()) == [f"{x}.{y}" for x in layers for y in ("weight", "bias")]


def test_a_state_dict_saved_by_pytorch_loads_unchanged(tmp_path: Path) -> None:
    published = create_model("mnistnet").state_dict()
    torch.save(published, tmp_path / "published.pth")
    loaded = load_model("mnistnet", tmp_path / "published.pth").state_dict()
    assert all(torch.equal(loaded[name], published[name]) for name in published)
