"""Models are laid out for the processor only where that changes nothing but their speed."""

import dataclasses
import hashlib
import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from training_runs import trained

from mnistzoo import (
    ModelSpec,
    Recipe,
    Split,
    Weights,
    create_model,
    evaluate,
    load_dataset,
    load_model,
)
from mnistzoo.cpu import laid_out
from mnistzoo.measure import latency_us
from mnistzoo.weights import load_weights, save_weights

RECIPE = Recipe(epochs=1, batch_size=64, optimizer="adam", learning_rate=0.003, ema_decay=0.9)

_CODE = """\
import torch
from torch import nn
from torch.nn import functional as F


SEEN = []  # of each call of a convolution: did its weights lie channels last?


class Conv2d(nn.Conv2d):
    def forward(self, images):
        SEEN.append(self.weight.stride()[1] == 1)
        return super().forward(images)


class Flattened(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = Conv2d(1, 8, 3, 2)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(8 * 13 * 13, 10)

    def forward(self, images):
        return self.head(self.dropout(self.conv(images)).flatten(1))


class Viewed(Flattened):
    def forward(self, images):
        return self.head(self.conv(images).view(-1, 8 * 13 * 13))


class ViewedInTraining(Flattened):
    def forward(self, images):
        features = self.conv(images)
        return self.head(features.view(-1, 1352) if self.training else features.flatten(1))


class InMemoryOrder(Flattened):
    def forward(self, images):
        features = self.conv(images)
        return self.head(features.as_strided((len(images), 1352), (1352, 1)))


class FiveDimensional(Flattened):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(1, 8, (1, 3, 3), 2)

    def forward(self, images):
        return super().forward(images.unsqueeze(2))


class Capsules(Flattened):
    def __init__(self):
        super().__init__()
        self.conv = Conv2d(1, 8, 3, 2)
        self.scale = nn.Parameter(torch.ones(1, 2, 4, 13, 13))

    def forward(self, images):
        capsules = self.conv(images).unflatten(1, (2, 4)) * self.scale
        return self.head(capsules.flatten(1))


class Pair(nn.Module):
    def __init__(self, *members):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images):
        return sum(m.head(m.conv(images).view(-1, 8 * 13 * 13)) for m in self.members)
"""
PLAIN = ("Viewed", "ViewedInTraining", "InMemoryOrder", "FiveDimensional")
NAMES = ("Flattened", "Capsules", *PLAIN)

Define = Callable[..., ModelSpec]


@pytest.fixture
def define(
    tmp_path: Path,
    linear_spec: Callable[..., ModelSpec],
    register: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> Define:
    """Return ``define(factory, **changes)``: registers that model of the code above."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "layouts.py").write_text(_CODE)

    def defining(factory: str, **changes: object) -> ModelSpec:
        if "num_params" not in changes:
            model = getattr(importlib.import_module("layouts"), factory)()
            changes["num_params"] = sum(each.numel() for each in model.parameters())
        declared = {"weights": None, "recipes": {"default": RECIPE}} | changes
        spec = linear_spec(factory.lower(), factory=f"layouts:{factory}", **declared)
        register(spec, plugin=factory)
        return spec

    # Another test's, which lay in its own folder.
    monkeypatch.delitem(sys.modules, "layouts", raising=False)
    return defining


@pytest.fixture(scope="module")
def data() -> Split:
    return load_dataset("mnist-10k").train[:640]


def layouts() -> list[bool]:
    """Return whether the weights of the convolution lay channels last, each time it was called."""
    found: list[bool] = sys.modules["layouts"].SEEN
    return found


@pytest.mark.parametrize("factory", NAMES)
def test_a_model_of_any_layout_trains_and_loads_as_in_plain_pytorch(
    factory: str, define: Define, data: Split, tmp_path: Path
) -> None:
    name = define(factory).name
    model, _ = trained(lambda: create_model(name), RECIPE, data, device="cpu")
    again, _ = trained(lambda: create_model(name), RECIPE, data, device="cpu")
    pairs = zip(model.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert factory == "FiveDimensional" or layouts()[-1] == (factory not in PLAIN)
    assert evaluate(model, data, device="cpu").accuracy > 0.5

    path = tmp_path / "weights.safetensors"
    save_weights(model, path, {})
    plain = create_model(name).eval()
    load_weights(plain, path)
    loaded = load_model(name, path)
    assert all(each.is_contiguous() for each in (*loaded.parameters(), *model.parameters()))
    images = torch.tensor(data.images[:50]).unsqueeze(1) / 255
    with torch.inference_mode():
        assert torch.allclose(loaded(images), plain(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("factory", NAMES)
@pytest.mark.parametrize("inference", [False, True])
def test_evaluation_and_timing_leave_a_model_as_it_was(
    factory: str, inference: bool, define: Define, data: Split
) -> None:
    model = create_model(define(factory).name)
    before = {name: (each.data_ptr(), each.stride()) for name, each in model.state_dict().items()}
    values = {name: each.clone() for name, each in model.state_dict().items()}
    works = factory not in {*PLAIN} - {"ViewedInTraining"}  # that fails in training alone
    with torch.inference_mode(inference):
        evaluate(model, data[:200], device="cpu")
        assert factory == "FiveDimensional" or layouts()[-2:] == [works, works]
        assert model.training
        latency_us(model, data[:1].tensors()[0])
        assert factory == "FiveDimensional" or layouts()[-1] == works
    after = {name: (each.data_ptr(), each.stride()) for name, each in model.state_dict().items()}
    assert after == before
    assert all(torch.equal(each, values[name]) for name, each in model.state_dict().items())
    model.train()
    model(torch.rand(2, 1, 28, 28)).sum().backward()  # its weights can still take gradients


def test_a_buffer_that_evaluation_changes_stays_changed(data: Split) -> None:
    class Counting(nn.Module):
        seen: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 10, 28)
            self.register_buffer("seen", torch.zeros(1, 2, 1, 3))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.seen += len(images)
            return self.conv(images).flatten(1)

    model = Counting()
    evaluate(model, data[:200], device="cpu")
    assert model.seen.unique().item() == 200


def test_a_model_that_is_compiled_or_watched_by_hooks_is_not_laid_out_anew(data: Split) -> None:
    conv = nn.Conv2d(1, 10, 28)
    (weight, _) = laid_out(conv).parameters()
    assert weight.stride() == (784, 1, 28, 1)
    assert conv.weight.stride() == (784, 784, 28, 1)
    compiled = torch.compile(conv)
    assert isinstance(compiled, nn.Module)
    assert laid_out(compiled) is compiled
    watched = nn.Sequential(conv, nn.Flatten())
    seen: list[int] = []
    watched.register_forward_hook(lambda module, images, logits: seen.append(len(logits)))
    evaluate(watched.eval(), data[:150], device="cpu")
    assert seen == [100, 50]


def test_a_plain_layout_goes_on_from_a_checkpoint_bit_for_bit(
    define: Define, data: Split, tmp_path: Path
) -> None:
    name = define("Viewed").name
    recipe = dataclasses.replace(RECIPE, epochs=2)

    def stop_after_the_first_epoch(step: int) -> None:
        if step == 11:
            raise KeyboardInterrupt

    whole, _ = trained(lambda: create_model(name), recipe, data, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        trained(
            lambda: create_model(name),
            recipe,
            data,
            device="cpu",
            checkpoint=tmp_path,
            on_step=stop_after_the_first_epoch,
        )
    resumed, run = trained(
        lambda: create_model(name), recipe, data, device="cpu", checkpoint=tmp_path, resume=True
    )
    assert len(run.history) == 2
    pairs = zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_members_stay_plain_where_what_is_made_of_them_needs_it(
    define: Define, tmp_path: Path
) -> None:
    spec = define("Flattened")
    path = tmp_path / "member.safetensors"
    save_weights(create_model(spec.name), path, {})
    weights = Weights(
        file=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        metrics={},
        measured="not at all",
    )
    define("Flattened", weights=weights)
    define("Pair", members=("flattened",) * 2, num_params=2 * (spec.num_params or 0), recipes={})
    pair = load_model("pair")
    assert pair(torch.zeros(3, 1, 28, 28)).shape == (3, 10)
    layouts().clear()
    evaluate(pair, load_dataset("mnist-10k").test[:10], device="cpu")
    assert layouts()[-2:] == [False, False]
