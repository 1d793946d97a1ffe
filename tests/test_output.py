"""stdout holds results and nothing else; no character in them is too strange to be shown."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnistzoo import load_dataset
from mnistzoo.output import results, say, stdout_for_results

Install = Callable[..., Path]
Run = Callable[..., subprocess.CompletedProcess[str]]

# In each way in which code can print: by print, to the file descriptor, from another process.
_PRINTS = """\
import os, subprocess, sys

def noise(where):
    print("printed in", where)
    sys.stdout.flush()
    os.write(1, f"written in {where}\\n".encode())
    subprocess.run(["echo", "echoed in", where], check=True)

"""
_NOISY = f"""\
{_PRINTS}
noise("import")

@hookimpl
def register_models(register):
    noise("hook")
    register(linear("noisy"))
"""
_NOISY_MODEL = f"""\
{_PRINTS}
from torch import nn

class Noisy(nn.Sequential):
    def forward(self, images):
        noise("forward")
        return super().forward(images)

def linear():
    noise("factory")
    return Noisy(nn.Flatten(), nn.Linear(784, 10))
"""


@pytest.mark.parametrize(
    ("line", "places"),
    [
        ("models", ["import", "hook"]),
        ("plugins", ["import", "hook", "factory"]),
        ("predict one.png", ["import", "hook", "factory", "forward"]),
        ("compare --dataset mnist-10k", []),  # its models are in processes of their own
        (
            "train noisy --dataset mnist-10k --epochs 1 --batch-size 3000",
            ["import", "hook", "factory", "forward"],
        ),
    ],
)
def test_what_plugins_and_models_print_goes_to_stderr(
    line: str, places: list[str], install_plugin: Install, run_cli: Run, tmp_path: Path
) -> None:
    install_plugin("noisy", _NOISY, model_code=_NOISY_MODEL)
    (tmp_path / "work").mkdir()
    Image.fromarray(load_dataset("mnist-10k").test.images[2]).save(tmp_path / "work" / "one.png")
    done = run_cli(*line.split(), "--json", "-")
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    for place in places:
        for how in ("printed", "written", "echoed"):
            assert f"{how} in {place}\n" in done.stderr


def test_a_noisy_plugin_leaves_the_table_alone_too(install_plugin: Install, run_cli: Run) -> None:
    install_plugin("noisy", _NOISY, model_code=_NOISY_MODEL)
    done = run_cli("models")
    heading, _, row = [line for line in done.stdout.splitlines() if line.strip()]
    assert heading.split()[0] == "model" and row.split()[0] == "noisy"


def test_what_is_printed_after_the_block_goes_to_stdout_again(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with stdout_for_results():
        print("noise")
        os.write(1, b"more noise\n")
        say("result")
        with stdout_for_results():
            results().write("another result\n")
        print("noise again")
    print("after")
    os.write(1, b"after\n")
    out, err = capfd.readouterr()
    assert sorted(out.splitlines()) == ["after", "after", "another result", "result"]
    assert sorted(err.splitlines()) == ["more noise", "noise", "noise again"]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "ascii:strict", "utf-8"])
@pytest.mark.parametrize("options", [[], ["--json", "-"]])
def test_no_file_name_loses_the_results(
    encoding: str, options: list[str], install_plugin: Install, run_module: Run, tmp_path: Path
) -> None:
    install_plugin("linear")
    work = tmp_path / "work"
    work.mkdir()
    Image.fromarray(load_dataset("mnist-10k").test.images[2]).save(work / "seven.png")
    os.link(work / "seven.png", work / "\u4e03.png")
    os.link(work / "seven.png", os.fsencode(work) + b"/not-utf-8-\xff.png")
    np.save(work / "\u4e03.npy", np.zeros(1))
    done = run_module(
        *("mnistzoo", "predict", ".", "\u4e03.npy", *options),
        env={"PYTHONIOENCODING": encoding},
        errors="surrogateescape",
    )
    assert done.returncode == 1  # for what is no picture
    assert done.stderr.count("cannot be read as a picture") == 1
    if options:
        names = [each["file"] for each in json.loads(done.stdout)["predictions"]]
        assert names == ["./not-utf-8-\udcff.png", "./seven.png", "./\u4e03.png"]
    else:
        shown = "\u4e03" if encoding == "utf-8" else "\\u4e03"
        rows = [line for line in done.stdout.splitlines() if ".png" in line]
        assert [
            f"{name}.png" in row
            for name, row in zip(["not-utf-8-?", "seven", shown], rows, strict=True)
        ] == [True] * 3


def test_what_a_plugin_prints_while_python_ends_does_not_follow_the_json(
    install_plugin: Install, run_python: Run
) -> None:
    code = "import atexit\natexit.register(print, 'good bye')\n\n"
    register = "@hookimpl\ndef register_models(register):\n    register(linear('parting'))\n"
    install_plugin("parting", code + register)
    done = run_python("-m", "mnistzoo", "models", "--json", "-")
    assert [each["name"] for each in json.loads(done.stdout)["models"]] == ["parting"]
    assert "good bye" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="closes a file descriptor")
def test_without_a_stdout_nothing_fails(install_plugin: Install, run_python: Run) -> None:
    install_plugin("mute")
    closed = (
        "import os, sys; os.close(1); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    done = run_python("-c", closed, "-m", "mnistzoo", "models")
    assert (done.returncode, done.stderr) == (0, "")
