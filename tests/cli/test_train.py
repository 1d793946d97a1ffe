"""``mnistzoo train`` from start to end, on the data that ships."""

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mnistzoo import (
    Augmentation,
    Distillation,
    ModelSpec,
    Recipe,
    evaluate,
    load_dataset,
    load_model,
)
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


@pytest.mark.parametrize(
    ("setting", "field", "value"),
    [
        ("clip_norm=none", "clip_norm", None),
        ("clip_norm=0.5", "clip_norm", 0.5),
        ("compile=false", "compile", False),
        ("compile=False", "compile", False),
        ("precision=bfloat16", "precision", "bfloat16"),
        ("schedule=cosine", "schedule", "cosine"),
        ("rotation=10", "rotation", 10.0),
        ("threads=1", "threads", 1),
        ("threads=none", "threads", None),
        ("teacher=none", "teacher", None),
        ("teacher=clitrain", "teacher", "clitrain"),
    ],
)
def test_set_reaches_the_recipe(setting: str, field: str, value: Any, folder: Path) -> None:
    assert train("--batch-size", "3000", "--set", setting, "-o", "w.safetensors") == 0
    recipe = read_story(folder / "w.safetensors")["recipe"]
    assert recipe[field] == value
    assert type(recipe[field]) is type(value)
    assert recipe["batch_size"] == 3000


def test_set_replaces_what_a_recipe_says_even_by_none(
    linear_spec: Spec, register: Register, folder: Path
) -> None:
    recipe = Recipe(
        epochs=1,
        batch_size=3000,
        optimizer="adam",
        learning_rate=0.001,
        clip_norm=1,
        precision="bfloat16",
        distillation=Distillation(teacher="clitrain"),
    )
    register(linear_spec("clitrain", recipes={"default": recipe}))
    settings = ("clip_norm=none", "precision=float32", "teacher=None", "shift=1", "shift=2")
    options = [word for setting in settings for word in ("--set", setting)]
    assert train(*options, "-o", "w.safetensors") == 0
    saved = read_story(folder / "w.safetensors")["recipe"]
    assert (saved["clip_norm"], saved["precision"], saved["teacher"]) == (None, "float32", None)
    assert saved["shift"] == 2


WRONG_SETTINGS = [
    ("nosuchfield=1", "FIELD is one of epochs, batch_size"),
    ("rotation", "FIELD=VALUE"),
    ("rotation=", "FIELD=VALUE"),
    ("=10", "FIELD=VALUE"),
    ("rotation=far", "rotation must be a number from 0 to 180"),
    ("rotation=none", "rotation must be a number from 0 to 180"),
    ("threads=1.5", "threads must be a whole number from 1"),
    ("clip_norm=off", "clip_norm must be a number above 0 or None"),
    ("compile=maybe", "compile must be True or False"),
    ("compile=none", "compile must be True or False"),
    ("rotation=181", "rotation is 181.0, it must be a number from 0 to 180"),
    ("rotation=nan", "rotation is nan, it must be a number from 0 to 180"),
    ("precision=float16", "precision is 'float16', it must be one of"),
    ("schedule=none", "schedule is 'none', it must be one of"),
    ("threads=0", "threads is 0, it must be"),
    ("teacher=Big-Net", "teacher is 'Big-Net', it must be"),
]


def assert_wrong_usage(says: str, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """Check that nothing was done, and that one sentence says why."""
    out, err = capsys.readouterr()
    assert out == ""
    *_, sentence = err.splitlines()
    assert sentence.startswith("Error: ") and says in sentence
    assert err.count("Error") == 1
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("setting", "says"), WRONG_SETTINGS)
def test_a_wrong_setting_exits_2(
    setting: str, says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--set", setting) == 2
    assert_wrong_usage(says, capsys, folder)


@pytest.mark.parametrize(("setting", "says"), WRONG_SETTINGS)
def test_a_wrong_setting_of_a_comparison_exits_2(
    setting: str, says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", "clitrain", "--train", "--dataset", "mnist-10k", "--set", setting]
    with pytest.raises(SystemExit) as caught:
        main(command)
    assert caught.value.code == 2
    assert_wrong_usage(says, capsys, folder)


def test_settings_of_a_comparison_need_train(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["compare", "clitrain", "--dataset", "mnist-10k", "--set", "rotation=10"])
    assert caught.value.code == 2
    assert_wrong_usage("--set needs --train", capsys, folder)


def test_a_teacher_that_is_not_there_is_an_error(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--set", "teacher=clitrian") == 1
    assert "did you mean 'clitrain'" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_resume_needs_a_checkpoint(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--resume") == 2
    assert_wrong_usage("--resume needs --checkpoint DIR", capsys, folder)


_STOPPING = """\
import os

from torch import nn


class Net(nn.Sequential):
    \"""Interrupts the training, where STOP_AT says so, in one of its steps.\"""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Dropout(0.2), nn.Linear(784, 10))
        self.steps = 0

    def forward(self, images):
        self.steps += self.training
        if self.training and self.steps == int(os.environ.get("STOP_AT", -1)):
            raise KeyboardInterrupt
        return super().forward(images)
"""


@pytest.fixture
def stopping(
    folder: Path, linear_spec: Spec, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Make clitrain a model with dropout that can be interrupted."""
    code = folder / "code"
    code.mkdir()
    (code / "stopping_net.py").write_text(_STOPPING)
    monkeypatch.syspath_prepend(code)
    monkeypatch.delitem(sys.modules, "stopping_net", raising=False)
    recipe = Recipe(
        epochs=3,
        batch_size=1000,
        optimizer="adam",
        learning_rate=0.01,
        threads=1,
        augmentation=Augmentation(shift=1),
    )
    register(
        linear_spec(
            "clitrain", factory="stopping_net:Net", recipes={"default": recipe}, weights=None
        )
    )


@pytest.mark.usefixtures("stopping")
def test_a_run_that_was_stopped_goes_on_and_ends_as_if_it_were_not(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert train("-o", "whole.safetensors") == 0
    monkeypatch.setenv("STOP_AT", "23")
    assert train("--checkpoint", "state", "-o", "part.safetensors") == 1
    monkeypatch.delenv("STOP_AT")
    assert "interrupted in epoch 3; saved the weights after epoch 2" in capsys.readouterr().err
    with caplog.at_level(logging.INFO, "mnistzoo"):
        assert train("--checkpoint", "state", "--resume", "-o", "resumed.safetensors") == 0
    assert "going on from state/checkpoint.safetensors after epoch 2" in caplog.text.replace(
        os.sep, "/"
    )
    out, err = capsys.readouterr()
    assert [line.split("  ")[1] for line in err.splitlines() if "seed 0" in line] == ["epoch 3/3"]
    assert "3 epochs of 9,000 images" in out
    names = ("whole.safetensors", "resumed.safetensors")
    stories = [read_story(folder / name) for name in names]
    assert stories[0]["metrics"] == stories[1]["metrics"]
    assert [story["epochs_completed"] for story in stories] == [3, 3]
    assert read_story(folder / "part.safetensors")["epochs_completed"] == 2
    whole, resumed = (load_model("clitrain", folder / name).state_dict() for name in names)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.usefixtures("stopping")
def test_a_finished_run_is_resumed_without_training_and_refused_without_resume(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--checkpoint", "state", "--resume", "-o", "w.safetensors") == 0
    before = read_story(folder / "w.safetensors")
    capsys.readouterr()
    assert train("--checkpoint", "state", "--resume", "-o", "w.safetensors") == 0
    assert "epoch 3/3" not in capsys.readouterr().err
    again = read_story(folder / "w.safetensors")
    assert again["metrics"] == before["metrics"]
    assert again["train_seconds"] == before["train_seconds"]
    assert train("--checkpoint", "state", "-o", "other.safetensors") == 1
    (sentence,) = capsys.readouterr().err.splitlines()
    assert "add --resume" in sentence
    assert train("--checkpoint", "state", "--resume", "--seed", "1") == 1
    (sentence,) = capsys.readouterr().err.splitlines()
    assert "recipe has seed 0, not 1" in sentence
    assert {path.name for path in folder.iterdir()} == {"code", "state", "w.safetensors"}
