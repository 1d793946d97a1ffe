"""Logs of training runs: what they hold while the run goes on, and what plugins add."""

import csv
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mnistzoo import ModelSpec, hookimpl, load_dataset
from mnistzoo.cli import main
from mnistzoo.missing import install_command
from mnistzoo.plugins import PluginError, register_plugin, unregister_plugin
from mnistzoo.registry import ModelError
from mnistzoo.training import Callback, Epoch, train
from mnistzoo.training.logs import create_log

FIGURES = ("loss", "learning_rate", "validation_accuracy", "seconds")


@pytest.fixture
def folder(
    linear_spec: Callable[..., ModelSpec],
    register: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    register(linear_spec("logged"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*options: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["train", "logged", "--dataset", "mnist-10k", *options])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def lines(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_csv_and_json_hold_the_same_history(folder: Path) -> None:
    logs = ("--log", "csv:new/logs", "--log", "csv:others")
    assert run("--epochs", "2", "--seed", "3", "--json", "facts.json", *logs) == 0
    history = json.loads((folder / "facts.json").read_text())["history"]
    written = lines(folder / "new" / "logs" / "logged-seed3.csv")
    assert written == lines(folder / "others" / "logged-seed3.csv")
    assert [int(line["epoch"]) for line in written] == [epoch["number"] for epoch in history]
    assert [[float(line[name]) for name in FIGURES] for line in written] == [
        [epoch[name] for name in FIGURES] for epoch in history
    ]


class Stop(Callback):
    """Looks at the log after the first epoch, and ends the run there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: list[dict[str, str]] = []

    def on_epoch_end(self, epoch: Epoch) -> None:
        self.seen = lines(self.path)
        raise KeyboardInterrupt


def test_a_line_is_there_after_its_epoch_and_a_resumed_run_goes_on(folder: Path) -> None:
    path = folder / "logged-seed0.csv"
    data = load_dataset("mnist-10k")
    options: dict[str, Any] = {"epochs": 2, "checkpoint": folder / "state"}
    stop = Stop(path)
    with pytest.raises(KeyboardInterrupt):
        train("logged", data, callbacks=[create_log("csv", "."), stop], **options)
    assert [line["epoch"] for line in stop.seen] == ["1"]
    train("logged", data, callbacks=[create_log("csv", ".")], resume=True, **options)
    assert [line["epoch"] for line in lines(path)] == ["1", "2"]
    train("logged", data, epochs=1, final=True, callbacks=[create_log("csv", ".")])
    assert [(line["epoch"], line["validation_accuracy"]) for line in lines(path)] == [("1", "")]


def test_tensorboard_reads_what_is_written(folder: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert run("--epochs", "2", "--json", "facts.json", "--log", "tensorboard:runs") == 0
    history = json.loads((folder / "facts.json").read_text())["history"]
    events = EventAccumulator(str(folder / "runs" / "logged-seed0"))
    events.Reload()
    for name in FIGURES:
        scalars = events.Scalars(name)
        assert [scalar.step for scalar in scalars] == [1, 2]
        assert [scalar.value for scalar in scalars] == pytest.approx(
            [epoch[name] for epoch in history]
        )
    assert any("recipe" in tag for tag in events.Tags()["tensors"])


def test_without_tensorboard_one_sentence_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert run("--log", "tensorboard:runs") == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "mnistzoo: --log tensorboard:runs needs tensorboard; "
        f"`{install_command('tensorboard')}` installs it"
    )
    assert list(folder.iterdir()) == []


class Mlflow(Callback):
    """Stands for a log of somebody else's."""

    told: ClassVar[list[tuple[str, int]]] = []

    def __init__(self, target: str) -> None:
        if target == "down":
            raise ConnectionError("no server")
        self.target = target

    def on_epoch_end(self, epoch: Epoch) -> None:
        self.told.append((self.target, epoch.number))


class Plugin:
    def __init__(self, *registered: tuple[str, str]) -> None:
        self.registered = registered

    @hookimpl
    def register_logs(self, register: Callable[[str, str], None]) -> None:
        for kind, factory in self.registered:
            register(kind, factory)


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Return ``plugins(name, *registered)``: a plugin that registers logs until the test ends."""
    monkeypatch.setitem(sys.modules, "their_logs", sys.modules[__name__])
    Mlflow.told.clear()
    names = []

    def registering(name: str, *registered: tuple[str, str]) -> None:
        register_plugin(Plugin(*registered), name)
        names.append(name)

    yield registering
    for name in names:
        unregister_plugin(name)


def test_a_plugin_adds_a_log(folder: Path, plugins: Callable[..., None]) -> None:
    plugins("theirs", ("mlflow", "their_logs:Mlflow"))
    assert run("--epochs", "2", "--log", "mlflow:http://127.0.0.1:5000", "--log", "csv:logs") == 0
    assert Mlflow.told == [("http://127.0.0.1:5000", 1), ("http://127.0.0.1:5000", 2)]
    assert len(lines(folder / "logs" / "logged-seed0.csv")) == 2


@pytest.mark.parametrize(
    ("log", "code", "says"),
    [
        (
            "mlflow:down",
            1,
            "log mlflow:down of theirs cannot be kept: ConnectionError: no server",
        ),
        ("lost:x", 1, "the log lost:x of theirs cannot be kept: ModuleNotFoundError"),
        (
            "other:x",
            1,
            "TypeError: it returns PosixPath, expected mnistzoo.Callback",
        ),
        (
            "mflow:x",
            2,
            "is no log 'mflow'; take one of csv, lost, mlflow, other, tensorboard",
        ),
        ("csv", 2, "--log is 'csv': give KIND:TARGET, such as csv:logs"),
        ("csv:", 2, "--log is 'csv:': give KIND:TARGET, such as csv:logs"),
        ("csv:file/logs", 1, "file"),
    ],
)
def test_a_log_that_cannot_be_kept_is_one_sentence_before_the_training(
    log: str,
    code: int,
    says: str,
    folder: Path,
    plugins: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    plugins(
        "theirs",
        ("mlflow", "their_logs:Mlflow"),
        ("lost", "no_such_module:Log"),
        ("other", "their_logs:Path"),
    )
    (folder / "file").touch()
    assert run("--log", log) == code
    error = capsys.readouterr().err
    assert says in error.splitlines()[-1] and "Traceback" not in error and "epoch" not in error
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_two_plugins_that_claim_a_log_are_both_named(plugins: Callable[..., None]) -> None:
    plugins("theirs", ("mlflow", "their_logs:Mlflow"))
    plugins("others", ("mlflow", "their_logs:Mlflow"))
    with pytest.raises(ModelError, match="claimed by others and theirs"):
        create_log("mlflow", "x")


@pytest.mark.parametrize(
    ("registered", "says"),
    [
        ([("csv", "a:b")], "csv and tensorboard are mnistzoo's own"),
        ([("ml-flow", "a:b")], "'ml-flow' is not made of"),
        ([("mlflow", "nonsense")], "is not like 'package.module:callable'"),
        ([("mlflow", "a:b"), ("mlflow", "a:b")], "'mlflow' twice"),
    ],
)
def test_a_wrong_registration_is_refused(registered: list[tuple[str, str]], says: str) -> None:
    with pytest.raises(PluginError, match=says):
        register_plugin(Plugin(*registered), "theirs")


class Remove(Callback):
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_epoch_end(self, epoch: Epoch) -> None:
        shutil.rmtree(self.folder)


def test_a_log_that_is_lost_does_not_end_the_training(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = create_log("csv", "logs")
    data = load_dataset("mnist-10k")
    result = train("logged", data, epochs=1, callbacks=[Remove(folder / "logs"), log])
    assert result.complete
    assert "logged-seed0.csv lacks epoch 1: No such file or directory" in caplog.text
