"""Discovery: which plugins count, the switches, and registration in the process."""

import importlib.metadata
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

import mnistzoo
from mnistzoo import ModelSpec, hookimpl
from mnistzoo.plugins import PluginError, load_plugins, unregister_plugin

Install = Callable[..., Path]
Register = Callable[..., None]
Run = Callable[..., subprocess.CompletedProcess[str]]
Spec = Callable[..., ModelSpec]


def listed(result: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the names in ``models --json -``."""
    return [model["name"] for model in json.loads(result.stdout)["models"]]


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ("", []),
        ("a-b", ["a_b"]),
        ("A_b", ["a_b"]),
        ("a.B , cd", ["a_b", "cd"]),
        ("-a-b", ["cd", "ef"]),
        ("-A.b,-cd", ["ef"]),
        ("a-b,cd,-cd", ["a_b"]),
    ],
)
def test_the_setting_selects_distributions(
    setting: str, names: list[str], install_plugin: Install, run_cli: Run
) -> None:
    for name in ("a-b", "cd", "ef"):
        install_plugin(name)
    result = run_cli("models", "--json", "-", env={"MNISTZOO_PLUGINS": setting})
    assert [name for name in listed(result) if name in ("a_b", "cd", "ef")] == names
    assert result.returncode == (0 if names else 1)
    if not setting.startswith("-"):
        assert listed(result) == names


def test_without_the_setting_every_plugin_is_loaded(
    install_plugin: Install, run_python: Run
) -> None:
    install_plugin("good")
    code = (
        "import os; del os.environ['MNISTZOO_PLUGINS']; "
        "from mnistzoo.cli import main; main(['models', 'good', '--json', '-'])"
    )
    assert listed(run_python("-c", code)) == ["good"]


def test_a_name_in_the_setting_that_is_not_installed_is_warned_of(
    install_plugin: Install, run_cli: Run
) -> None:
    install_plugin("good")
    result = run_cli("models", "--json", "-", env={"MNISTZOO_PLUGINS": "good,-goood"})
    assert listed(result) == ["good"]
    (line,) = result.stderr.splitlines()
    assert "MNISTZOO_PLUGINS" in line and "goood" in line


def test_a_plugin_that_is_switched_off_is_shown_and_not_imported(
    install_plugin: Install, run_cli: Run
) -> None:
    install_plugin("bad", "raise RuntimeError('imported')", version="0.3")
    result = run_cli("plugins", env={"MNISTZOO_PLUGINS": ""})
    assert result.returncode == 0
    assert result.stderr == ""
    (row,) = [line for line in result.stdout.splitlines() if line.startswith(" bad ")]
    assert row.split()[:2] == ["bad", "0.3"] and row.rstrip().endswith("switched off")


def test_equal_entry_point_names_of_two_distributions_both_count(
    install_plugin: Install, run_cli: Run
) -> None:
    install_plugin("good", entry_point="same")
    install_plugin("other", entry_point="same")
    result = run_cli("models", "--json", "-")
    assert listed(result) == ["good", "other"]
    assert result.stderr == ""


@pytest.mark.parametrize("kind", ["dist-info", "egg-info"])
def test_stray_metadata_of_the_same_distribution_gives_no_duplicate(
    kind: str, install_plugin: Install, run_cli: Run, tmp_path: Path
) -> None:
    metadata = install_plugin("good-one")
    stray = tmp_path / "sites" / "stray"
    if kind == "dist-info":
        shutil.copytree(metadata, stray / metadata.name)
    else:
        shutil.copytree(metadata, stray / "good_one.egg-info")
        (stray / "good_one.egg-info" / "METADATA").rename(stray / "good_one.egg-info" / "PKG-INFO")
    result = run_cli("models", "--json", "-")
    assert listed(result) == ["good_one"]
    assert result.stderr == ""


def test_a_registered_plugin_counts_until_it_is_unregistered(
    linear_spec: Spec, register: Register
) -> None:
    spec = linear_spec("registered_here")
    register(spec, plugin="tests")
    assert mnistzoo.get_spec("registered_here") == spec
    (plugin,) = [plugin for plugin in load_plugins() if plugin.distribution == "tests"]
    assert plugin.specs == (spec,) and plugin.provider == "tests" and not plugin.error
    unregister_plugin("tests")
    assert "registered_here" not in mnistzoo.list_models()


def test_registering_again_under_the_same_name_replaces(
    linear_spec: Spec, register: Register
) -> None:
    register(linear_spec("registered_before"))
    register(linear_spec("registered_after"))
    assert mnistzoo.list_models("registered_*") == ["registered_after"]


def test_unregistering_what_is_not_registered_changes_nothing(
    linear_spec: Spec, register: Register
) -> None:
    register(linear_spec("registered_here"))
    unregister_plugin("somebody else")
    assert mnistzoo.list_models("registered_*") == ["registered_here"]


def test_two_registered_plugins_that_claim_a_name_both_lose_it(
    linear_spec: Spec, register: Register
) -> None:
    register(linear_spec("twin_of_the_tests"), plugin="one")
    register(linear_spec("twin_of_the_tests"), plugin="two")
    assert "twin_of_the_tests" not in mnistzoo.list_models()
    with pytest.raises(mnistzoo.MnistzooError, match="one and two"):
        mnistzoo.get_spec("twin_of_the_tests")


class _NoHook:
    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec

    def register_models(self, register: Callable[[Any], None]) -> None: ...


class _RegistersText(_NoHook):
    @hookimpl
    def register_models(self, register: Callable[[Any], None]) -> None:
        register("registered_here")


class _RaisesHalfway(_NoHook):
    @hookimpl
    def register_models(self, register: Callable[[Any], None]) -> None:
        register(self.spec)
        raise LookupError("no second half")


class _RegistersTwice(_NoHook):
    @hookimpl
    def register_models(self, register: Callable[[Any], None]) -> None:
        register(self.spec)
        register(self.spec)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (_NoHook, "hookimpl"),
        (_RegistersText, "register.. takes a ModelSpec, not str"),
        (_RaisesHalfway, "LookupError: no second half"),
        (_RegistersTwice, "'registered_here' twice"),
    ],
)
def test_an_object_whose_hook_fails_is_refused_and_the_earlier_one_stays(
    kind: type[_NoHook], reason: str, linear_spec: Spec, register: Register
) -> None:
    register(linear_spec("registered_before"), plugin="tests")
    plugin = kind(linear_spec("registered_here"))
    with pytest.raises(PluginError, match=reason) as caught:
        mnistzoo.register_plugin(plugin, "tests")
    assert "plugin tests" in str(caught.value)
    assert mnistzoo.list_models("registered_*") == ["registered_before"]


def modules_that_plugins_name() -> list[str]:
    return sorted(point.value for point in importlib.metadata.entry_points(group="mnistzoo"))


@pytest.mark.parametrize(
    "code",
    [
        "import mnistzoo",
        "from mnistzoo import ModelSpec, Recipe, Weights, hookimpl",
        "import mnistzoo; assert mnistzoo.list_models('good') == ['good']",
        "import mnistzoo; assert mnistzoo.get_spec('good').num_params == 7850",
        *(f"import {module}" for module in modules_that_plugins_name()),
    ],
)
def test_looking_at_models_leaves_torch_unimported(
    code: str, install_plugin: Install, run_python: Run
) -> None:
    install_plugin("good")
    result = run_python("-c", f"{code}\nimport sys; sys.exit('torch' in sys.modules)")
    assert (result.returncode, result.stderr) == (0, "")


def test_what_a_plugin_changes_after_registering_changes_nothing(
    linear_spec: Spec, register: Register
) -> None:
    metrics = {"test_accuracy": 0.5}
    spec = linear_spec("changed_later", recipes={}, weights=None, members=("x",), metrics=metrics)
    register(spec)
    metrics["test_accuracy"] = 0.9
    cast(dict[str, float], spec.metrics)["test_accuracy"] = float("nan")
    assert mnistzoo.get_spec("changed_later").metrics == {"test_accuracy": 0.5}


class _Coroutine:
    @hookimpl
    async def register_models(self, register: Register) -> None:
        raise AssertionError


class _Generator:
    @hookimpl
    def register_models(self, register: Register) -> Iterator[None]:
        yield


class _Returning:
    @hookimpl
    def register_models(self, register: Register) -> list[str]:
        return ["a model"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("plugin", [_Coroutine, _Generator, _Returning])
def test_a_hook_that_returns_something_is_told_to_register(plugin: type) -> None:
    with pytest.raises(PluginError, match=r"its register_models returns a \w+; write a plain func"):
        mnistzoo.register_plugin(plugin(), "returning")
