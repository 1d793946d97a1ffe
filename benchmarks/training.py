"""Time the trainer against the plain loop by the same recipe, on the CPU.

Usage: python benchmarks/training.py [MODEL ...] [--rounds N] [--epochs N] [--threads N ...]
                                     [--dataset mnist|mnist-10k]

The two train in turns, each by the reference recipe, from the same seed; the plain loop with all
the threads, the trainer with as many as the recipe says. Both keep freed memory. Each must reach
the accuracy that the recipe is known for. Prints seconds an epoch, their ratio, and the median
ratio; and the bound: an epoch of the bare matrix products and convolutions, forward and backward,
measured in the same run.
"""

import argparse
import dataclasses
import functools
import statistics
import time

import torch
from plain_loop import plain_train
from torch import Tensor, nn
from torch.nn import functional as F

from mnistzoo import (
    Dataset,
    Recipe,
    create_model,
    evaluate,
    get_recipe,
    get_spec,
    load_dataset,
    train,
)
from mnistzoo.cpu import keep_freed_memory
from mnistzoo.provenance import environment
from mnistzoo.training.trainer import steps_per_epoch

# At the end of the first epoch; somewhat below what the reference recipe gives over seeds.
LEAST_ACCURACY = {
    "mnist": {"mnistnet": 0.93, "mnistconvnet": 0.97},
    "mnist-10k": {"mnistnet": 0.85, "mnistconvnet": 0.92},
}
STEPS_OF_BOUND = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", default=list(LEAST_ACCURACY["mnist"]))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--threads", type=int, nargs="+", default=[torch.get_num_threads(), 1])
    parser.add_argument("--dataset", choices=list(LEAST_ACCURACY), default="mnist")
    options = parser.parse_args()
    data = load_dataset(options.dataset)
    print(environment(torch.device("cpu")))
    keep_freed_memory()
    for name in options.models:
        recipe = get_recipe(get_spec(name), "reference")
        recipe = dataclasses.replace(recipe, epochs=options.epochs or recipe.epochs)
        for threads in options.threads:
            torch.set_num_threads(threads)
            title = f"{name}, {threads} threads (trainer: {recipe.threads or threads})"
            rounds = [one_round(name, recipe, data) for _ in range(options.rounds)]
            for plain, ours, bound in rounds:
                print(
                    f"{title}: plain {plain:.2f}, mnistzoo {ours:.2f}, products alone "
                    f"{bound:.2f} s an epoch; ratio {ours / plain:.2f}, bound {bound / plain:.2f}"
                )
            # Of each round's ratio, since only the two of a round ran side by side.
            ratio = statistics.median(ours / plain for plain, ours, _ in rounds)
            print(f"{title}: median ratio {ratio:.2f}", flush=True)


def one_round(name: str, recipe: Recipe, data: Dataset) -> tuple[float, float, float]:
    """Return the seconds an epoch of the plain loop, of the trainer, and of the products alone."""
    torch.manual_seed(recipe.seed)
    model = create_model(name)
    started = time.perf_counter()
    plain_train(model, recipe, data.train_and_validation)
    plain = time.perf_counter() - started
    check(name, model, data)
    started = time.perf_counter()
    create = functools.partial(create_model, name)
    model = train(create, data.train_and_validation, recipe, device="cpu").model
    ours = time.perf_counter() - started
    check(name, model, data)
    images = torch.tensor(data.train.images[: recipe.batch_size]).unsqueeze(1) / 255
    steps = steps_per_epoch(len(data.train_and_validation), recipe.batch_size)
    return plain / recipe.epochs, ours / recipe.epochs, products_alone(model, images) * steps


def products_alone(model: nn.Module, images: Tensor) -> float:
    """Return the seconds a step of the products of a model's linear and convolutional layers."""
    layers: list[tuple[nn.Linear | nn.Conv2d, Tensor, Tensor]] = []

    def note(layer: nn.Linear | nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> None:
        layers.append((layer, inputs[0], output))

    hooks = [
        layer.register_forward_hook(note)
        for layer in model.modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
    ]
    with torch.inference_mode():
        model(images)
        for hook in hooks:
            hook.remove()
        seconds = []
        for _ in range(STEPS_OF_BOUND):
            started = time.perf_counter()
            for number, (layer, inputs, output) in enumerate(layers):
                step_products(layer, inputs, output, with_input_gradient=number > 0)
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def step_products(
    layer: nn.Linear | nn.Conv2d, inputs: Tensor, gradient: Tensor, with_input_gradient: bool
) -> None:
    """Run one layer forward, and backward to its weights and, but for the first, its input."""
    weight = layer.weight
    if isinstance(layer, nn.Linear):
        F.linear(inputs, weight, layer.bias)
        torch.mm(gradient.T, inputs)
        if with_input_gradient:
            torch.mm(gradient, weight)
        return
    geometry = layer.stride, layer.padding, layer.dilation
    assert not isinstance(layer.padding, str)
    layer(inputs)
    torch.ops.aten.convolution_backward(
        gradient, inputs, weight, None, *geometry, False, [0], layer.groups,
        [with_input_gradient, True, False],
    )  # fmt: skip


def check(name: str, model: nn.Module, data: Dataset) -> None:
    accuracy = evaluate(model, data.test, device="cpu").accuracy
    least = LEAST_ACCURACY[data.name][name]
    assert accuracy >= least, f"the loop is wrong: {name} has {accuracy}, expected {least}"


if __name__ == "__main__":
    main()
