"""The whole way for real: wheels of the core and of a new plugin, in a virtual environment."""

import json
import os
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import processes
import pytest
from PIL import Image

from mnistzoo import load_dataset

ROOT = Path(__file__).parents[1]
Run = Callable[..., str]


def build_wheel(source: Path, folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps"]
    processes.run([*pip, "--wheel-dir", str(folder), str(source)], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return ``run(*words)``: runs Python of an environment with the core's wheel in it.

    Torch and all else is that of the environment which runs the tests: a .pth file adds its folder,
    but not the editable installs there, to the path.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    programs = folder / "bin"
    site = Path(
        sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)})
    )
    (site / "third_party.pth").write_text(sysconfig.get_path("purelib") + "\n")
    work = tmp_path_factory.mktemp("work")

    env = os.environ | {"MNISTZOO_PLUGINS": "my-digits", "PYTHONPATH": ""}

    def run(*words: str, expect: int = 0) -> str:
        done = processes.run_module(*words, cwd=work, env=env, python=str(programs / "python"))
        assert done.returncode == expect, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def install(*words: str) -> None:
        pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "--quiet"]
        processes.run([*pip, "install", "--no-index", *words], cwd=work, check=True)

    # Whatever the outer environment has of that name does not count.
    core = build_wheel(ROOT, tmp_path_factory.mktemp("core"))
    install("--no-deps", "--ignore-installed", str(core))
    code = "import mnistzoo; print(mnistzoo.__file__)"
    found = processes.run([programs / "python", "-c", code], cwd=work, env=env, check=True)
    assert Path(found.stdout.strip()).is_relative_to(site)
    processes.run([programs / "mnistzoo", "new-plugin", "my-digits"], cwd=work, env=env, check=True)
    # With all that it requires: on an index that has no mnistzoo, the installed one is taken.
    install("--no-build-isolation", "./my-digits[test]")
    return run


def test_every_distribution_names_what_builds_it() -> None:
    """CI builds without isolation, where that would not be missed."""
    projects = [ROOT / "pyproject.toml", *(ROOT / "plugins").glob("*/pyproject.toml")]
    assert len(projects) > 1
    for project in projects:
        build = tomllib.loads(project.read_text())["build-system"]
        assert build["build-backend"] == "hatchling.build"
        assert [each.partition(">")[0] for each in build["requires"]] == ["hatchling"]


def test_the_plugin_is_listed_and_passes_the_checks(run: Run) -> None:
    (model,) = json.loads(run("mnistzoo", "models", "--json", "-"))["models"]
    assert (model["name"], model["provider"]) == ("my_digits", "my-digits")
    assert "works" in run("mnistzoo", "plugins")
    assert "19 checks on 10,000 test images: 16 passed" in run("mnistzoo", "check", "my_digits")


def test_the_plugin_trains_compares_exports_and_predicts(run: Run, tmp_path: Path) -> None:
    trained = str(tmp_path / "trained.safetensors")
    run("mnistzoo", "train", "my_digits", "--dataset", "mnist-10k", "-o", trained)
    facts = json.loads(
        run(
            *("mnistzoo", "compare", "my_digits", "--train", "--dataset", "mnist-10k"),
            *("--json", "-"),
        )
    )
    (row,) = facts["models"]
    assert row["params"] == 9_098 and row["accuracy"] > 0.93
    onnx = str(tmp_path / "my_digits.onnx")
    run("mnistzoo", "export", "my_digits", "--weights", trained, "-o", onnx)
    digits = load_dataset("mnist-10k").test
    picture = str(tmp_path / "digit.png")
    Image.fromarray(np.kron(255 - digits.images[0], np.ones((4, 4), np.uint8))).save(picture)
    for model in ([onnx], ["my_digits", "--weights", trained]):
        facts = json.loads(run("mnistzoo", "predict", picture, "--model", *model, "--json", "-"))
        assert [each["digit"] for each in facts["predictions"]] == [digits.labels[0]]


def test_the_plugins_own_tests_and_benchmarks_run(run: Run, tmp_path: Path) -> None:
    out = run("pytest", "my-digits/benchmarks", "--benchmark-json", "result.json")
    assert "3 passed" in out
    joined = run("mnistzoo", "compare", "my_digits", "--benchmarks", "result.json", expect=1)
    assert "inference 256, us" in joined and "ships no weights" in joined
    out = run("pytest", "my-digits/tests", "-k", "names or output")
    assert "2 passed" in out and "mnistzoo: my_digits:" in out
