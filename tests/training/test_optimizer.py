"""The optimizer's steps are those of torch.optim; a short run does without its start."""

import sys
from collections.abc import Callable

import pytest
import torch
from processes import run
from torch import nn
from torch.nn import functional as F

from mnistzoo import Split, load_dataset
from mnistzoo.spec import Recipe
from mnistzoo.training.optimizer import SHORT_RUN, FusedKernels, TorchOptim, make_optimizer

REFERENCES: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": lambda parameters: torch.optim.Adam(parameters, weight_decay=0.01, fused=True),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, weight_decay=0.01, fused=True),
    "sgd": lambda parameters: torch.optim.SGD(
        parameters, momentum=0.9, nesterov=True, weight_decay=0.01, fused=True
    ),
}


def net() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(1, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.Flatten(), nn.Linear(288, 10)
    )
    layers[0].weight.requires_grad_(False)
    return layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def gradients(model: nn.Module, data: Split, step: int) -> None:
    images = torch.tensor(data.images[20 * step : 20 * step + 20]).unsqueeze(1) / 255
    labels = torch.tensor(data.labels[20 * step : 20 * step + 20], dtype=torch.long)
    model.zero_grad()
    F.cross_entropy(model(images), labels).backward()
    if step == 3:  # as where a branch was not taken
        model[2].bias.grad = None  # type: ignore[index]
    if step == 5:
        model.zero_grad()


@pytest.mark.parametrize("steps", [SHORT_RUN, SHORT_RUN + 1])
@pytest.mark.parametrize("kind", REFERENCES)
def test_steps_are_bit_for_bit_those_of_torch(kind: str, steps: int) -> None:
    data = load_dataset("mnist-10k").train
    ours, theirs = net(), net()
    recipe = Recipe(
        epochs=1,
        batch_size=20,
        optimizer=kind,  # type: ignore[arg-type]
        learning_rate=0.1,
        weight_decay=0.01,
    )
    optimizer, reference = (
        make_optimizer(ours.parameters(), recipe, steps),
        REFERENCES[kind](theirs.parameters()),
    )
    for step in range(8):
        learning_rate = 0.01 / (step + 1)
        gradients(ours, data, step)
        optimizer.step(learning_rate)
        gradients(theirs, data, step)
        reference.param_groups[0]["lr"] = learning_rate
        reference.step()
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(mine, other)
    assert not torch.equal(ours[4].weight, net()[4].weight)  # type: ignore[index]


@pytest.mark.parametrize("kind", REFERENCES)
def test_without_torchs_private_kernels_a_short_run_takes_torch_optim(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(epochs=1, batch_size=20, optimizer=kind, learning_rate=0.1)  # type: ignore[arg-type]
    assert isinstance(make_optimizer(net().parameters(), recipe, SHORT_RUN), FusedKernels)
    monkeypatch.delattr(torch, f"_fused_{kind}_")
    found = make_optimizer(net().parameters(), recipe, SHORT_RUN)
    assert isinstance(found, TorchOptim)
    assert found.tensors().keys() == FusedKernels(net().parameters(), recipe).tensors().keys()


def test_a_short_training_does_not_import_the_compiler() -> None:
    code = """
import sys, torch, mnistzoo
recipe = mnistzoo.Recipe(
    epochs=1, batch_size=64, optimizer="adamw", learning_rate=0.001, clip_norm=1, ema_decay=0.9,
    augmentation=mnistzoo.Augmentation(rotation=5, elastic=1, erasing=0.1),
)
data = mnistzoo.load_dataset("mnist-10k")
create = lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
mnistzoo.train(create, data.train[:200], recipe, validation=data.validation[:200], device="cpu")
sys.exit("torch._dynamo" in sys.modules)
"""
    run([sys.executable, "-c", code], check=True)
