"""Time training, evaluation and export on an idle machine, and beside one busy process.

Usage: python benchmarks/busy.py [MODEL ...] [--rounds N]

For every installed model, or those named: training by its default recipe on 1,280 images,
evaluation of 2,000 images, and export. After a warm-up they run idle and busy in turns, each turn
for a second at least; the result must be the same each time, bit for bit. Prints the medians in
seconds and the median of the rounds' ratios. Torch is imported before mnistzoo, so that nothing
can be set before it is loaded.
"""

import argparse
import contextlib
import dataclasses
import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from mnistzoo import (
    Recipe,
    create_model,
    evaluate,
    export_onnx,
    get_spec,
    list_models,
    load_dataset,
    load_model,
    train,
)
from mnistzoo.export import ExportError
from mnistzoo.provenance import environment

TRAINING_IMAGES = 1_280
TEST_IMAGES = 2_000
LEAST_SECONDS = 1.0  # of a turn: the scheduler takes a while to spread processes over the cores
# Says that it runs, and ends with this process at the latest.
BUSY = "import os, sys\nprint(flush=True)\nwhile os.getppid() == int(sys.argv[1]): pass"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", default=list_models())
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(environment(torch.device("cpu")))
    print("| model | work | threads | idle, s | busy, s | ratio |")
    print("|---|---|---:|---:|---:|---:|")
    ratios = []
    for name in options.models:
        for work, threads, run in works(name):
            try:
                result = run()  # the warm-up
            except ExportError:
                print(f"| {name} | {work} | | | | - |")
                continue
            idle, busy = [], []
            for _ in range(options.rounds):
                idle.append(seconds_of(run, result))
                with busy_process():
                    busy.append(seconds_of(run, result))
            ratio = statistics.median(b / i for b, i in zip(busy, idle, strict=True))
            ratios.append(ratio)
            print(
                f"| {name} | {work} | {threads} | {statistics.median(idle):.2f} | "
                f"{statistics.median(busy):.2f} | {ratio:.2f} |",
                flush=True,
            )
    print(f"largest ratio {max(ratios):.2f}, median {statistics.median(ratios):.2f}")


def works(name: str) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """Yield what can be done with a model: its name, the threads of torch, and the work.

    The work returns its result as bytes.
    """
    spec = get_spec(name)
    if "default" in spec.recipes:
        recipe = dataclasses.replace(spec.recipes["default"], epochs=1)
        threads = recipe.threads or torch.get_num_threads()
        yield "training", threads, functools.partial(trained, name, recipe)
    if spec.weights or spec.members:
        yield "evaluation", torch.get_num_threads(), functools.partial(evaluated, name)
        yield "export", torch.get_num_threads(), functools.partial(exported, name)


def trained(name: str, recipe: Recipe) -> bytes:
    data = load_dataset("mnist-10k").train[:TRAINING_IMAGES]
    model = train(functools.partial(create_model, name), data, recipe, device="cpu").model
    return b"".join(tensor.numpy().tobytes() for tensor in model.state_dict().values())


def evaluated(name: str) -> bytes:
    test = load_dataset("mnist-10k").test[:TEST_IMAGES]
    return evaluate(load_model(name), test, device="cpu").probabilities.tobytes()


def exported(name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_onnx(name, path)
        return path.read_bytes()


def seconds_of(run: Callable[[], bytes], expected: bytes) -> float:
    """Return the mean seconds of a run, of as many as last long enough; all give the result."""
    runs = 0
    started = time.perf_counter()
    while not runs or time.perf_counter() - started < LEAST_SECONDS:
        assert run() == expected, "the result differs from the first one's"
        runs += 1
    return (time.perf_counter() - started) / runs


@contextlib.contextmanager
def busy_process() -> Iterator[None]:
    command = [sys.executable, "-c", BUSY, str(os.getpid())]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


if __name__ == "__main__":
    main()
