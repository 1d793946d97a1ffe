"""Runs side by side, each in its own process, are the runs one after the other."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Install = Callable[..., Path]
Run = Callable[..., subprocess.CompletedProcess[str]]

# With dropout, so that the weights depend on every random number; and one that fails.
_NET = """\
import math

import torch
from torch import nn


class Net(nn.Sequential):
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


class Diverging(Net):
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
    for name, factory in (("twin", "Net"), ("diverging", "Diverging")):
        register(
            linear(
                name,
                factory=__name__ + ".model:" + factory,
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
    compared = run_cli("compare", "diverging", "twin", *options.split(), env=CORES)
    assert compared.returncode == 1, compared.stderr
    assert "Traceback" not in compared.stderr
    twin, diverging = json.loads(compared.stdout)["models"]
    alone = run_python("-c", _ALONE, env=CORES)
    assert alone.returncode == 0, alone.stderr
    metrics = json.loads(alone.stdout.splitlines()[-1])
    assert (twin["name"], twin["seeds"], twin["error"]) == ("twin", [0, 1, 2], None)
    assert twin["accuracies"] == [each["test_accuracy"] for each in metrics]
    assert len(set(twin["accuracies"])) > 1
    assert (diverging["name"], diverging["accuracy"]) == ("diverging", None)
    assert diverging["error"].startswith(
        "seed 1: the loss or a weight became NaN or infinite in epoch 1, step 1;"
    )


_SEEDS = """\
import dataclasses, json
import torch
from mnistzoo import Dataset, get_recipe, get_spec, load_dataset
from mnistzoo.training.runs import train_seeds

class Few(Dataset):
    train = load_dataset("mnist-10k").train[:1000]
    validation = load_dataset("mnist-10k").validation[:500]

if __name__ == "__main__":
    recipe = get_recipe(get_spec("twin")).replace(batch_size=64, epochs=2, threads=1)
    recipes = [recipe.replace(seed=seed) for seed in (3, 0, 2)]
    stories = []
    for cores in (1, 2):
        torch.set_num_threads(cores)
        runs = list(
            train_seeds(
                "twin",
                recipes,
                Few("mnist-10k"),
                device="cpu",
                cores=cores,
                show_progress=cores == 2,
            )
        )
        stories.append(
            [
                {
                    "seed": run.recipe.seed,
                    "losses": [epoch.loss for epoch in run.epochs],
                    "validation": [epoch.validation_accuracy for epoch in run.epochs],
                    "weights": {k: v.tolist() for k, v in model.state_dict().items()},
                    "training": model.training,
                }
                for model, run in runs
            ]
        )
    print(json.dumps(stories))
"""


def test_runs_side_by_side_end_bit_for_bit_as_one_after_the_other(
    run_python: Run, tmp_path: Path
) -> None:
    script = tmp_path / "seeds.py"
    script.write_text(_SEEDS)
    done = run_python(str(script), env=CORES)
    assert done.returncode == 0, done.stderr
    one_by_one, together = json.loads(done.stdout)
    assert together == one_by_one
    assert [run["seed"] for run in together] == [3, 0, 2]
    assert len({str(run["weights"]) for run in together}) == 3
    assert not any(run["training"] for run in together)
    lines = sorted(line.split("  ")[:2] for line in done.stderr.splitlines())
    assert lines == [
        [f"twin seed {seed}", f"epoch {epoch}/2"] for seed in (0, 2, 3) for epoch in (1, 2)
    ]
