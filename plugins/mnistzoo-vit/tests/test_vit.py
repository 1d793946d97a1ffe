from collections.abc import Callable

import torch
from torch import Tensor, nn

from mnistzoo import create_model, load_dataset, load_model
from mnistzoo.testing import parametrize_with_checks


@parametrize_with_checks("vit")
def test_vit_keeps_the_contract(check: Callable[[], None]) -> None:
    check()


def test_it_is_small_and_has_no_dropout() -> None:
    model = create_model("vit")
    assert sum(parameter.numel() for parameter in model.parameters()) == 138_890
    assert not any(isinstance(module, nn.Dropout) for module in model.modules())


def test_the_places_of_the_patches_matter_and_are_told_by_the_positions_alone() -> None:
    model = load_model("vit")
    images = torch.tensor(load_dataset("mnist-10k").test.images[:20]).unsqueeze(1) / 255
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    logits, mixed = model(images), model(shuffled(images, order))
    assert (logits.argmax(1) != mixed.argmax(1)).any()
    # Positions that are mixed as the patches are undo it.
    model.positions = nn.Parameter(model.positions[:, order])
    torch.testing.assert_close(model(shuffled(images, order)), logits, rtol=1e-4, atol=1e-4)


def shuffled(images: Tensor, order: Tensor) -> Tensor:
    """Return images ``(N, 1, 28, 28)`` whose sixteen patches of 7x7 stand in another order."""
    patches = images.unfold(2, 7, 7).unfold(3, 7, 7).reshape(-1, 16, 7, 7)[:, order]
    return patches.reshape(-1, 4, 4, 7, 7).transpose(2, 3).reshape(-1, 1, 28, 28)
