"""What a new plugin may be called, and that nothing which is there already is lost to one."""

import ast
import os
import re
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from mnistzoo import ModelSpec
from mnistzoo.cli import main
from mnistzoo.missing import install_command
from mnistzoo.scaffold import ScaffoldError, new_plugin, version_range

NAMES = st.from_regex(r"(mnistzoo-)?[a-zA-Z][a-zA-Z0-9]*([-_.]{1,2}[a-zA-Z0-9]+)*", fullmatch=True)

REFUSED = {
    "": "cannot name a distribution",
    "7digits": "begin with a letter",
    "mnistzoo-7": "the model '7', which cannot name one",
    "mnistzoo-": "cannot name a distribution",
    "my digits": "cannot name a distribution",
    "my\ndigits": "cannot name a distribution",
    "digits\n": "cannot name a distribution",
    "\x1b[2Jdigits": "cannot name a distribution",
    "digits\0": "cannot name a distribution",
    "..": "cannot name a distribution",
    "../digits": "cannot name a distribution",
    "my/digits": "cannot name a distribution",
    "my\\digits": "cannot name a distribution",
    "/digits": "cannot name a distribution",
    "digíts": "cannot name a distribution",
    "\N{KELVIN SIGN}9": "cannot name a distribution",
    "class": "take no keyword",
    "match": "take no keyword",
    "json": "one of that name is there already",
    "torch": "one of that name is there already",
    "mnistzoo": "one of that name is there already",
    "tests": "one of that name is there already",
    "dist": "one of that name is there already",
    "Pillow": "is installed already",
    300 * "x": "File name too long",
}


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the sentence with which ``mnistzoo new-plugin`` fails."""
    with pytest.raises(SystemExit) as caught:
        main(["new-plugin", *arguments])
    assert caught.value.code == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("mnistzoo: ") and "unexpected" not in line and line.isprintable()
    return line


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES)
def test_a_name_that_is_taken_gives_a_folder_that_is_whole(name: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        try:
            made = new_plugin(name, directory)
        except ScaffoldError:
            assert os.listdir(directory) == []
            assume(False)
        assert os.listdir(directory) == [name] and made.folder == Path(directory, name)
        files = {path.relative_to(made.folder) for path in made.folder.rglob("*") if path.is_file()}
        for file in files:
            text = (made.folder / file).read_text("utf-8")
            # What is left are a console's prompts and variables of GitHub, in capitals.
            assert re.search(r"\$(?![ A-Z])", text) is None, file
            if file.suffix == ".py":
                ast.parse(text)
        project = tomllib.loads((made.folder / "pyproject.toml").read_text("utf-8"))
        module = re.sub(r"[-_.]+", "_", name).lower()
        assert project["project"]["name"] == name
        assert project["project"]["entry-points"]["mnistzoo"] == {module: module}
        assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [module]
        assert made.model == module.removeprefix("mnistzoo_") and made.model.isidentifier()
        init = Path(module, "__init__.py")
        assert f'name="{made.model}"' in (made.folder / init).read_text("utf-8")
        assert f'factory="{module}.model:Net"' in (made.folder / init).read_text("utf-8")
        assert {str(file) for file in files} == {
            *(f"{module}/__init__.py", f"{module}/model.py", f"{module}/py.typed"),
            *("tests/test_contract.py", "benchmarks/test_inference.py"),
            *(".github/workflows/ci.yml", ".gitignore", "LICENSE", "README.md", "pyproject.toml"),
        }


@given(
    release=st.lists(st.integers(0, 30), min_size=1, max_size=4),
    suffix=st.sampled_from(
        ["", "a1", "b2", "rc1", ".dev3", "a1.dev3", ".post1", "+local", ".dev0+g1"]
    ),
)
def test_every_version_of_mnistzoo_is_in_the_range_that_it_writes(
    release: list[int], suffix: str
) -> None:
    text = ".".join(map(str, release)) + suffix
    version, versions = Version(text), SpecifierSet(version_range(text))
    assert versions.contains(version, prereleases=True)
    after = Version(f"{version.major}.{version.minor + 1}")
    for other in (f"{after}", f"{after}.dev0", f"{after}a1"):
        assert not versions.contains(other, prereleases=True)
    assert (".dev0" in version_range(text)) == (
        version < Version(f"{version.major}.{version.minor}")
    )


def test_its_workflow_is_yaml(tmp_path: Path) -> None:
    made = new_plugin("my-digits", tmp_path)
    text = (made.folder / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    commands = [step.get("run", "") for step in yaml.safe_load(text)["jobs"]["ci"]["steps"]]
    assert any("mnistzoo compare my_digits" in command for command in commands)
    installs = [command for command in commands if command.startswith("pip")]
    assert installs == [install_command(), 'pip install ".[test]"']  # mnistzoo first


@pytest.mark.parametrize("name", REFUSED, ids=lambda name: ascii(name)[:20])
def test_a_name_that_cannot_be_is_one_sentence(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "plugins"
    directory.mkdir()
    assert REFUSED[name] in refused(capsys, "--directory", str(directory), "--", name)
    assert os.listdir(directory) == [] and os.listdir(tmp_path) == ["plugins"]


def test_the_name_of_a_model_that_is_registered_is_refused(
    register: Callable[..., None],
    linear_spec: Callable[..., ModelSpec],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    register(linear_spec("known_digits", aliases=("known_alias",)))
    for name in ("known-digits", "mnistzoo-known-digits", "known.alias"):
        line = refused(capsys, name, "--directory", str(tmp_path))
        assert "is installed already" in line
    register(linear_spec("known_digits"), plugin="second")
    assert "is installed already" in refused(capsys, "known-digits", "--directory", str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_what_is_there_already_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a-file").write_text("mine")
    (tmp_path / "an-empty-folder").mkdir()
    (tmp_path / "a-dangling-link").symlink_to(tmp_path / "nowhere")
    there = sorted(os.listdir(tmp_path))
    for name in there:
        line = refused(capsys, name, "--directory", str(tmp_path))
        assert f"{tmp_path / name} is there already" in line
    assert sorted(os.listdir(tmp_path)) == there
    assert (tmp_path / "a-file").read_text() == "mine"
    assert os.listdir(tmp_path / "an-empty-folder") == []
    assert (tmp_path / "a-dangling-link").is_symlink()


@pytest.mark.parametrize("directory", ["missing", "file", "file/below"])
def test_a_directory_that_is_none_is_one_sentence(
    directory: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    place = str(tmp_path / directory)
    assert refused(capsys, "my-digits", "--directory", place).startswith(f"mnistzoo: {place}: ")
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc refuses whoever writes, root too")
def test_a_directory_that_cannot_be_written_is_one_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = refused(capsys, "my-digits", "--directory", "/proc")
    assert line.startswith("mnistzoo: /proc/my-digits: ")


@pytest.mark.skipif(sys.platform != "linux", reason="relies on the longest path of Linux")
def test_nothing_is_left_of_a_plugin_that_cannot_be_written_to_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "my-digits"
    temporary = f"/.{name}.12345678/{name}"
    # Deep enough that LICENSE can be written, and benchmarks/test_inference.py no longer.
    length = os.pathconf(tmp_path, "PC_PATH_MAX") - len(f"{temporary}/LICENSE") - 8
    directory = str(tmp_path)
    while (missing := length - len(directory)) > 0:
        directory += f"/{(missing - 1 if missing <= 201 else 100) * 'x'}"
    os.makedirs(directory)
    line = refused(capsys, name, "--directory", directory)
    assert "File name too long" in line
    assert os.listdir(directory) == []
