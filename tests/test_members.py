"""Models that are made of other registered models' weights."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import mnistzoo
from mnistzoo import ModelSpec, load_dataset
from mnistzoo.cli import main
from mnistzoo.comparison import compare
from mnistzoo.registry import ModelError
from mnistzoo.testing import run_checks

Register = Callable[..., None]
Spec = Callable[..., ModelSpec]

_MODULE = """\
from torch import nn

class Sum(nn.Module):
    def __init__(self, *members):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images):
        return sum(member(images) for member in self.members)
"""


@pytest.fixture
def pair(
    linear_spec: Spec, register: Register, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ModelSpec:
    """Register two linear models, and one that is the sum of both."""
    (tmp_path / "sum_of_members.py").write_text(_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    spec = made_of("memberone", "membertwo")
    register(linear_spec("memberone"), linear_spec("membertwo"), spec)
    return spec


def made_of(*members: str, num_params: int = 2 * 7850) -> ModelSpec:
    return ModelSpec(
        name="memberpair",
        summary="A sum",
        factory="sum_of_members:Sum",
        num_params=num_params,
        members=members,
    )


def test_a_model_is_loaded_with_the_weights_of_its_members(pair: ModelSpec) -> None:
    model = mnistzoo.load_model("memberpair")
    assert not model.training
    images = torch.rand(3, 1, 28, 28)
    expected = 2 * mnistzoo.load_model("memberone")(images)
    assert torch.equal(model(images), expected)


def test_a_model_is_created_with_untrained_members(pair: ModelSpec) -> None:
    model = mnistzoo.create_model("memberpair")
    first, second = (member for member in model.members)
    assert not torch.equal(first[1].weight, second[1].weight)


def test_it_stands_in_the_comparison_with_the_size_of_all_weights(
    pair: ModelSpec, linear_weights: Path
) -> None:
    (row,) = compare(["memberpair"], load_dataset("mnist-10k")).rows
    assert row.error is None
    assert row.accuracy == 0.1135
    assert row.measurement is not None
    assert row.measurement.file_bytes == 2 * linear_weights.stat().st_size


@pytest.mark.parametrize(("accuracy", "status"), [(0.1135, "passed"), (0.99, "failed")])
def test_the_accuracy_that_it_declares_is_shown_and_checked(
    accuracy: float,
    status: str,
    pair: ModelSpec,
    linear_spec: Spec,
    register: Register,
    capsys: pytest.CaptureFixture[str],
) -> None:
    declared = dataclasses.replace(
        pair, metrics={"test_accuracy": accuracy}, measured="by counting the ones"
    )
    register(linear_spec("memberone"), linear_spec("membertwo"), declared)
    with pytest.raises(SystemExit):
        main(["models", "memberpair"])
    assert f"{100 * accuracy:.2f}" in capsys.readouterr().out
    results = {each.check: each for each in run_checks("memberpair")}
    assert results["metrics"].status == status
    assert results["metadata"].message == (
        "the ModelSpec declares no license and no source; add license='...', source='...'"
    )


def test_metrics_without_members_stand_in_the_weights(linear_spec: Spec) -> None:
    for changes in ({"metrics": {"test_accuracy": 0.9}}, {"measured": "twice"}):
        with pytest.raises(ValueError, match="must be left out, since they stand in its weights"):
            linear_spec("self", **changes)
    with pytest.raises(ValueError, match="metric 'test_accuracy' of model 'memberpair' is 99"):
        dataclasses.replace(made_of("memberone"), metrics={"test_accuracy": 99})


def test_training_it_is_an_error_that_names_its_members(
    pair: ModelSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["train", "memberpair", "--dataset", "mnist-10k"])
    assert caught.value.code == 1
    assert "made of memberone, membertwo and is not trained" in capsys.readouterr().err


@pytest.mark.parametrize("member", ["nosuchmember", "memberone"])
def test_a_missing_member_or_one_without_weights_is_named(
    member: str, pair: ModelSpec, linear_spec: Spec, register: Register
) -> None:
    register(linear_spec("memberone", weights=None), plugin="tests")
    register(made_of(member, num_params=7850), plugin="other tests")
    with pytest.raises(ModelError, match=f"'memberpair' of other tests .*'{member}'"):
        mnistzoo.load_model("memberpair")


def test_a_member_that_is_itself_made_of_others_is_refused(
    pair: ModelSpec, register: Register
) -> None:
    nested = ModelSpec(
        name="membernested",
        summary="A sum of sums",
        factory="sum_of_members:Sum",
        num_params=2 * 7850,
        members=("memberpair",),
    )
    register(nested, plugin="more tests")
    with pytest.raises(ModelError, match=r"'membernested' .*'memberpair' is itself made of others"):
        mnistzoo.create_model("membernested")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"members": ("self",)}, "members of model 'self'"),
        ({"members": ["other"]}, "members of model 'self'"),
        ({"members": ("other",)}, "recipes and weights of model 'self' must be left out"),
        ({"members": (), "recipes": {}, "weights": None}, "must hold one named 'default'"),
    ],
)
def test_members_that_make_no_sense_are_refused(
    changes: dict[str, object], message: str, linear_spec: Spec
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        linear_spec("self", **changes)
