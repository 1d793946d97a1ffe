"""Models that draw random numbers in evaluation: every figure of them is seeded, and has an sd."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mnistzoo import ModelSpec, Recipe, compare, load_dataset
from mnistzoo.comparison import TrainingPlan
from mnistzoo.weights import read_metadata

Run = Callable[..., subprocess.CompletedProcess[str]]

_DROPPING = """\
from torch import nn
from torch.nn import functional as F


class Dropping(nn.Sequential):
    def forward(self, images):
        return super().forward(F.dropout(images, 0.5, training=True))


def linear():
    return Dropping(nn.Flatten(), nn.Linear(784, 10))


def fit(model, recipe, data, report):
    report()
"""
_REGISTER = """\
@hookimpl
def register_models(register):
    register(linear("dropping", stochastic=True, weights=None))
    own = dict(recipes={}, fit=__name__ + ".model:fit")
    register(linear("own_fit", stochastic=True, weights=None, **own))
"""
DATA = ("--dataset", "mnist-10k", "--device", "cpu")


@pytest.fixture
def cli(install_plugin: Callable[..., Path], run_cli: Run) -> Callable[..., Any]:
    """Return ``cli(*arguments)``: runs a command, and returns what it writes as JSON."""
    install_plugin("dropping", _REGISTER, model_code=_DROPPING)

    def run(*arguments: str) -> Any:
        done = run_cli(*arguments, *DATA, "--json", "-")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_compare_trains_and_evaluates_from_seeds_in_workers_and_here(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, register: Any
) -> None:
    first, second = (cli("compare", "dropping", "--train")["models"][0] for _ in range(2))
    for key in ("accuracy", "accuracy_sd", "accuracies", "predictive_entropy", "evaluation"):
        assert first[key] == second[key]
    assert first["accuracy_sd"] > 0 and first["predictive_entropy"] > 0
    assert len(first["seeds"]) == len(first["accuracies"]) == 1
    (tmp_path / "dropping_here.py").write_text(_DROPPING)
    monkeypatch.syspath_prepend(tmp_path)
    recipe = Recipe(epochs=1, batch_size=64, optimizer="adam", learning_rate=0.001)
    register(
        ModelSpec(
            name="here",
            summary="Softmax regression",
            factory="dropping_here:linear",
            num_params=7850,
            stochastic=True,
            recipes={"default": recipe},
        )
    )
    plan = TrainingPlan(seeds=2)
    (here,) = compare(["here"], load_dataset("mnist-10k"), train=plan, device="cpu").rows
    found = here.measurement
    assert found is not None and found.accuracies is not None and found.repeats == 5
    one, other = found.accuracies
    assert one == pytest.approx(first["accuracy"])
    assert found.accuracy_sd == pytest.approx(abs(one - other) / 2**0.5)


@pytest.mark.parametrize("model", ["dropping", "own_fit"])
def test_train_stores_the_mean_that_evaluate_finds_again_and_ship_declares(
    model: str, cli: Callable[..., Any], run_cli: Run, tmp_path: Path
) -> None:
    trained = cli("train", model, "-o", "a.safetensors")
    work = tmp_path / "work"
    stored = read_metadata(work / "a.safetensors")["metrics"]
    evaluated = cli("evaluate", model, "--weights", "a.safetensors")
    assert stored["test_accuracy"] == evaluated["accuracy"] == trained["evaluation"]["accuracy"]
    assert stored["test_accuracy_repeat_sd"] == evaluated["accuracy_sd"] > 0
    again = cli("train", model, "-o", "b.safetensors")
    assert again["metrics"] == trained["metrics"]
    if model == "dropping":
        done = run_cli("ship", "a.safetensors", "--folder", ".", "--json", "-")
        assert done.returncode == 0, done.stderr
        metrics = json.loads(done.stdout)["weights"]["metrics"]
        assert metrics["test_accuracy"] == pytest.approx(evaluated["accuracy"], abs=1e-6)
        assert metrics["test_accuracy_repeat_sd"] > 0
