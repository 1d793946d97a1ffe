"""From a name to a model."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import mnistzoo
from mnistzoo import MnistzooError, ModelSpec
from mnistzoo.registry import ModelError

Register = Callable[..., None]
Spec = Callable[..., ModelSpec]


def test_an_alias_stands_for_the_model_and_is_not_listed(
    linear_spec: Spec, register: Register
) -> None:
    spec = linear_spec("zootest", aliases=("zooalias",))
    register(spec)
    assert mnistzoo.get_spec("zootest") is mnistzoo.get_spec("zooalias") == spec
    assert mnistzoo.list_models("zoo*") == ["zootest"]
    assert isinstance(mnistzoo.create_model("zooalias"), torch.nn.Module)
    assert isinstance(mnistzoo.load_model("zooalias"), torch.nn.Module)


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


@pytest.fixture
def wide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the module of a model whose number of classes and width can be chosen."""
    (tmp_path / "wide_of_the_tests.py").write_text(
        "from torch import nn\n\n\n"
        "def net(num_classes=10, *, width=1):\n"
        "    layers = nn.Linear(784, width), nn.Linear(width, num_classes)\n"
        "    return nn.Sequential(nn.Flatten(), *layers)\n\n\n"
        "def any_net(**arguments):\n"
        "    return net(**arguments)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "wide_of_the_tests"


@pytest.mark.parametrize("factory", ["net", "any_net"])
def test_arguments_go_to_the_factory_and_the_declared_size_is_that_without_them(
    factory: str, wide: str, linear_spec: Spec, register: Register
) -> None:
    register(linear_spec("zootest", factory=f"{wide}:{factory}", num_params=805, weights=None))
    model = mnistzoo.create_model("zootest", num_classes=26, width=3)
    assert model(torch.rand(2, 1, 28, 28)).shape == (2, 26)
    assert sum(each.numel() for each in model.parameters()) == 784 * 3 + 3 + 3 * 26 + 26
    assert mnistzoo.create_model("zootest")(torch.rand(2, 1, 28, 28)).shape == (2, 10)


def test_declared_arguments_may_hold_the_number_of_classes(
    wide: str, linear_spec: Spec, register: Register
) -> None:
    declared = {"num_params": 837, "arguments": {"num_classes": 26}, "weights": None}
    register(linear_spec("zootest", factory=f"{wide}:net", **declared))
    for classes, arguments in ((26, {}), (26, {"num_classes": 26}), (10, {"num_classes": 10})):
        model = mnistzoo.create_model("zootest", **arguments)
        assert model(torch.rand(2, 1, 28, 28)).shape == (2, classes)


def test_a_factory_that_does_not_take_an_argument_is_named(
    wide: str, linear_spec: Spec, register: Register
) -> None:
    register(linear_spec("zootest"), linear_spec("zoowide", factory=f"{wide}:net"))
    with pytest.raises(ModelError, match=r"^model 'zootest' of tests is made for 10 classes, "):
        mnistzoo.create_model("zootest", num_classes=26)
    with pytest.raises(
        ModelError, match=r"'zoowide' of tests does not take depth, colour; .*:net'"
    ):
        mnistzoo.create_model("zoowide", num_classes=26, depth=3, colour="red")
    with pytest.raises(ModelError, match=r"'zoowide' of tests cannot be created by .*TypeError"):
        mnistzoo.create_model("zoowide", num_classes="many")
