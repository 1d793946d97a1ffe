"""Time the trainer against the plain loop by the same recipe, on the CPU.

Usage: python benchmarks/training.py [--rounds N] [--dataset mnist|mnist-10k] [MODEL ...]

The two train in turns, each the whole reference recipe, from the same seed. Each must reach the
accuracy that the recipe is known for. Prints seconds an epoch, their ratio, and the median ratio.
"""

import argparse
import functools
import statistics
import time

import torch
from plain_loop import plain_train
from torch import nn

from mnistzoo import Dataset, create_model, evaluate, get_recipe, get_spec, load_dataset, train
from mnistzoo.measure import environment

# At the end of the reference recipe; somewhat below what it gives over seeds.
LEAST_ACCURACY = {
    "mnist": {"mnistnet": 0.968, "mnistconvnet": 0.985},
    "mnist-10k": {"mnistnet": 0.92, "mnistconvnet": 0.96},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", default=list(LEAST_ACCURACY["mnist"]))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dataset", choices=list(LEAST_ACCURACY), default="mnist")
    options = parser.parse_args()
    data = load_dataset(options.dataset)
    print(environment(torch.device("cpu")))
    for name in options.models:
        rounds = [one_round(name, data) for _ in range(options.rounds)]
        for plain, ours in rounds:
            ratio = f"ratio {ours / plain:.2f}"
            print(f"{name}: plain {plain:.2f}, mnistzoo {ours:.2f} s an epoch, {ratio}")
        # Of each round's ratio, since only the two of a round ran side by side.
        print(
            f"{name}: median ratio {statistics.median(ours / plain for plain, ours in rounds):.2f}"
        )


def one_round(name: str, data: Dataset) -> tuple[float, float]:
    """Return the seconds an epoch of the plain loop and of the trainer."""
    recipe = get_recipe(get_spec(name), "reference")
    torch.manual_seed(recipe.seed)
    model = create_model(name)
    started = time.perf_counter()
    plain_train(model, recipe, data.train_and_validation)
    plain = time.perf_counter() - started
    check(name, model, data)
    started = time.perf_counter()
    create = functools.partial(create_model, name)
    model, _ = train(create, recipe, data.train_and_validation, device="cpu")
    ours = time.perf_counter() - started
    check(name, model, data)
    return plain / recipe.epochs, ours / recipe.epochs


def check(name: str, model: nn.Module, data: Dataset) -> None:
    accuracy = evaluate(model, data.test, device="cpu").accuracy
    least = LEAST_ACCURACY[data.name][name]
    assert accuracy >= least, f"the loop is wrong: {name} has {accuracy}, expected {least}"


if __name__ == "__main__":
    main()
