"""What else a model costs: creation, training, export, memory."""

import functools
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import nn

from mnistzoo import Dataset, create_model, evaluate, export_onnx, get_recipe, get_spec, train
from mnistzoo.classifier import count_parameters
from mnistzoo.training import TrainingResult

Eager = Callable[[str], nn.Module]
Facts = Callable[[str], dict[str, Any]]

_STEPS = 5
_FIRST_PREDICTION = """\
import resource, sys
import torch

def peak():
    # Not ru_maxrss: a process inherits that of the one that started it, here pytest's.
    try:
        with open("/proc/self/status") as status:
            line = next(line for line in status if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024, "VmHWM"
    except (OSError, StopIteration):
        unit = 1024**2 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, "ru_maxrss"

torch.set_num_threads(1)
before, _ = peak()
from mnistzoo import evaluate, load_dataset, load_model
test = load_dataset("mnist-10k").test[:256]
accuracy = evaluate(load_model(sys.argv[1]), test, device="cpu").accuracy
after, source = peak()
print(accuracy, before, after, source)
"""


@pytest.mark.benchmark(group="creation", max_time=0.5, warmup=True, warmup_iterations=1)
def test_creation(benchmark: BenchmarkFixture, model: str, facts: Facts) -> None:
    created = benchmark(create_model, model)
    assert count_parameters(created) == get_spec(model).num_params
    benchmark.extra_info.update(facts(model))


@pytest.mark.benchmark(group="training, five steps of the default recipe")
def test_training_of_five_steps(
    benchmark: BenchmarkFixture, trainable: str, facts: Facts, data: Dataset
) -> None:
    """A whole run, so that the loop's own costs count; its batches are the default recipe's."""
    recipe = get_recipe(get_spec(trainable)).replace(epochs=1, threads=1)
    images = data.train[: _STEPS * recipe.batch_size]

    def five_steps() -> TrainingResult:
        return train(functools.partial(create_model, trainable), images, recipe, device="cpu")

    result = benchmark.pedantic(five_steps, rounds=3, warmup_rounds=1)
    torch.manual_seed(recipe.seed)
    untrained = create_model(trainable)
    both = zip(result.model.parameters(), untrained.parameters(), strict=True)
    assert all(not torch.equal(after, before) for after, before in both)
    assert 0 < result.history[0].loss < 3 * math.log(10)
    benchmark.extra_info.update(facts(trainable))


@pytest.mark.benchmark(group="export")
def test_export(
    benchmark: BenchmarkFixture,
    model: str,
    facts: Facts,
    eager: Eager,
    exportable: Callable[[str], None],
    tmp_path: Path,
) -> None:
    """Its check over the 10,000 test images included."""
    exportable(model)
    eager(model)
    path = tmp_path / "model.onnx"
    export = benchmark.pedantic(export_onnx, (model, path), rounds=1)
    nodes = {node.op_type for node in onnx.load(path).graph.node}
    assert "BatchNormalization" not in nodes
    assert export.fp32.changed == 0 and path.stat().st_size == export.fp32.file_bytes
    benchmark.extra_info.update(facts(model) | {"file_bytes": export.fp32.file_bytes})


@pytest.mark.benchmark(group="first prediction of a fresh process")
def test_first_prediction(
    benchmark: BenchmarkFixture, model: str, facts: Facts, eager: Eager, data: Dataset
) -> None:
    """Its peak memory stands in ``extra_info``, with and without what torch takes by itself.

    ``peak_memory_from`` says who counted it: where it is ``ru_maxrss``, the figures may be those of
    the benchmarks' own process.
    """
    expected = evaluate(eager(model), data.test[:256], device="cpu").accuracy
    command = [sys.executable, "-c", _FIRST_PREDICTION, model]
    done = benchmark.pedantic(
        subprocess.run, (command,), {"capture_output": True, "text": True, "check": True}, rounds=3
    )
    *figures, source = done.stdout.split()
    accuracy, before, after = map(float, figures)
    assert accuracy == expected
    memory = {"peak_memory_mb": after, "above_torch_mb": after - before}
    benchmark.extra_info.update(facts(model) | memory | {"peak_memory_from": source})
