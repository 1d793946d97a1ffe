"""Nothing stands in the README that was not run."""

import json
import os
import runpy
from pathlib import Path

import pytest
from documents import PIP, README, ROOT, blocks, commands, run
from first_party import FOLDERS, first_party

from mnistzoo.plugins import load_plugins

TEXT = README.read_text("utf-8")
DISTRIBUTIONS = ",".join(FOLDERS)
FIRST_PARTY = set(first_party())

pytestmark = pytest.mark.skipif(
    not FOLDERS or not {plugin.distribution for plugin in load_plugins()} >= FOLDERS.keys(),
    reason="the README's models are not installed",
)


def shortened() -> list[list[str]]:
    """Return the README's commands; trainings are cut to an epoch of the shipped data."""
    found = commands(README)
    for words in found:
        if words[:2] == ["mnistzoo", "train"]:  # under the name that the whole training has
            recipe = words[words.index("--recipe") + 1] if "--recipe" in words else "default"
            words += ["-o", f"{words[2]}-{recipe}-seed0.safetensors"]
        if "train" in words or "--train" in words:
            words += ["--dataset", "mnist-10k", "--epochs", "1"]
    return found


def shell() -> list[str]:
    return [block.text for block in blocks(README, "sh")]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the README's own plugin as the README says, and install it into a folder."""
    source = tmp_path_factory.mktemp("my-softmax")
    parts = [block for block in blocks(README) if block.path]
    assert [part.path for part in parts] == [
        "pyproject.toml",
        "my_softmax/__init__.py",
        "my_softmax/model.py",
    ]
    assert sum(len(part.text.splitlines()) for part in parts) < 30
    for part in parts:
        path = source / part.path
        path.parent.mkdir(exist_ok=True)
        path.write_text(part.text)
    installed = tmp_path_factory.mktemp("installed")
    run([*PIP, "--target", str(installed), "."], source)
    return installed


@pytest.fixture(scope="module")
def folder(plugin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run every command of the README in a folder, and return it."""
    assert ["pip", "install", "."] in commands(README)
    folder = tmp_path_factory.mktemp("folder")
    path = os.pathsep.join([str(plugin), *filter(None, [os.environ.get("PYTHONPATH")])])
    for words in shortened():
        if words[0] != "pip":
            output = run(words, folder, PYTHONPATH=path)
            assert "softmax" in output or "softmax" not in words
    return folder


def test_every_command_runs(folder: Path) -> None:
    assert (folder / "comparison.json").exists()


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the README's first command, and return the JSON that it writes besides."""
    folder = tmp_path_factory.mktemp("comparison")
    (command,) = [text.split(" && ")[1].split() for text in shell() if "compare" in text]
    output = run([*command, "--json", "all.json"], folder, MNISTZOO_PLUGINS=DISTRIBUTIONS)
    assert all(name in output for name in FIRST_PARTY)
    assert "failed" not in output
    return folder / "all.json"


def test_the_first_command_compares_the_shipped_models(comparison: Path) -> None:
    assert {each["name"] for each in json.loads(comparison.read_text())["models"]} == FIRST_PARTY


def test_the_script_of_the_table_evaluates_the_weights_or_takes_a_comparison(
    comparison: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "readme_table.py"))
    monkeypatch.setitem(script["evaluated"].__globals__, "MODELS", ["mnistnet"])
    assert script["evaluated"]()["mnistnet"] == script["compared"](comparison)["mnistnet"]


def test_the_python_snippets_run(folder: Path) -> None:
    whole = ("import mnistzoo", "import Predictor")  # the others are files of the plugin
    texts = [block.text for block in blocks(README, "python")]
    snippets = [text for text in texts if any(each in text for each in whole)]
    assert len(snippets) == 3
    outputs = "".join(run(["python", "-c", snippet], folder) for snippet in snippets)
    assert "(10000, 28, 28) uint8" in outputs
    assert "Linear(in_features=784" in outputs
    assert "tiny7k 0.99" in outputs and "(5, 10)" in outputs


def test_the_table_is_that_of_the_shipped_weights(comparison: Path) -> None:
    command = ["python", "scripts/readme_table.py", str(comparison)]
    table = run(command, ROOT, MNISTZOO_PLUGINS=DISTRIBUTIONS)
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(FIRST_PARTY)
    assert "\n".join(rows) in TEXT


def test_ci_runs_the_readmes_test_command() -> None:
    (test_command,) = [text.strip() for text in shell() if "pytest" in text]
    install, pytest_command = test_command.split(" && ")
    ci = (ROOT / ".ci" / "run").read_text().splitlines()
    assert ci.index(install) < ci.index(pytest_command)
