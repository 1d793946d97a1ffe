"""What .github/workflows/release.yml publishes; what of it can run here is run."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import processes
import pytest
import release_files
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from mnistzoo import Predictor, __version__
from mnistzoo.scaffold import version_range

ROOT = Path(__file__).parents[1]
WORKFLOW = (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")
JOBS: dict[str, Any] = yaml.safe_load(WORKFLOW)["jobs"]
PLUGINS = {
    project["name"]: project
    for path in sorted((ROOT / "plugins").glob("*/pyproject.toml"))
    for project in [tomllib.loads(path.read_text("utf-8"))["project"]]
}


def run_step(name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a step of the job ``build`` as GitHub does, with this Python."""
    (script,) = (step["run"] for step in JOBS["build"]["steps"] if step.get("name") == name)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = os.environ | {"PATH": path} | environment
    return processes.run(["bash", "-e", "-c", script], cwd=ROOT, env=env)


def test_the_versions_are_in_step() -> None:
    assert len(PLUGINS) > 1
    for name, project in PLUGINS.items():
        assert project["version"] == __version__, name
        required = [Requirement(each) for each in project["dependencies"]]
        own = [each.specifier for each in required if each.name.startswith("mnistzoo")]
        assert set(own) == {SpecifierSet(version_range(__version__))}, name


@pytest.mark.parametrize(
    ("tag", "passes"), [(f"v{__version__}", True), (__version__, False), ("v9.9.9", False)]
)
def test_a_tag_that_is_not_the_version_stops_the_release(tag: str, passes: bool) -> None:
    assert (run_step("the tag is the version", GITHUB_REF_NAME=tag).returncode == 0) == passes


def test_all_distributions_are_built_and_whole(tmp_path: Path) -> None:
    done = run_step("build", RUNNER_TEMP=str(tmp_path))
    assert done.returncode == 0, done.stderr
    dist = tmp_path / "release" / "dist"
    stems = {f"{name.replace('-', '_')}-{__version__}" for name in ("mnistzoo", *PLUGINS)}
    expected = {name for stem in stems for name in (f"{stem}-py3-none-any.whl", f"{stem}.tar.gz")}
    assert {path.name for path in dist.iterdir()} == expected
    packed = {name for wheel in dist.glob("*.whl") for name in zipfile.ZipFile(wheel).namelist()}
    weights = (ROOT / "plugins").glob("*/mnistzoo_*/*.safetensors")
    assert {f"{path.parent.name}/{path.name}" for path in weights} <= packed


def test_no_list_in_the_workflow_names_a_distribution() -> None:
    assert [name for name in PLUGINS if name in WORKFLOW] == []


def test_only_the_jobs_that_publish_may_write() -> None:
    assert yaml.safe_load(WORKFLOW)["permissions"] == {"contents": "read"}
    assert "permissions" not in JOBS["build"]
    assert JOBS["release"]["needs"] == "build" and JOBS["pypi"]["needs"] == "release"
    assert JOBS["pypi"]["if"] == "vars.PYPI == 'true'"


def test_a_model_that_cannot_be_exported_has_a_row_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["release_files.py", str(tmp_path), "tiny1k", "neighbours"])
    release_files.main()
    rows = capsys.readouterr().out.splitlines()[2:]
    for row, file in zip(
        rows, ("tiny1k", "tiny1k-int8", "no neighbours", "no neighbours-int8"), strict=True
    ):
        assert row.startswith(f"| {file}.onnx")
    assert all(re.fullmatch(r"\| \S+ \| \d\d \| 99\.\d\d \|", row) for row in rows[:2])
    assert all("follows torch modules only" in row for row in rows[2:])
    assert {path.name for path in tmp_path.iterdir()} == {"tiny1k.onnx", "tiny1k-int8.onnx"}
    assert Predictor(tmp_path / "tiny1k.onnx").metadata["model"] == "tiny1k"
