"""``mnistzoo train`` from start to end, on the data that ships."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mnistzoo import ModelSpec, evaluate, load_dataset, load_model
from mnistzoo.cli import main
from mnistzoo.weights import read_story

Install = Callable[..., Path]
Register = Callable[..., None]
Spec = Callable[..., ModelSpec]


@pytest.fixture
def folder(
    linear_spec: Spec, register: Register, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    register(linear_spec("clitrain"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(*options: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["train", "clitrain", "--dataset", "mnist-10k", *options])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_training_saves_weights_with_their_story(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--epochs", "2", "--seed", "7", "--lr", "0.002", "--json", "facts.json") == 0
    out, err = capsys.readouterr()
    path = folder / "clitrain-default-seed7.safetensors"
    assert path.name in out
    lines = err.splitlines()
    assert [line.split("  ")[:2] for line in lines] == [
        ["clitrain seed 7", "epoch 1/2"],
        ["clitrain seed 7", "epoch 2/2"],
    ]
    story = read_story(path)
    data = load_dataset("mnist-10k")
    model = load_model("clitrain", path)
    assert story["metrics"] == {
        "test_accuracy": evaluate(model, data.test).accuracy,
        "validation_accuracy": evaluate(model, data.validation).accuracy,
    }
    assert story["model"] == "clitrain"
    assert (story["dataset"], story["checksums"]) == ("mnist-10k", dict(data.checksums))
    assert (story["seed"], story["epochs_completed"], story["final"]) == (7, 2, False)
    assert story["recipe"]["learning_rate"] == 0.002
    assert {"torch", "mnistzoo"} <= story["environment"]["versions"].keys()
    facts = json.loads((folder / "facts.json").read_text())
    assert story.items() <= facts.items()
    assert facts["evaluation"]["accuracy"] == story["metrics"]["test_accuracy"]


def test_a_final_run_says_that_it_trains_on_the_validation_split(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--final", "-o", "final.safetensors") == 0
    out, err = capsys.readouterr()
    assert "all 10,000 training images, the validation split included" in err
    assert "validation" not in err.splitlines()[1]
    assert "validation accuracy" not in out
    story = read_story(folder / "final.safetensors")
    assert story["final"]
    assert story["metrics"].keys() == {"test_accuracy"}


def test_diverging_exits_1_names_epoch_and_step_and_saves_nothing_bad(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--lr", "1e38", "--epochs", "2") == 1
    assert "epoch 1, step" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_ctrl_c_saves_the_last_complete_epoch(install_plugin: Install, tmp_path: Path) -> None:
    install_plugin("clislow")
    command = [sys.executable, "-m", "mnistzoo", "train", "clislow", "--dataset", "mnist-10k"]
    process = subprocess.Popen(
        [*command, "--epochs", "100000", "-o", str(tmp_path / "w.safetensors")],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "sites" / "site")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    line = ""
    while "epoch 2/" not in line:
        line = process.stderr.readline()
        assert line, "training ended before its second epoch"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 1
    assert "interrupted in epoch" in err
    assert "Traceback" not in err
    story = read_story(tmp_path / "w.safetensors")
    assert 2 <= story["epochs_completed"] < 100000
    assert f"{story['epochs_completed']} epochs of 9,000 images" in out
