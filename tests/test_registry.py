"""From a name to what a plugin registered."""

import dataclasses
from collections.abc import Callable

import pytest

import mnistzoo
from mnistzoo import ModelSpec, Recipe
from mnistzoo.registry import ModelError, registry

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


def test_a_recipe_is_found_by_name(register: Register, linear_spec: Spec) -> None:
    default = linear_spec("zootest").recipes["default"]
    reference: Recipe = dataclasses.replace(default, epochs=5)
    spec = linear_spec("zootest", recipes={"default": default, "reference": reference})
    assert mnistzoo.get_recipe(spec) is default
    assert mnistzoo.get_recipe(spec, "reference") is reference
    register(dataclasses.replace(spec, aliases=("zooalias",)))
    assert mnistzoo.get_recipe("zootest") == mnistzoo.get_recipe("zooalias") == default
    assert mnistzoo.get_recipe("zootest", "reference") == reference
    with pytest.raises(ModelError, match=r"no model 'zoo_test'.*did you mean 'zootest'"):
        mnistzoo.get_recipe("zoo_test")
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


def test_the_registry_holds_names_aliases_and_conflicts(
    register: Register, linear_spec: Spec
) -> None:
    register(linear_spec("zootest", aliases=("zooalias",)), linear_spec("zootwin"), plugin="one")
    register(linear_spec("zootwin"), plugin="two")
    known = registry()
    assert known.registrations["zootest"] == known.registrations["zooalias"]
    assert known.registrations["zootest"].plugin.distribution == "one"
    assert "zootwin" not in known.registrations
    claimants = known.conflicts["zootwin"]
    assert sorted(each.plugin.distribution for each in claimants) == ["one", "two"]
    assert known.conflicts.keys() & {"zootest", "zooalias"} == set()
