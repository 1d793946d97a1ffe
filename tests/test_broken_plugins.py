"""What a broken plugin does to the command line beside a good one: nothing but say so."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mnistzoo

Install = Callable[..., Path]
Result = subprocess.CompletedProcess[str]
Run = Callable[..., Result]

HERE = mnistzoo.__version__
REGISTER = """\
@hookimpl
def register_models(register):
"""

FAILS_TO_LOAD = {
    "raises at import": (
        "raise RuntimeError('the shelf is empty')",
        "RuntimeError: the shelf is empty",
    ),
    "exits at import": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "declares weights of the wrong type": (
        f"{REGISTER}    register(linear('bad', weights='w.safetensors'))",
        "ValueError: weights of model 'bad' must be a Weights object",
    ),
    "raises after one of its models": (
        f"{REGISTER}    register(linear('half'))\n    raise LookupError('no second half')",
        "LookupError: no second half",
    ),
    "misspells the hook": (
        "@hookimpl\ndef register_model(register):\n    register(linear('bad'))",
        "unknown hook 'register_model'",
    ),
    "declares a field of a newer version": (
        f"{REGISTER}    register(linear('bad', colour='red'))",
        f"or the plugin is built for another version than mnistzoo {HERE}",
    ),
    "imports a name of a newer version": (
        "from mnistzoo import Telepathy",
        f"or the plugin is built for another version than mnistzoo {HERE}",
    ),
    "leaves the hook unmarked": (
        "def register_models(register):\n    register(linear('bad'))",
        "@mnistzoo.hookimpl",
    ),
}

CANNOT_BE_CREATED = {
    "factory's module is missing": ("factory='module_that_is_missing:linear'", "", ["is_missing"]),
    "factory's attribute is missing": ("factory='{}.model:cubic'", "", ["cubic"]),
    "declares a wrong number of parameters": ("num_params=7840", "", ["7,840", "7,850"]),
    "its module needs an absent package": ("", "import absent_package\n", ["absent_package"]),
}


@pytest.mark.parametrize(
    ("requirement", "loads"),
    [
        ("mnistzoo>=99", False),
        ("MNISTzoo<0.0.1", False),
        (f"mnistzoo>={HERE}", True),
        ("mnistzoo[onnx]", True),
        ("somethingelse>=99", True),
        ("mnistzoo>=99; extra == 'later'", True),
        ("mnistzoo>=99; python_version >= '3'", False),
        ("no requirement at all", True),
    ],
)
def test_a_plugin_for_another_version_is_not_loaded(
    requirement: str, loads: bool, install_plugin: Install, run_cli: Run
) -> None:
    """Not even imported: what it would do there is anybody's guess."""
    metadata = install_plugin("other", None if loads else "raise RuntimeError('imported')")
    with (metadata / "METADATA").open("a") as stream:
        stream.write(f"Requires-Dist: {requirement}\n")
    result = run_cli("models", "--json", "-")
    if loads:
        assert listed(result) == {"other"}
        return
    assert result.returncode == 1
    wanted = requirement[8:].partition(";")[0]
    assert f"built for mnistzoo{wanted}, but this is mnistzoo {HERE}" in result.stderr


def test_metadata_cannot_reach_the_terminal(install_plugin: Install, run_cli: Run) -> None:
    metadata = install_plugin("good")
    text = (metadata / "METADATA").read_text()
    (metadata / "METADATA").write_text(text.replace("Version: 1.0", "Version: 1.0\x1b[2J\a"))
    result = run_cli("plugins")
    assert "1.0?[2J?" in result.stdout and "\x1b" not in result.stdout


MODEL = "from torch import nn\n\ndef linear():\n    return nn.Sequential(nn.Linear(784, 10))\n"


def named(model: str, alias: str) -> str:
    return f"{REGISTER}    register(linear({model!r}, aliases=({alias!r},)))"


def listed(result: Result) -> set[str]:
    """Return the names in ``models --json -``."""
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    return {model["name"] for model in json.loads(result.stdout)["models"]}


def plugins(run_cli: Run, folder: Path) -> tuple[dict[str, dict[str, Any]], str]:
    """Return what ``plugins`` says of each plugin, and its stdout."""
    result = run_cli("plugins", "--json", str(folder / "plugins.json"))
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    facts = json.loads((folder / "plugins.json").read_text())
    return {plugin["distribution"]: plugin for plugin in facts}, result.stdout


def rows(result: Result) -> dict[str, dict[str, Any]]:
    """Return the rows of ``compare --json -`` by name; the good model's must be right."""
    assert "Traceback" not in result.stderr
    by_name = {row["name"]: row for row in json.loads(result.stdout)["models"]}
    assert by_name["good"]["accuracy"] == 0.1135
    assert by_name["good"]["error"] is None
    return by_name


def state(stdout: str, distribution: str) -> str:
    """Return the last cells of a plugin's row in the table of ``plugins``."""
    lines = [line.strip() for line in stdout.splitlines()]
    (row,) = [line for line in lines if line.startswith(f"{distribution}  ")]
    return row.rpartition("  ")[2]


@pytest.mark.parametrize(("code", "reason"), FAILS_TO_LOAD.values(), ids=FAILS_TO_LOAD)
def test_a_plugin_that_fails_to_load_is_named_and_the_rest_works(
    code: str, reason: str, install_plugin: Install, run_cli: Run
) -> None:
    install_plugin("good")
    install_plugin("bad", code, version="0.3")

    result = run_cli("models", "--json", "-")
    assert listed(result) == {"good"}
    (line,) = result.stderr.splitlines()
    assert "plugin bad 0.3" in line and reason in line


def test_plugins_and_compare_name_all_plugins_that_fail_to_load_and_the_rest_works(
    install_plugin: Install, run_cli: Run, tmp_path: Path
) -> None:
    install_plugin("good")
    reasons = {}
    for number, (code, reason) in enumerate(FAILS_TO_LOAD.values()):
        install_plugin(f"bad{number}", code, version="0.3")
        reasons[f"bad{number}"] = reason

    found, stdout = plugins(run_cli, tmp_path)
    assert state(stdout, "good") == "works" and found["good"]["problems"] == []
    assert stdout.count("Traceback (most recent call last)") == len(reasons)
    for bad, reason in reasons.items():
        assert state(stdout, bad) == "failed" and found[bad]["models"] == []
        (problem,) = found[bad]["problems"]
        assert reason in problem and f"{bad} 0.3: {problem}" in stdout

    result = run_cli("compare", "--json", "-")
    assert rows(result).keys() == {"good"}
    assert result.returncode == 0
    for bad, reason in reasons.items():
        (line,) = (line for line in result.stderr.splitlines() if f"plugin {bad} 0.3" in line)
        assert reason in line


def test_models_that_cannot_be_created_are_error_rows_and_the_rest_works(
    install_plugin: Install, run_cli: Run, tmp_path: Path
) -> None:
    install_plugin("good")
    reasons = {}
    for number, (changes, model_code, parts) in enumerate(CANNOT_BE_CREATED.values()):
        bad = f"bad{number}"
        code = f"{REGISTER}    register(linear({bad!r}, {changes.format(bad)}))"
        install_plugin(bad, code, version="0.3", model_code=model_code + MODEL)
        reasons[bad] = parts

    result = run_cli("models", "--json", "-")
    assert listed(result) == {"good", *reasons}
    assert result.stderr == ""

    found, stdout = plugins(run_cli, tmp_path)
    assert state(stdout, "good") == "works" and found["good"]["problems"] == []
    result = run_cli("compare", "--json", "-")
    by_name = rows(result)
    assert by_name.keys() == {"good", *reasons}
    assert result.returncode == 1
    for bad, parts in reasons.items():
        assert state(stdout, bad) == "failed"
        (problem,) = found[bad]["problems"]
        assert f"{bad} 0.3" in problem and problem in stdout
        assert all(part in problem for part in parts)
        assert by_name[bad]["error"] == problem
        assert by_name[bad]["accuracy"] is None


@pytest.mark.parametrize(
    ("code_of_one", "code_of_two", "names"),
    [
        (named("twin", "first"), named("twin", "second"), {"good"}),
        (named("twin", "first"), named("other", "twin"), {"good", "other"}),
        (named("other", "twin"), named("twin", "first"), {"good", "other"}),
    ],
    ids=["name and name", "name and alias", "alias and name"],
)
def test_a_name_that_two_plugins_claim_goes_to_neither_in_any_order(
    code_of_one: str, code_of_two: str, names: set[str], install_plugin: Install, run_cli: Run
) -> None:
    install_plugin("good")
    install_plugin("one", code_of_one, version="0.3")
    install_plugin("two", code_of_two, version="0.4")

    result = run_cli("models", "--json", "-")
    assert listed(result) == names
    (line,) = result.stderr.splitlines()
    assert "'twin'" in line and "one 0.3" in line and "two 0.4" in line

    asked = run_cli("train", "twin")
    assert asked.returncode == 1
    (line,) = asked.stderr.splitlines()
    assert "'twin'" in line and "one 0.3" in line and "two 0.4" in line


def test_plugins_and_compare_name_both_claimants_and_the_rest_works(
    install_plugin: Install, run_cli: Run, tmp_path: Path
) -> None:
    install_plugin("good")
    install_plugin("one", named("twin", "first"), version="0.3")
    install_plugin("two", named("other", "twin"), version="0.4")

    found, stdout = plugins(run_cli, tmp_path)
    assert state(stdout, "good") == "works"
    for claimant in ("one", "two"):
        assert state(stdout, claimant) == "failed"
        (problem,) = found[claimant]["problems"]
        assert "one 0.3" in problem and "two 0.4" in problem and problem in stdout

    result = run_cli("compare", "--json", "-")
    assert rows(result).keys() == {"good", "other"}
    assert result.returncode == 0
    assert "one 0.3" in result.stderr and "two 0.4" in result.stderr


def test_a_name_is_free_again_with_one_claimant_switched_off(
    install_plugin: Install, run_cli: Run
) -> None:
    install_plugin("one", named("twin", "first"))
    install_plugin("two", named("twin", "second"))
    result = run_cli("models", "--json", "-", env={"MNISTZOO_PLUGINS": "two"})
    assert "twin" in listed(result)
    assert result.stderr == ""


def test_a_model_lost_to_a_failed_plugin_is_an_error_that_names_the_plugin(
    install_plugin: Install, run_cli: Run
) -> None:
    install_plugin("good")
    install_plugin("bad", "raise RuntimeError", version="0.3")
    result = run_cli("train", "bad")
    assert result.returncode == 2
    assert "no model 'bad' (bad 0.3 failed to load)" in result.stderr
    assert "Traceback" not in result.stderr


def test_strict_makes_the_first_failure_an_error_that_names_the_plugin(
    install_plugin: Install, run_cli: Run
) -> None:
    install_plugin("good")
    install_plugin("bad", "raise RuntimeError('the shelf is empty')", version="0.3")
    result = run_cli("models", env={"MNISTZOO_STRICT": "1"})
    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert "plugin bad 0.3" in line and "the shelf is empty" in line


@pytest.mark.parametrize(
    "text",
    [
        "raise RuntimeError('not even this')",
        "raise SystemExit(3)",
        "return 'a line\\nand another\\x1b[2J\\udcff'",
    ],
    ids=["raises", "exits", "control characters"],
)
def test_a_hostile_exception_text_stays_one_printable_line(
    text: str, install_plugin: Install, run_cli: Run
) -> None:
    install_plugin("good")
    hostile = f"class Hostile(Exception):\n    def __str__(self):\n        {text}\n"
    install_plugin("bad", f"{hostile}\nraise Hostile", version="0.3")

    result = run_cli("models", "--json", "-")
    assert listed(result) == {"good"}
    (line,) = result.stderr.splitlines()
    assert "plugin bad 0.3" in line and "Hostile" in line
    assert line.isprintable()

    no_torch = {"MNISTZOO_PLUGINS": "bad"}  # without the good model there is none to create
    result = run_cli("plugins", env=no_torch)
    assert result.returncode == 0, result.stderr
    assert state(result.stdout, "bad") == "failed"


@pytest.mark.parametrize(
    "code",
    [
        "from mnistzoo.registry import ModelError\n"
        "raise ModelError('a\\x1b[2J\\nmnistzoo: all is well')",
        "raise type('\\x1b[2JEvil', (Exception,), {})",
        "from mnistzoo import MnistzooError\n"
        "class Mute(MnistzooError):\n    def __str__(self):\n        raise SystemExit\n"
        "raise Mute",
        "error = SyntaxError('no', ('file', 1, 1, 5))\nraise error",
    ],
)
def test_whatever_a_plugin_raises_is_one_printable_line(
    code: str, install_plugin: Install, run_cli: Run
) -> None:
    install_plugin("good")
    install_plugin("bad", code)
    result = run_cli("models", "--json", "-")
    assert listed(result) == {"good"}
    (line,) = result.stderr.splitlines()
    assert "plugin bad 1.0 failed to load" in line and line.isprintable()


def test_bytes_that_are_no_text_cost_only_their_own_plugin(
    install_plugin: Install, run_cli: Run
) -> None:
    install_plugin("good")
    metadata = install_plugin("bad")
    (metadata / "entry_points.txt").write_bytes(b"[mnistzoo]\nplugin = \xff\xfe\n")
    result = run_cli("models", "--json", "-")
    assert listed(result) == {"good"}
    assert "plugin bad 1.0 failed to load" in result.stderr


def test_a_model_that_calls_exit_has_not_succeeded(install_plugin: Install, run_cli: Run) -> None:
    leaves = (
        "class Leaves(nn.Linear):\n    def forward(self, images):\n        raise SystemExit(0)\n"
    )
    install_plugin(
        "bad",
        model_code=f"from torch import nn\n{leaves}\ndef linear():\n"
        "    return nn.Sequential(nn.Flatten(), Leaves(784, 10))\n",
    )
    result = run_cli("evaluate", "bad", "--dataset", "mnist-10k")
    assert result.returncode == 1
    assert "SystemExit" in result.stderr and "Traceback" not in result.stderr


def test_metadata_without_a_name_does_not_take_the_command_down(
    install_plugin: Install, run_cli: Run
) -> None:
    install_plugin("good")
    (install_plugin("bad", "raise RuntimeError") / "METADATA").unlink()
    result = run_cli("models", "--json", "-", env={"MNISTZOO_PLUGINS": "-absent"})
    assert "good" in listed(result)


def test_an_entry_point_that_is_no_module_is_named(install_plugin: Install, run_cli: Run) -> None:
    install_plugin("good")
    metadata = install_plugin("bad", version="0.3")
    (metadata / "entry_points.txt").write_text("[mnistzoo]\nplugin = this is no module\n")
    result = run_cli("models", "--json", "-")
    assert listed(result) == {"good"}
    (line,) = result.stderr.splitlines()
    assert "plugin bad 0.3" in line


def test_a_malformed_entry_points_file_costs_only_its_own_plugin(
    install_plugin: Install, run_cli: Run
) -> None:
    install_plugin("good")
    metadata = install_plugin("bad", version="0.3")
    (metadata / "entry_points.txt").write_text("[mnistzoo]\nno equals sign here\n")
    result = run_cli("models", "--json", "-")
    assert listed(result) == {"good"}
    (line,) = result.stderr.splitlines()
    assert "plugin bad 0.3" in line
    assert "entry_points.txt is malformed" in line
