"""What is not installed, and what a file of the same name hides, is said in one sentence."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import processes
import pytest
from PIL import Image

from mnistzoo.missing import install_command, plugin_command

ROOT = Path(__file__).parents[1]
Bare = Callable[..., subprocess.CompletedProcess[str]]
Install = Callable[..., Path]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    """Return ``bare(*arguments, having=(...))``: a Python with mnistzoo and these modules alone."""

    def run(*arguments: str, having: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        site, work = tmp_path / "site", tmp_path / "work"
        site.mkdir()
        work.mkdir()
        (site / "mnistzoo").symlink_to(ROOT / "mnistzoo")
        about = site / "mnistzoo-0.1.0.dist-info"
        about.mkdir()
        requirements = importlib.metadata.requires("mnistzoo") or []
        lines = ["Metadata-Version: 2.1", "Name: mnistzoo", "Version: 0.1.0"]
        lines += [f"Requires-Dist: {each}" for each in requirements]
        (about / "METADATA").write_text("\n".join(lines) + "\n")
        for module in having:
            spec = importlib.util.find_spec(module)
            assert spec is not None and spec.origin is not None
            folder = Path(spec.origin).parent
            (site / module).symlink_to(folder)
            libraries = folder.with_name(f"{module}.libs")
            if libraries.exists():
                (site / libraries.name).symlink_to(libraries)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MNISTZOO_")}
        return processes.run(
            [sys.executable, "-S", *arguments],  # -S: without site-packages
            env=environment | {"PYTHONPATH": str(site)},
            cwd=work,
        )

    return run


@pytest.mark.parametrize("command", ["check", "compare", "predict x.png"])
def test_without_models_it_is_said_how_to_install_one(
    command: str, run_cli: Run, tmp_path: Path
) -> None:
    (tmp_path / "work").mkdir()
    Image.new("L", (28, 28)).save(tmp_path / "work" / "x.png")
    done = run_cli(*command.split())
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("mnistzoo: no ")
    assert f"; `{plugin_command()}` installs one" in done.stderr


def test_one_constant_says_how_all_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ROOT / plugin_command().partition("#subdirectory=")[2].rstrip('"')
    assert (folder / "pyproject.toml").is_file()
    assert f'pip install "{folder.name} @ git+https://' in plugin_command()
    monkeypatch.setattr("mnistzoo.missing.REQUIREMENT", "mnistzoo{}")  # as a release will
    assert plugin_command() == f'pip install "{folder.name}"'
    assert install_command("onnx") == 'pip install "mnistzoo[onnx]"'


def test_the_command_without_click_is_one_sentence(bare: Bare) -> None:
    done = bare("-m", "mnistzoo", "models")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "mnistzoo: this needs the Python module click, which is not installed; `pip install click` "
        f"installs it, and `{install_command()}` all that mnistzoo needs\n"
    )


@pytest.mark.parametrize(
    ("code", "having", "module", "distribution"),
    [
        ("mnistzoo.read_picture('seven.png')", ("numpy",), "PIL", "pillow"),
        ("mnistzoo.load_dataset()", (), "numpy", "numpy"),
        ("mnistzoo.load_dataset('mnist').train", ("numpy",), "platformdirs", "platformdirs"),
        ("mnistzoo.train", ("numpy",), "torch", "torch"),
        ("mnistzoo.list_models()", (), "pluggy", "pluggy"),
        ("mnistzoo.Predictor('x.onnx')", ("numpy",), "onnxruntime", "onnxruntime"),
    ],
)
def test_what_is_not_installed_is_named_with_what_installs_it(
    code: str, having: tuple[str, ...], module: str, distribution: str, bare: Bare
) -> None:
    done = bare(
        "-c",
        "import mnistzoo\n"
        f"try:\n    {code}\nexcept mnistzoo.MnistzooError as error:\n    print(error)\n",
        having=having,
    )
    assert done.returncode == 0, done.stderr
    (sentence,) = done.stdout.splitlines()
    assert module in sentence and f"`pip install {distribution}`" in sentence
    assert "pip install mnistzoo" not in sentence


def test_the_shipped_data_needs_numpy_alone(bare: Bare) -> None:
    code = (
        "import mnistzoo; data = mnistzoo.load_dataset('mnist-10k'); print(len(data.train));"
        "print(len(mnistzoo.load_dataset('mnist').test))"
    )
    done = bare("-c", code, having=("numpy",))
    assert (done.stdout, done.stderr) == ("9000\n10000\n", "")


@pytest.mark.parametrize(
    ("module", "content", "line"),
    [
        ("numpy", "", "evaluate hides"),
        ("numpy", "import numpy\nnumpy.zeros(3)", "evaluate hides"),
        ("torch", "", "evaluate hides"),
        ("torch", "x = 1", "plugins"),
        ("safetensors", "", "evaluate hides"),
        ("rich", "raise RuntimeError('mine')", "models"),
        ("json", "", "models --json -"),
        ("click", "print('mine')", "models"),
    ],
)
def test_a_file_that_hides_a_module_is_named(
    module: str, content: str, line: str, install_plugin: Install, run_python: Run, tmp_path: Path
) -> None:
    install_plugin("hides")
    work = tmp_path / "work"
    work.mkdir()
    hiding = work / f"{module}.py"
    hiding.write_text(content)
    done = run_python("-m", "mnistzoo", *line.split())
    shown = done.stdout if line == "plugins" else done.stderr
    assert f"{hiding} hides the Python module {module}, which" in shown
    assert "not installed" not in shown
    if line != "plugins":  # which says it of each model, and goes on
        assert done.returncode == 1
        assert "Traceback" not in shown
        assert len(shown.splitlines()) <= 2  # a plugin's line may come before

    hiding.unlink()
    assert run_python("-m", "mnistzoo", "models").returncode == 0


def test_a_file_of_such_a_name_that_does_no_harm_is_not_named(
    install_plugin: Install, run_cli: Run, tmp_path: Path
) -> None:
    install_plugin("lost", model_code="import nosuchmodule")
    work = tmp_path / "work"
    work.mkdir()
    for name in ("pandas.py", "wave.py", "mymodule.py"):
        (work / name).touch()
    done = run_cli("evaluate", "lost")
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert "needs the module 'nosuchmodule', which is not installed" in sentence
    assert "hides" not in sentence


def test_from_python_it_is_named_too(run_python: Run, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "numpy.py").touch()
    done = run_python("-c", "import mnistzoo; mnistzoo.load_dataset()")
    assert done.stderr.splitlines()[-1].startswith("mnistzoo.missing.MissingModuleError: mnistzoo.")
    assert f"{work / 'numpy.py'} hides the Python module numpy" in done.stderr.splitlines()[-1]
