"""A model's own error is told in one way; what wraps a model is taken off."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from training_runs import trained

from mnistzoo import (
    ModelSpec,
    Recipe,
    Split,
    create_model,
    evaluate,
    load_dataset,
    load_model,
)
from mnistzoo.measure import latency_us
from mnistzoo.modules import ModelFailed, unwrapped
from mnistzoo.registry import ModelError
from mnistzoo.weights import load_weights, save_weights

RECIPE = Recipe(epochs=1, batch_size=64, optimizer="adam", learning_rate=0.001)
WRAPPERS: list[Callable[[nn.Module], Any]] = [
    nn.DataParallel,
    torch.compile,
    lambda model: torch.compile(nn.DataParallel(model)),
]

_FAILING = """\
from torch import nn


class Net(nn.Linear):
    def forward(self, images):
        return super().forward(images.flatten(1).nothing)


def linear():
    return Net(784, 10)
"""
_REGISTER = """\
@hookimpl
def register_models(register):
    register(linear("broken_net", weights=None, source="x", license="MIT"))
"""
_SENTENCE = (
    r"failed: AttributeError: 'Tensor' object has no attribute 'nothing' "
    r"\(broken_net/model\.py, line 6\)"
)


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


@pytest.fixture(scope="module")
def data() -> Split:
    return load_dataset("mnist-10k").train[:320]


def test_train_compare_evaluate_and_check_tell_a_models_error_in_the_same_words(
    install_plugin: Callable[..., Path],
    run_cli: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    install_plugin("broken-net", _REGISTER, model_code=_FAILING)
    save_weights(nn.Linear(784, 10), tmp_path / "weights.safetensors", {})
    weights = str(tmp_path / "weights.safetensors")
    shipped = ("--dataset", "mnist-10k")
    for arguments, what in (
        (("train", "broken_net", *shipped), "Net: a training step on a batch of 64"),
        (
            ("evaluate", "broken_net", "--weights", weights, *shipped),
            "Net: forward() of a batch of 100",
        ),
        (("compare", "broken_net", "--train", *shipped), "Net: a training step on a batch of 64"),
        (("check", "broken_net"), "forward() of a batch of 5"),
    ):
        done = run_cli(*arguments)
        assert done.returncode == 1
        told = " ".join((done.stdout + done.stderr).split())
        assert re.search(f"{re.escape(what)} {_SENTENCE}", told), (arguments, told)
        assert "unexpected" not in done.stderr and "Traceback" not in done.stderr


def test_a_factorys_error_names_its_line(
    tmp_path: Path,
    linear_spec: Callable[..., ModelSpec],
    register: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "factory_that_fails.py").write_text("def net():\n    return {}['layers']\n")
    register(linear_spec("keyless", factory="factory_that_fails:net"))
    with pytest.raises(ModelError, match=r"KeyError: 'layers' \(factory_that_fails\.py, line 2\)"):
        create_model("keyless")


class Failing(nn.Module):
    """Raises what it is given."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.layer = nn.Linear(784, 10)
        self.error = error

    def forward(self, images: Tensor) -> Tensor:
        raise self.error


@pytest.mark.parametrize("error", [ValueError("six"), SystemExit("six"), IndexError("six")])
def test_the_exception_is_the_cause(error: BaseException, data: Split) -> None:
    with pytest.raises(
        ModelFailed, match=r"Failing: .*: six \(.*test_modules\.py, line "
    ) as caught:
        trained(lambda: Failing(error), RECIPE, data)
    assert caught.value.__cause__ is error
    with pytest.raises(ModelFailed, match=r"Failing: forward\(\) of a batch of 100 failed: "):
        evaluate(Failing(error), data)


class TwoImages(nn.Module):
    """Fails for a single image, which only a timing gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(784, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.squeeze().flatten(1))


def test_an_error_in_a_timing_names_the_model_too(data: Split) -> None:
    assert len(evaluate(TwoImages(), data).labels) == len(data)
    images = torch.tensor(data.images[:1]).unsqueeze(1)
    with pytest.raises(
        ModelFailed, match=r"TwoImages: forward\(\) of a batch of 1 failed: RuntimeErr"
    ):
        latency_us(TwoImages(), images)


def test_ctrl_c_in_a_model_is_no_error_of_it(data: Split) -> None:
    with pytest.raises(KeyboardInterrupt):
        evaluate(Failing(KeyboardInterrupt()), data)


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_a_compiled_or_a_data_parallel_model_is_trained_and_saved_as_the_module_inside(
    wrap: Callable[[nn.Module], Any], data: Split, tmp_path: Path
) -> None:
    expected, _ = trained(linear, RECIPE, data, device="cpu")
    model, _ = trained(lambda: wrap(linear()), RECIPE, data, device="cpu")
    assert type(model) is nn.Sequential
    assert torch.equal(model.state_dict()["1.weight"], expected.state_dict()["1.weight"])
    path = tmp_path / "weights.safetensors"
    save_weights(wrap(model), path, {})
    for other in (linear(), wrap(linear())):
        load_weights(other, path)
        state = unwrapped(other).state_dict()
        assert torch.equal(state["1.weight"], expected.state_dict()["1.weight"])


def test_a_factory_may_return_a_compiled_model(
    tmp_path: Path,
    linear_spec: Callable[..., ModelSpec],
    register: Callable[..., None],
    linear_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "compiled_by_its_factory.py").write_text(
        "import torch\nfrom torch import nn\n\n"
        "def net():\n"
        "    return torch.compile(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)))\n"
    )
    register(linear_spec("compiled", factory="compiled_by_its_factory:net", weights=None))
    model = load_model("compiled", linear_weights)
    assert type(model) is nn.Sequential
    assert evaluate(model, load_dataset("mnist-10k").test).accuracy == 0.1135
