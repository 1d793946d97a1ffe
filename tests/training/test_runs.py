"""Runs side by side, each in its own process, are the runs one after the other."""

import csv
import json
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import safetensors.torch
import torch
from processes import read_until

from mnistzoo.weights import read_metadata

Install = Callable[..., Path]
Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., AbstractContextManager[subprocess.Popen[str]]]

# With dropout, so that the weights depend on every random number; and one that fails.
_NET = """\
import math
import os
import signal

import torch
from torch import nn


class Twin(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 4, 5, stride=3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Flatten(),
            nn.Linear(256, 10),
        )
        self.seed = torch.initial_seed()


class Pausing(Twin):
    # Goes to sleep in the second epoch of one seed.
    steps = 0

    def forward(self, images):
        self.steps += self.training
        if self.steps > 18 and self.seed == int(os.environ["PAUSE_SEED"]):
            signal.pause()
        return super().forward(images)


class Leaning(Twin):
    # Breaks the contract: the logits of an image depend on the others.
    def forward(self, images):
        logits = super().forward(images)
        return logits + 0.1 * logits.mean(0)


class Diverging(Twin):
    def forward(self, images):
        return super().forward(images) * (math.nan if self.seed == 1 else 1)
"""

_PLUGIN = """\
from mnistzoo import Augmentation

recipe = Recipe(
    epochs=1, batch_size=500, optimizer="adam", learning_rate=0.01, ema_decay=0.5,
    augmentation=Augmentation(shift=1)
)

@hookimpl
def register_models(register):
    for name in ("Twin", "Leaning", "Diverging", "Pausing"):
        register(
            linear(
                name.lower(),
                factory=__name__ + ".model:" + name,
                num_params=2682,
                recipes={"default": recipe},
                weights=None,
            )
        )
"""
# What torch takes for the number of cores; and its threads wait for one another without spinning.
CORES = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}


@pytest.fixture(autouse=True)
def _plugin(install_plugin: Install) -> None:
    install_plugin("twins", _PLUGIN, model_code=_NET)


_ALONE = """\
import json, sys
from mnistzoo.cli import main

for seed in range(3):
    try:
        main(
            f"train twin --dataset mnist-10k --device cpu --set threads=1 --seed {seed}".split()
            + ["--json", f"seed{seed}.json", "-o", f"seed{seed}.safetensors"]
        )
    except SystemExit as done:
        if done.code:
            raise
print(json.dumps([json.load(open(f"seed{seed}.json"))["metrics"] for seed in range(3)]))
"""


def test_compare_has_the_accuracies_of_each_seed_trained_alone_or_why_there_are_none(
    run_cli: Run, run_python: Run
) -> None:
    options = "--train --seeds 3 --set threads=1 --device cpu --dataset mnist-10k --json -"
    compared = run_cli("compare", "diverging", "leaning", "twin", *options.split(), env=CORES)
    assert compared.returncode == 1, compared.stderr
    assert "Traceback" not in compared.stderr
    models = {row["name"]: row for row in json.loads(compared.stdout)["models"]}
    twin, leaning, diverging = (models[name] for name in ("twin", "leaning", "diverging"))
    alone = run_python("-c", _ALONE, env=CORES)
    assert alone.returncode == 0, alone.stderr
    metrics = json.loads(alone.stdout.splitlines()[-1])
    assert (twin["seeds"], twin["error"]) == ([0, 1, 2], None)
    assert twin["accuracies"] == [each["test_accuracy"] for each in metrics]
    assert len(set(twin["accuracies"])) > 1
    assert "alone from those among others" in leaning["error"]
    assert (leaning["params"], leaning["multiply_adds"]) == (2682, twin["multiply_adds"])
    assert leaning["accuracy"] > 0.5 and leaning["latency_us"] is None
    assert diverging["accuracy"] is None
    assert 0 in diverging["seeds"]  # it ran beside seed 1, and came to its end
    assert diverging["error"].startswith(
        "seed 1: the loss or a weight became NaN or infinite in epoch 1, step 1;"
    )


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("threads", "seeds", "pausing", "when"),
    [
        # One after the other: the second seed sleeps.
        (2, 2, 1, "seed 1  epoch 1/"),
        # Side by side: once the third seed is saved, the first is evaluated.
        (1, 3, 1, "saved out/pausing-default-seed2"),
    ],
)
def test_an_interrupted_comparison_shows_writes_and_saves_what_is_finished(
    threads: int,
    seeds: int,
    pausing: int,
    when: str,
    number: signal.Signals,
    start_cli: Start,
    tmp_path: Path,
) -> None:
    options = f"--train --seeds {seeds} --set threads={threads} --epochs 2 --device cpu --out out"
    files = "--dataset mnist-10k --json c.json --csv c.csv --markdown c.md"
    command = ["compare", "pausing", "twin", *options.split(), *files.split()]
    with start_cli(*command, env=CORES | {"PAUSE_SEED": str(pausing)}) as process:
        read_until(when, process)
        process.send_signal(number)
        out, err = process.communicate()
    assert process.returncode == 1, err
    assert "mnistzoo: interrupted; what was finished is shown and written" in err
    assert "Traceback" not in err
    folder = tmp_path / "work"
    facts = json.loads((folder / "c.json").read_text())
    assert facts["interrupted"]
    row, twin = facts["models"]
    assert 0 in row["seeds"] and pausing not in row["seeds"]
    assert row["error"] == f"interrupted after {len(row['seeds'])} of {seeds} seeds"
    assert twin["error"] == "interrupted"
    with (folder / "c.csv").open(newline="") as stream:
        assert [each["error"] for each in csv.DictReader(stream)] == [row["error"], twin["error"]]
    for text in (out, (folder / "c.md").read_text()):
        assert f"{100 * row['accuracy']:.2f}" in text
        assert f"pausing: {row['error']}" in text
    metadata = [read_metadata(path) for path in sorted((folder / "out").iterdir())]
    evaluated = [each for each in metadata if each["evaluated"]]
    assert [each["seed"] for each in evaluated] == row["seeds"]
    assert [each["metrics"]["test_accuracy"] for each in evaluated] == row["accuracies"]


def test_runs_side_by_side_end_bit_for_bit_as_one_after_the_other(
    run_cli: Run, tmp_path: Path
) -> None:
    options = "--train --seeds 3 --set threads=1 --epochs 2 --device cpu --dataset mnist-10k"
    told, lines = [], []
    for cores in ("1", "2"):
        words = ["compare", "twin", *options.split(), "--out", f"out{cores}", "--json", "-"]
        done = run_cli(*words, env=CORES | {"OMP_NUM_THREADS": cores})
        assert done.returncode == 0, done.stderr
        lines.append(sorted(each for each in done.stderr.splitlines() if "  epoch " in each))
        (twin,) = json.loads(done.stdout)["models"]
        told.append(
            (twin["seeds"], twin["accuracies"], [_losses(each) for each in twin["history"]])
        )
    assert told[0] == told[1]
    assert [line.split("  ")[:2] for line in lines[1]] == [
        [f"twin seed {seed}", f"epoch {epoch}/2"] for seed in (0, 1, 2) for epoch in (1, 2)
    ]
    names = sorted(path.name for path in (tmp_path / "work" / "out1").iterdir())
    states = [
        [safetensors.torch.load_file(tmp_path / "work" / folder / name) for name in names]
        for folder in ("out1", "out2")
    ]
    for one, other in zip(*states, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert len(names) == 3


def _losses(history: list[dict[str, float]]) -> list[float]:
    return [epoch["loss"] for epoch in history]
