"""scripts/ship_weights.py ships and records what the runs themselves say, and refuses the rest."""

import csv
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import first_party
import pytest
import safetensors.torch
import torch

from mnistzoo import ModelSpec, evaluate, load_dataset, load_model
from mnistzoo.cli import main
from mnistzoo.weights import read_metadata, save_weights

SCRIPT = Path(__file__).parents[1] / "scripts" / "ship_weights.py"
Ship = Callable[..., str | int | None]


@pytest.fixture
def ship(
    linear_spec: Callable[..., ModelSpec],
    register: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Ship:
    """Return ``ship(*arguments)``: runs the script on a copy of the repository's folders."""
    spec = linear_spec("shipnet", weights=None)
    register(spec)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugins" / "shipnet" / spec.factory.partition(":")[0]).mkdir(parents=True)
    script = runpy.run_path(str(SCRIPT))
    names = script["main"].__globals__
    monkeypatch.setitem(names, "RUNS", tmp_path / "runs.csv")
    monkeypatch.setitem(first_party.FOLDERS, "tests", tmp_path / "plugins" / "shipnet")

    def run(*arguments: str) -> str | int | None:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
        try:
            script["main"]()
        except SystemExit as done:
            return done.code
        return 0

    return run


def train(*options: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["train", "shipnet", "--dataset", "mnist-10k", *options])
    assert caught.value.code == 0


def retold(path: str, **changes: Any) -> dict[str, Any]:
    """Save the weights again with other metadata, and return it."""
    model, metadata = load_model("shipnet", path), read_metadata(path) | changes
    save_weights(
        model, path, {name: value for name, value in metadata.items() if value is not None}
    )
    return metadata


def test_a_run_on_few_images_is_recorded_with_their_number_and_not_shipped(
    ship: Ship, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("-o", "a.safetensors")
    train("-o", "final.safetensors", "--final", "--set", "epochs=1")
    capsys.readouterr()
    assert ship("a.safetensors") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "a.safetensors was trained on mnist-10k; ship what was trained on the full MNIST\n"
    )
    assert not (tmp_path / "runs.csv").exists()
    assert ship("a.safetensors", "--only-record") == 0
    assert ship("final.safetensors", "--only-record") == 0
    with (tmp_path / "runs.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    commands = {row["images"]: row["command"] for row in rows}
    command = "mnistzoo train shipnet --recipe default --seed 0"
    assert commands == {
        "10000": f"{command} --final --dataset mnist-10k",
        "9000": f"{command} --dataset mnist-10k",
    }
    assert not list(tmp_path.glob("plugins/*/*/*"))


def test_a_run_on_the_full_mnist_is_shipped_with_what_it_says(
    ship: Ship, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("-o", "a.safetensors")
    retold("a.safetensors", dataset="mnist", training_images=55_000, train_threads=1)
    capsys.readouterr()
    assert ship("a.safetensors") == 0
    out = capsys.readouterr().out
    assert "recipe default, 55000 training images" in out and '    "1 thread",' in out
    (path,) = tmp_path.glob("plugins/*/*/shipnet.safetensors")
    assert read_metadata(path)["seeds"] == [0]


def test_of_final_runs_the_first_seed_is_shipped_in_half_precision_if_that_changes_nothing(
    ship: Ship, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in ("1", "0"):
        train("-o", f"{seed}.safetensors", "--final", "--seed", seed)
        retold(f"{seed}.safetensors", dataset="mnist", training_images=60_000)
    capsys.readouterr()
    assert ship("1.safetensors", "0.safetensors") == 0
    assert "seed 0, the first of 2" in capsys.readouterr().out
    (path,) = tmp_path.glob("plugins/*/*/shipnet.safetensors")
    whole, shipped = load_model("shipnet", "0.safetensors"), load_model("shipnet", path)
    test = load_dataset("mnist-10k").test
    assert (evaluate(whole, test).predictions == evaluate(shipped, test).predictions).all()
    stored = {tensor.dtype for tensor in safetensors.torch.load_file(path).values()}
    assert stored in ({torch.float16}, {torch.float32})
    rounded = {name: tensor.half() for name, tensor in whole.state_dict().items()}
    whole.load_state_dict({name: tensor.float() for name, tensor in rounded.items()})
    same = evaluate(whole, test).predictions == evaluate(shipped, test).predictions
    assert (stored == {torch.float16}) == same.all()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"training_images": None}, "does not say how many images"),
        ({"complete": False}, "was stopped after epoch 1"),
        ({"evaluated": False}, "was not evaluated"),
        ({"seed": 1}, "was not trained by the recipe default as it is now"),
    ],
)
def test_a_run_that_must_not_be_shipped_is_refused_in_one_sentence(
    changes: dict[str, Any], says: str, ship: Ship, capsys: pytest.CaptureFixture[str]
) -> None:
    train("-o", "a.safetensors")
    retold("a.safetensors", **{"dataset": "mnist"} | changes)
    capsys.readouterr()
    assert ship("a.safetensors") == 1
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith("a.safetensors ") and says in sentence


def test_runs_on_other_images_are_not_mixed(ship: Ship, capsys: pytest.CaptureFixture[str]) -> None:
    train("-o", "a.safetensors")
    train("-o", "b.safetensors", "--final")
    assert ship("a.safetensors", "b.safetensors", "--only-record") == 1
    assert "several kinds of runs" in capsys.readouterr().err
