"""Nothing stands in the README that was not run."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mnistzoo import list_models

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DISTRIBUTIONS = ",".join(path.name for path in sorted((ROOT / "plugins").iterdir()))
FIRST_PARTY = {"ensemble", "mnistnet", "mnistconvnet", "resnet", "sprint", "tiny1k", "tiny7k"}

pytestmark = pytest.mark.skipif(
    not set(list_models()) >= FIRST_PARTY, reason="the README's models are not installed"
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Return the README's commands; trainings are cut to an epoch of the shipped data."""
    lines = [line for block in blocks("console") for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in lines)
    found = [shlex.split(line.removeprefix("$ ")) for line in lines]
    for words in found:
        if "train" in words or "--train" in words:
            words += ["--dataset", "mnist-10k", "--epochs", "1"]
    return found


def run(words: list[str], folder: Path, **environment: str) -> str:
    if words[0] == "mnistzoo":
        words = [sys.executable, "-m", *words]
    done = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the README's own plugin as the README says, and install it into a folder."""
    source = tmp_path_factory.mktemp("my-digits")
    parts = re.findall(r"^`([\w./]+)`\n\n```\w+\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in parts] == [
        "pyproject.toml",
        "my_digits/__init__.py",
        "my_digits/model.py",
    ]
    assert sum(len(text.splitlines()) for _, text in parts) < 30
    for name, text in parts:
        path = source / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    installed = tmp_path_factory.mktemp("installed")
    # Without isolation and dependencies, so that no network is needed.
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps"]
    run([*pip, "--target", str(installed), "."], source)
    return installed


def test_every_command_runs(plugin: Path, tmp_path: Path) -> None:
    assert ["pip", "install", "."] in commands()
    path = os.pathsep.join([str(plugin), *filter(None, [os.environ.get("PYTHONPATH")])])
    for words in commands():
        if words[0] != "pip":
            output = run(words, tmp_path, PYTHONPATH=path)
            assert "softmax" in output or "softmax" not in words
    assert (tmp_path / "comparison.json").exists()


def test_the_first_command_compares_the_shipped_models(tmp_path: Path) -> None:
    (command,) = [text.split(" && ")[1].split() for text in blocks("sh") if "compare" in text]
    output = run([sys.executable, *command[1:]], tmp_path, MNISTZOO_PLUGINS=DISTRIBUTIONS)
    assert all(name in output for name in FIRST_PARTY)
    assert "failed" not in output


def test_the_python_snippets_run(tmp_path: Path) -> None:
    whole = ("import mnistzoo", "import Predictor")  # the others are files of the plugin
    snippets = [text for text in blocks("python") if any(each in text for each in whole)]
    assert len(snippets) == 3
    run(["mnistzoo", "export", "tiny7k"], tmp_path)
    outputs = "".join(run([sys.executable, "-c", snippet], tmp_path) for snippet in snippets)
    assert "(10000, 28, 28) uint8" in outputs
    assert "Linear(in_features=784" in outputs
    assert "tiny7k 0.99" in outputs and "(5, 10)" in outputs


def test_the_table_is_that_of_the_shipped_weights() -> None:
    table = run([sys.executable, "scripts/readme_table.py"], ROOT, MNISTZOO_PLUGINS=DISTRIBUTIONS)
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(FIRST_PARTY)
    assert "\n".join(rows) in README


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_ci_runs_the_readmes_test_command() -> None:
    (test_command,) = [text.strip() for text in blocks("sh") if "pytest" in text]
    install, pytest_command = test_command.split(" && ")
    ci = (ROOT / ".ci" / "run").read_text().splitlines()
    assert ci.index(install) < ci.index(pytest_command)
