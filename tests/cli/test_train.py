"""``mnistzoo train`` from start to end, on the data that ships."""

import contextlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import read_until

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
from mnistzoo.weights import read_metadata

Install = Callable[..., Path]
Register = Callable[..., None]
Spec = Callable[..., ModelSpec]
Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., AbstractContextManager[subprocess.Popen[str]]]


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


def test_training_saves_weights_with_their_metadata(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--epochs", "2", "--seed", "7", "--lr", "0.002", "--json", "facts.json") == 0
    out, err = capsys.readouterr()
    path = folder / ("clitrain-default-seed7-epochs=2-learning_rate=0.002-mnist-10k.safetensors")
    assert path.name in out
    lines = err.splitlines()
    assert [line.split("  ")[:2] for line in lines] == [
        ["clitrain seed 7", "epoch 1/2"],
        ["clitrain seed 7", "epoch 2/2"],
    ]
    metadata = read_metadata(path)
    data = load_dataset("mnist-10k")
    model = load_model("clitrain", path)
    assert metadata["metrics"] == {
        "test_accuracy": evaluate(model, data.test).accuracy,
        "validation_accuracy": evaluate(model, data.validation).accuracy,
    }
    assert metadata["model"] == "clitrain"
    assert (metadata["dataset"], metadata["checksums"]) == ("mnist-10k", dict(data.checksums))
    assert (metadata["seed"], metadata["epochs_completed"], metadata["final"]) == (7, 2, False)
    assert metadata["recipe"]["learning_rate"] == 0.002
    assert metadata["overrides"] == {"epochs": 2, "learning_rate": 0.002}
    assert "recipe default with epochs=2, learning_rate=0.002, seed 7: 2 epochs of 9,000" in out
    assert (metadata["complete"], metadata["evaluated"], metadata["training_images"]) == (
        True,
        True,
        9000,
    )
    assert metadata["train_threads"] == 1
    assert "threads" not in metadata["environment"]
    assert {"torch", "mnistzoo"} <= metadata["environment"]["versions"].keys()
    facts = json.loads((folder / "facts.json").read_text())
    assert metadata.items() <= facts.items()
    assert facts["evaluation"]["accuracy"] == metadata["metrics"]["test_accuracy"]


def test_a_final_run_says_that_it_trains_on_the_validation_split(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--final", "-o", "final.safetensors") == 0
    out, err = capsys.readouterr()
    assert "all 10,000 training images, the validation split included" in err
    assert "validation" not in err.splitlines()[1]
    assert "validation accuracy" not in out
    metadata = read_metadata(folder / "final.safetensors")
    assert metadata["final"]
    assert metadata["metrics"].keys() == {"test_accuracy"}


def test_diverging_exits_1_names_epoch_and_step_and_saves_nothing_bad(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--lr", "1e38", "--epochs", "2") == 1
    assert "epoch 1, step" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_ctrl_c_and_its_like_save_the_last_complete_epoch(
    signal_name: str, install_plugin: Install, start_cli: Start, tmp_path: Path
) -> None:
    install_plugin("clislow")
    line = "train clislow --dataset mnist-10k --epochs 100000 -o w.safetensors"
    with start_cli(*line.split()) as process:
        read_until("epoch 2/", process)
        process.send_signal(signal.Signals[signal_name])
        out, err = process.communicate()
    assert process.returncode == 1
    assert "interrupted in epoch" in err
    assert "Traceback" not in err
    (path,) = tmp_path.glob("work/*.safetensors")
    metadata = read_metadata(path)
    epochs = metadata["epochs_completed"]
    assert 2 <= epochs < 100000
    assert (metadata["complete"], metadata["evaluated"]) == (False, True)
    assert path.name == f"w-epoch{epochs}of100000.safetensors"
    assert f"saved the weights after epoch {epochs} in {path.name}" in err
    assert f"{epochs} epochs of 9,000 images" in out


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
    recipe = read_metadata(folder / "w.safetensors")["recipe"]
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
    settings = ("clip_norm=none", "precision=float32", "teacher=None", "shift=2")
    options = [word for setting in settings for word in ("--set", setting)]
    assert train(*options, "-o", "w.safetensors") == 0
    saved = read_metadata(folder / "w.safetensors")["recipe"]
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


@pytest.mark.parametrize("command", ["train clitrain", "compare clitrain --train"])
@pytest.mark.parametrize("twice", ["--set shift=1 --set shift=2", "--set epochs=3 --epochs 3"])
def test_a_field_given_twice_exits_2(
    command: str, twice: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(f"{command} --dataset mnist-10k {twice}".split())
    assert caught.value.code == 2
    assert_wrong_usage("is given twice", capsys, folder)


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
    assert train("--set", "teacher=clitrian") == 2
    assert "did you mean 'clitrain'" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_resume_needs_a_checkpoint(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--resume") == 2
    assert_wrong_usage("--resume needs --checkpoint DIR", capsys, folder)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_run_whose_progress_cannot_be_written_is_not_lost(
    install_plugin: Install, run_python: Run, tmp_path: Path
) -> None:
    install_plugin("clifull")
    reader, pipe_without_reader = os.pipe()
    os.close(reader)
    with Path("/dev/full").open("w") as full, os.fdopen(pipe_without_reader, "w") as broken:
        for number, stderr in enumerate((full, broken)):
            line = f"-m mnistzoo train clifull --dataset mnist-10k -o {number}.safetensors"
            done = run_python(*line.split(), stderr=stderr)
            assert f"weights in {number}.safetensors" in done.stdout
            assert read_metadata(tmp_path / "work" / f"{number}.safetensors")["evaluated"]


@pytest.mark.skipif(os.name != "posix", reason="no limit on the size of files")
def test_a_disk_that_is_full_costs_checkpoints_and_no_epoch(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with files_of_at_most(2**16):  # the weights have half, a checkpoint twice as much
        assert train("--epochs", "3", "--checkpoint", "state", "-o", "w.safetensors") == 0
    assert caplog.messages == [
        "state/checkpoint.safetensors cannot be written after epoch 1 (File too large); the "
        "training goes on, and each epoch tries again"
    ]
    assert read_metadata("w.safetensors")["epochs_completed"] == 3
    assert list((folder / "state").iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="no limit on the size of files")
def test_weights_that_the_disk_has_no_room_for_are_in_the_checkpoint_which_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--epochs", "2", "--checkpoint", "state", "-o", "w.safetensors")
    assert train(*words) == 0
    (folder / "w.safetensors").unlink()
    with files_of_at_most(2**14):
        assert train(*words, "--resume") == 1
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "mnistzoo: the weights after epoch 2 are not saved; with --resume the same command goes on "
        "from the checkpoint in state",
        "mnistzoo: w.safetensors: File too large",
    ]
    assert [path.name for path in folder.iterdir()] == ["state"]
    assert train(*words, "--resume") == 0
    assert read_metadata("w.safetensors")["epochs_completed"] == 2


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file grow beyond some bytes, as on a full disk."""
    import resource

    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_messages_do_not_cut_through_the_progress_bar(
    install_plugin: Install, start_cli: Start
) -> None:
    install_plugin("clibar")
    screen, terminal = os.openpty()
    # An epoch of many steps, so that the bar is drawn again and again.
    line = "train clibar --dataset mnist-10k --set batch_size=8 --checkpoint run --resume"
    with start_cli(*line.split(), stderr=terminal, stdout=subprocess.DEVNULL) as process:
        os.close(terminal)
        shown = b""
        with contextlib.suppress(OSError):  # so Linux says that the other end was closed
            while read := os.read(screen, 65536):
                shown += read
        process.wait(60)
    os.close(screen)
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    lines = [part for part in re.split(r"[\r\n]+", text) if part]
    (message,) = (each for each in lines if "is not there yet" in each)
    assert message.startswith("mnistzoo: run/checkpoint.safetensors is not there yet")
    assert "left:" not in message
    assert any("left:" in each for each in lines)


_STOPPING = """\
import math
import os
import signal

from torch import nn


class Net(nn.Sequential):
    \"""Interrupts the training or its evaluation, or diverges, where a variable says so.\"""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Dropout(0.2), nn.Linear(784, 10))
        self.steps = self.evaluated = 0

    def forward(self, images):
        self.steps += self.training
        self.evaluated += not self.training
        factor = 1
        if self.training and self.steps == int(os.environ.get("STOP_AT", -1)):
            signal.raise_signal(signal.SIGINT)
        if self.training and self.steps == int(os.environ.get("DIVERGE_AT", -1)):
            factor = math.nan
        if self.evaluated == int(os.environ.get("STOP_EVALUATION_AT", -1)):
            signal.raise_signal(signal.SIGINT)
        return super().forward(images) * factor
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
    (sentence,) = (line for line in capsys.readouterr().err.splitlines() if "saved" in line)
    assert sentence == (
        "mnistzoo: interrupted in epoch 3; saved the weights after epoch 2 in "
        "part-epoch2of3.safetensors"
    )
    with caplog.at_level(logging.INFO, "mnistzoo"):
        assert train("--checkpoint", "state", "--resume", "-o", "resumed.safetensors") == 0
    assert "going on from state/checkpoint.safetensors after epoch 2" in caplog.text.replace(
        os.sep, "/"
    )
    out, err = capsys.readouterr()
    assert [line.split("  ")[1] for line in err.splitlines() if "seed 0" in line] == ["epoch 3/3"]
    assert "3 epochs of 9,000 images" in out
    names = ("whole.safetensors", "resumed.safetensors")
    both = [read_metadata(folder / name) for name in names]
    assert both[0]["metrics"] == both[1]["metrics"]
    assert [each["epochs_completed"] for each in both] == [3, 3]
    assert read_metadata(folder / "part-epoch2of3.safetensors")["epochs_completed"] == 2
    whole, resumed = (load_model("clitrain", folder / name).state_dict() for name in names)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.usefixtures("stopping")
@pytest.mark.parametrize("stop", ["STOP_AT", "DIVERGE_AT"])
@pytest.mark.parametrize("options", [(), ("-o", "w.safetensors")])
def test_complete_weights_are_not_replaced_by_incomplete_ones_and_replacing_is_said(
    options: tuple[str, ...],
    stop: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO, "mnistzoo")
    assert train(*options) == 0
    (complete,) = folder.glob("*.safetensors")
    content = complete.read_bytes()
    assert "replace" not in capsys.readouterr().err + caplog.text
    monkeypatch.setenv(stop, "23")
    assert train(*options) == 1
    assert f"{complete.name} is there already" in capsys.readouterr().err
    assert "replacing" not in caplog.text
    assert complete.read_bytes() == content
    beside = complete.with_name(f"{complete.stem}-epoch2of3.safetensors")
    assert set(folder.glob("*.safetensors")) == {complete, beside}
    assert not read_metadata(beside)["complete"]
    assert train(*options) == 1
    assert f"replacing {beside.name}" in caplog.text
    monkeypatch.delenv(stop)
    assert train(*options) == 0
    assert f"replacing {complete.name}" in caplog.text
    assert set(folder.glob("*.safetensors")) == {complete, beside}


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ("", "seed0-mnist-10k"),
        ("--seed 3 --set epochs=1", "seed3-mnist-10k"),  # as the recipe has it
        ("--set rotation=10 --batch-size 500", "seed0-batch_size=500-rotation=10-mnist-10k"),
        ("--set clip_norm=0.5 --final", "seed0-clip_norm=0.5-mnist-10k-final"),
        ("--set optimizer=adamw", "seed0-optimizer=adamw-mnist-10k"),
    ],
)
def test_the_default_name_shows_what_the_run_is(options: str, name: str, folder: Path) -> None:
    assert train(*options.split()) == 0
    assert [path.name for path in folder.iterdir()] == [f"clitrain-default-{name}.safetensors"]


@pytest.mark.usefixtures("stopping")
@pytest.mark.parametrize(("stop", "epochs"), [("", 3), ("23", 2)])
def test_an_interrupted_evaluation_leaves_weights_that_say_so(
    stop: str,
    epochs: int,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STOP_AT", stop or "-1")
    # Each epoch's validation takes ten batches.
    monkeypatch.setenv("STOP_EVALUATION_AT", str(10 * epochs + 5))
    assert train("-o", "w.safetensors") == 1
    (path,) = folder.glob("*.safetensors")
    out, err = capsys.readouterr()
    assert out == ""
    *_, where, why = filter(None, err.splitlines())  # click ends the terminal's ^C line
    assert where == (
        f"mnistzoo: {path.name} holds the weights after epoch {epochs}, which are not evaluated on "
        f"the test set; `mnistzoo evaluate clitrain --weights {path.name}` does it"
    )
    assert why == "mnistzoo: interrupted"
    metadata = read_metadata(path)
    assert (metadata["epochs_completed"], metadata["complete"]) == (epochs, not stop)
    assert not metadata["evaluated"]
    assert metadata["metrics"].keys() == {"validation_accuracy"}
    monkeypatch.delenv("STOP_EVALUATION_AT")
    with pytest.raises(SystemExit) as caught:
        main(["evaluate", "clitrain", "--weights", path.name])
    assert caught.value.code == 0


@pytest.mark.parametrize(
    "options",
    [
        "-o a.safetensors --json a.safetensors",
        "--checkpoint run -o run/checkpoint.safetensors",
        "--checkpoint run --json run/checkpoint.safetensors",
    ],
)
def test_one_file_is_not_written_twice(
    options: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(*options.split()) == 2
    assert_wrong_usage("is named twice", capsys, folder)


@pytest.mark.usefixtures("stopping")
def test_a_finished_run_is_resumed_without_training_and_refused_without_resume(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--checkpoint", "state", "--resume", "-o", "w.safetensors") == 0
    before = read_metadata(folder / "w.safetensors")
    capsys.readouterr()
    assert train("--checkpoint", "state", "--resume", "-o", "w.safetensors") == 0
    assert "epoch 3/3" not in capsys.readouterr().err
    again = read_metadata(folder / "w.safetensors")
    assert again["metrics"] == before["metrics"]
    assert again["train_seconds"] == before["train_seconds"]
    assert train("--checkpoint", "state", "-o", "other.safetensors") == 1
    (sentence,) = capsys.readouterr().err.splitlines()
    assert "add --resume" in sentence
    assert train("--checkpoint", "state", "--resume", "--seed", "1") == 1
    (sentence,) = capsys.readouterr().err.splitlines()
    assert "recipe has seed 0, not 1" in sentence
    assert {path.name for path in folder.iterdir()} == {"code", "state", "w.safetensors"}


@pytest.mark.usefixtures("folder")
def test_the_json_file_is_not_the_default_file_of_the_weights(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train("--json", "clitrain-default-seed0-mnist-10k.safetensors") == 2
    assert "is named twice" in capsys.readouterr().err
    assert not Path("clitrain-default-seed0-mnist-10k.safetensors").exists()
