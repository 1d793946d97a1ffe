"""Time training steps with augmentation against the same steps without, on the CPU.

Usage: python benchmarks/augmentation.py [--rounds N] [--images N] [MODEL ...]

By the default recipe of each model, with as many threads as it says. The two run in turns. Both
losses must fall below that of a guess.
"""

import argparse
import dataclasses
import functools
import math
import statistics

import torch

from mnistzoo import Recipe, Split, create_model, get_recipe, get_spec, load_dataset, train
from mnistzoo.provenance import environment
from mnistzoo.recipe import Augmentation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", default=["resnet", "mnistconvnet", "mnistnet"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=2560)
    options = parser.parse_args()
    data = load_dataset("mnist-10k").train[: options.images]
    print(environment(torch.device("cpu")) | {"threads": torch.get_num_threads()})
    for name in options.models:
        recipe = get_recipe(get_spec(name)).replace(epochs=1)
        plain = dataclasses.replace(recipe, augmentation=Augmentation())
        seconds(name, recipe, data)
        rounds = [
            (seconds(name, plain, data), seconds(name, recipe, data)) for _ in range(options.rounds)
        ]
        ratio = statistics.median(augmented / without for without, augmented in rounds)
        without, augmented = (statistics.median(each) for each in zip(*rounds, strict=True))
        print(
            f"{name}: {1e6 * without / len(data):.1f} us an image without, "
            f"{1e6 * augmented / len(data):.1f} with augmentation; median ratio {ratio:.3f}"
        )


def seconds(name: str, recipe: Recipe, data: Split) -> float:
    run = train(functools.partial(create_model, name), data, recipe, device="cpu")
    assert run.history[0].loss < math.log(10), f"{name} does not learn"
    return run.seconds


if __name__ == "__main__":
    main()
