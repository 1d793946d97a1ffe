"""From a name to a model."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import mnistzoo
from mnistzoo import MnistzooError, ModelSpec, Recipe
from mnistzoo.zoo import ModelError

Register = Callable[..., None]
Spec = Callable[..., ModelSpec]


def test_models_are_listed_sorted_and_by_shell_pattern(
    linear_spec: Spec, register: Register
) -> None:
    register(*(linear_spec(f"zootest_{name}") for name in ("ba", "a", "b")))
    assert mnistzoo.list_models("zootest_*") == ["zootest_a", "zootest_b", "zootest_ba"]
    assert mnistzoo.list_models("zootest_b*") == ["zootest_b", "zootest_ba"]
    assert mnistzoo.list_models("zootest_?") == ["zootest_a", "zootest_b"]
    assert mnistzoo.list_models("zootest_[!b]") == ["zootest_a"]
    assert mnistzoo.list_models("zootest") == []
    assert mnistzoo.list_models("ZOOTEST_*") == []
    everything = mnistzoo.list_models()
    assert everything == sorted(everything) and {"zootest_a", "zootest_ba"} <= set(everything)


def test_an_alias_stands_for_the_model_and_is_not_listed(
    linear_spec: Spec, register: Register
) -> None:
    spec = linear_spec("zootest", aliases=("zooalias",))
    register(spec)
    assert mnistzoo.get_spec("zootest") is mnistzoo.get_spec("zooalias") is spec
    assert mnistzoo.list_models("zoo*") == ["zootest"]
    assert isinstance(mnistzoo.create_model("zooalias"), torch.nn.Module)
    assert isinstance(mnistzoo.load_model("zooalias"), torch.nn.Module)


@pytest.mark.parametrize("asked", ["zootets", "zootestt", "zoo_test"])
def test_an_unknown_name_is_an_error_that_suggests_the_nearest(
    asked: str, linear_spec: Spec, register: Register
) -> None:
    register(linear_spec("zootest"))
    for ask in (mnistzoo.get_spec, mnistzoo.create_model, mnistzoo.load_model):
        with pytest.raises(ModelError, match=f"no model '{asked}'.*did you mean 'zootest'"):
            ask(asked)


def test_a_name_like_no_other_is_an_error_without_a_guess() -> None:
    with pytest.raises(ModelError, match="no model 'qqqqqqqq'") as caught:
        mnistzoo.get_spec("qqqqqqqq")
    assert "did you mean" not in str(caught.value)
    assert "mnistzoo models" in str(caught.value)


def test_a_created_model_is_untrained_and_follows_torchs_seed(
    linear_spec: Spec, register: Register
) -> None:
    register(linear_spec("zootest"))
    first, second = (_created_with_seed(seed) for seed in (0, 0))
    assert first.training
    assert all(map(torch.equal, first.parameters(), second.parameters()))
    other = _created_with_seed(1)
    assert not all(map(torch.equal, first.parameters(), other.parameters()))


def _created_with_seed(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return mnistzoo.create_model("zootest")


@pytest.mark.parametrize("declared", [7849, 7851, 0])
def test_a_model_whose_parameters_are_not_as_many_as_declared_is_refused(
    declared: int, linear_spec: Spec, register: Register
) -> None:
    register(linear_spec("zootest", num_params=declared))
    with pytest.raises(ModelError, match=f"'zootest' of tests declares {declared:,} .* 7,850"):
        mnistzoo.create_model("zootest")


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        ("module_that_is_missing:linear", "'module_that_is_missing', which is not installed"),
        ("torch.nn:MissingLayer", "MissingLayer"),
        ("torch.nn:Linear", "TypeError"),
        ("builtins:dict", "dict"),
        ("sys:exit", "SystemExit"),
    ],
)
def test_a_factory_that_gives_no_model_is_an_error_that_names_model_and_plugin(
    factory: str, reason: str, linear_spec: Spec, register: Register
) -> None:
    register(linear_spec("zootest", factory=factory))
    with pytest.raises(ModelError, match="model 'zootest' of tests") as caught:
        mnistzoo.create_model("zootest")
    assert re.search(reason, str(caught.value))
    assert str(caught.value).isprintable()


def test_a_loaded_model_has_the_shipped_weights_and_is_in_evaluation_mode(
    linear_spec: Spec, register: Register
) -> None:
    register(linear_spec("zootest"))
    model = mnistzoo.load_model("zootest")
    assert not model.training
    logits = model(torch.rand(2, 1, 28, 28))
    assert torch.equal(logits, torch.eye(10)[[1, 1]])


def test_a_model_can_be_loaded_with_the_weights_of_a_file(
    linear_spec: Spec, register: Register, tmp_path: Path
) -> None:
    register(linear_spec("zootest", weights=None))
    trained = mnistzoo.create_model("zootest")
    torch.save(trained.state_dict(), tmp_path / "trained.pt")
    model = mnistzoo.load_model("zootest", tmp_path / "trained.pt")
    assert not model.training
    assert all(map(torch.equal, model.parameters(), trained.parameters()))


def test_shipped_weights_with_another_checksum_are_refused(
    linear_spec: Spec, register: Register
) -> None:
    shipped = linear_spec("zootest").weights
    assert shipped is not None
    register(linear_spec("zootest", weights=dataclasses.replace(shipped, sha256="0" * 64)))
    with pytest.raises(MnistzooError, match=f"{shipped.sha256}.*{'0' * 64}"):
        mnistzoo.load_model("zootest")


def test_shipped_weights_that_are_missing_are_an_error(
    linear_spec: Spec, register: Register
) -> None:
    shipped = linear_spec("zootest").weights
    assert shipped is not None
    missing = dataclasses.replace(shipped, file="missing.safetensors")
    register(linear_spec("zootest", weights=missing))
    with pytest.raises(FileNotFoundError, match=r"missing\.safetensors"):
        mnistzoo.load_model("zootest")


def test_shipped_weights_outside_the_package_are_refused(
    tmp_path: Path, linear_weights: Path, linear_spec: Spec, register: Register
) -> None:
    outside = tmp_path / "outside.safetensors"
    outside.write_bytes(linear_weights.read_bytes())
    link = linear_weights.with_name("link.safetensors")
    link.symlink_to(outside)
    shipped = linear_spec("zootest").weights
    assert shipped is not None
    register(linear_spec("zootest", weights=dataclasses.replace(shipped, file=link.name)))
    with pytest.raises(ModelError, match="leads out of its package"):
        mnistzoo.load_model("zootest")


def test_a_model_without_weights_says_how_to_train_it(
    linear_spec: Spec, register: Register
) -> None:
    register(linear_spec("zootest", weights=None))
    with pytest.raises(ModelError, match="mnistzoo train zootest"):
        mnistzoo.load_model("zootest")


def test_a_recipe_is_found_by_name(linear_spec: Spec) -> None:
    default = linear_spec("zootest").recipes["default"]
    reference: Recipe = dataclasses.replace(default, epochs=5)
    spec = linear_spec("zootest", recipes={"default": default, "reference": reference})
    assert mnistzoo.get_recipe(spec) is default
    assert mnistzoo.get_recipe(spec, "reference") is reference
    with pytest.raises(ModelError, match="no recipe 'fast'; it has: default, reference"):
        mnistzoo.get_recipe(spec, "fast")
    with pytest.raises(ModelError, match="has no recipe and is not trained"):
        mnistzoo.get_recipe(linear_spec("zootest", recipes={}))


def test_an_alias_of_a_model_whose_name_is_contested_stands_for_nothing(
    register: Register, linear_spec: Spec
) -> None:
    register(linear_spec("zootwin", aliases=("zoofirst",)), plugin="one")
    register(linear_spec("zootwin", aliases=("zoosecond",)), plugin="two")
    for name in ("zootwin", "zoofirst", "zoosecond"):
        with pytest.raises(ModelError, match="'zootwin' is claimed by one and two"):
            mnistzoo.get_spec(name)
