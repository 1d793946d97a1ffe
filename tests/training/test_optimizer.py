"""The optimizer's steps are those of torch.optim; a short run does without its start."""

import functools
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from processes import run
from torch import nn
from torch.nn import functional as F

from mnistzoo import Split, load_dataset
from mnistzoo.inputs import to_input
from mnistzoo.paths import PathError
from mnistzoo.recipe import Recipe
from mnistzoo.training.optimizer import SHORT_RUN, FusedKernels, TorchOptim, make_optimizer

ARGUMENTS: dict[str, dict[str, Any]] = {
    "adam": {"betas": [0.8, 0.95], "eps": 1e-4},
    "adamw": {"betas": [0.0, 0.95]},
    "sgd": {"momentum": 0.5, "nesterov": False},
}
REFERENCES: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": functools.partial(torch.optim.Adam, weight_decay=0.01, fused=True),
    "adamw": functools.partial(torch.optim.AdamW, weight_decay=0.01, fused=True),
    "sgd": functools.partial(
        torch.optim.SGD, momentum=0.9, nesterov=True, weight_decay=0.01, fused=True
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
    images, labels = data[20 * step : 20 * step + 20].tensors()
    model.zero_grad()
    F.cross_entropy(model(to_input(images)), labels).backward()
    if step == 3:  # as where a branch was not taken
        model[2].bias.grad = None  # type: ignore[index]
    if step == 5:
        model.zero_grad()


@pytest.mark.parametrize("steps", [SHORT_RUN, SHORT_RUN + 1])
@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        *((kind, {}) for kind in REFERENCES),
        *ARGUMENTS.items(),
        ("sgd", {"momentum": 0}),
    ],
)
def test_steps_are_bit_for_bit_those_of_torch(
    kind: str, arguments: dict[str, Any], steps: int
) -> None:
    data = load_dataset("mnist-10k").train
    ours, theirs = net(), net()
    recipe = Recipe(
        epochs=1,
        batch_size=20,
        optimizer=kind,
        learning_rate=0.1,
        weight_decay=0.01,
        optimizer_arguments=arguments,
    )
    told = arguments | ({"nesterov": False} if arguments.get("momentum") == 0 else {})
    optimizer, reference = (
        make_optimizer(ours.parameters(), recipe, steps),
        REFERENCES[kind](theirs.parameters(), **told),
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
    recipe = Recipe(epochs=1, batch_size=20, optimizer=kind, learning_rate=0.1)
    assert isinstance(make_optimizer(net().parameters(), recipe, SHORT_RUN), FusedKernels)
    monkeypatch.delattr(torch, f"_fused_{kind}_")
    found = make_optimizer(net().parameters(), recipe, SHORT_RUN)
    assert isinstance(found, TorchOptim)
    assert found.tensors().keys() == FusedKernels(net().parameters(), recipe).tensors().keys()


def two_rates(parameters: list[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [
        {"params": parameters[:2], "lr": lr / 10},
        {"params": parameters[2:]},
    ]
    return torch.optim.SGD(groups, lr=lr)


def own(optimizer: str, **changes: Any) -> Recipe:
    return Recipe(epochs=1, batch_size=20, optimizer=optimizer, learning_rate=0.1, **changes)


def test_an_optimizer_of_ones_own_takes_the_rates_and_the_arguments_of_the_recipe() -> None:
    data = load_dataset("mnist-10k").train
    ours, theirs = net(), net()
    arguments: dict[str, Any] = {"momentum": 0.5, "dampening": 0.1}
    recipe = own("torch.optim:SGD", weight_decay=0.01, optimizer_arguments=arguments)
    optimizer = make_optimizer(ours.parameters(), recipe, 1)
    reference = torch.optim.SGD(theirs.parameters(), 0.1, weight_decay=0.01, **arguments)
    for step in range(3):
        gradients(ours, data, step)
        optimizer.step(0.1 / (step + 1))
        gradients(theirs, data, step)
        reference.param_groups[0]["lr"] = 0.1 / (step + 1)
        reference.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_groups_with_rates_of_their_own_keep_them_in_proportion() -> None:
    data = load_dataset("mnist-10k").train
    ours, theirs = net(), net()
    optimizer = make_optimizer(ours.parameters(), own(f"{__name__}:two_rates"), 1)
    reference = two_rates(list(theirs.parameters()), 0.05)
    gradients(ours, data, 0)
    optimizer.step(0.05)
    gradients(theirs, data, 0)
    reference.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("optimizer", "changes", "says"),
    [
        ("no_such_package:Lion", {}, "needs the module 'no_such_package', which is not there"),
        ("torch.optim:Leon", {}, "module 'torch.optim' has no attribute 'Leon'"),
        ("torch.nn:ReLU", {}, "unexpected keyword argument 'lr'"),
        ("builtins:dict", {}, "failed: "),
        ("torch.optim:SGD", {"optimizer_arguments": {"speed": 2}}, "argument 'speed'"),
        ("torch.optim:Rprop", {"weight_decay": 0.1}, "takes no weight_decay; leave it out"),
        ("torch.optim:LBFGS", {}, "computes the loss several times a step, which the trainer"),
        (f"{__name__}:net", {}, "unexpected keyword argument 'lr'"),
    ],
)
def test_an_optimizer_that_cannot_be_made_is_one_sentence(
    optimizer: str, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(PathError) as caught:
        make_optimizer(net().parameters(), own(optimizer, **changes), 1)
    assert says in str(caught.value) and f"the optimizer {optimizer!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"momentum": 0.9}, "adamw takes no argument 'momentum' but betas and eps"),
        ({"betas": 0.9}, "betas is 0.9, it must be two numbers from 0 to below 1"),
        ({"betas": (0.9, 1)}, "betas is (0.9, 1), it must be"),
        ({"eps": -1}, "eps is -1, it must be a number from 0"),
        ({"betas": {1, 2}}, "the argument betas is {1, 2}, it must be a number, a text"),
    ],
)
def test_arguments_that_an_optimizer_does_not_take_are_refused(
    changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        own("adamw", optimizer_arguments=changes)


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
