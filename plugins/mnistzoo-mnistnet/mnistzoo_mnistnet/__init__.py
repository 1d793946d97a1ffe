"""Registers MNISTNet with mnistzoo; imports no torch."""

from collections.abc import Callable

from mnistzoo import Augmentation, ModelSpec, Recipe, Weights, hookimpl

# As published: 5 epochs of Adam gave 97.35 % on the test set. The thread is ours: two take longer.
_PUBLISHED = Recipe(epochs=5, batch_size=64, optimizer="adam", learning_rate=0.001, threads=1)

_DEFAULT = Recipe(
    epochs=80,
    batch_size=128,
    optimizer="adamw",
    learning_rate=0.003,
    weight_decay=0.01,
    schedule="one-cycle",
    augmentation=Augmentation(rotation=10, scale=0.1, shift=1, shear=10),
    threads=1,
)

SPEC = ModelSpec(
    name="mnistnet",
    aliases=("simple",),
    summary="Multilayer perceptron 784-128-64-10 with dropout 0.2",
    factory="mnistzoo_mnistnet.model:MNISTNet",
    num_params=109_386,
    recipes={"default": _DEFAULT, "reference": _PUBLISHED},
    weights=Weights(
        file="mnistnet.safetensors",
        sha256="6502aeb3012312ef602b8ff4a1a58f7aaf952ece05f8bfd41d8068554638aaab",
        metrics={
            "test_accuracy": 0.9895,
            "validation_accuracy": 0.9898,
            "test_accuracy_mean": 0.98964,
            "test_accuracy_sd": 0.000439,
        },
        measured="recipe default, 55000 training images, end of training, "
        "official test set; seed 4, the median of 5 by validation accuracy; "
        "torch 2.13.0+cpu, AMD EPYC, "
        "1 threads",
        temperature=1.240713,
        threshold=0.611552,
    ),
    further_weights=(
        Weights(
            file="mnistnet-fashion-mnist.safetensors",
            sha256="c491d8731d3f8b8274037ee3c1a7dd38b087d742af88653ecc7f174587c738f1",
            metrics={
                "test_accuracy": 0.8801,
                "validation_accuracy": 0.8808,
                "test_accuracy_mean": 0.881767,
                "test_accuracy_sd": 0.002887,
            },
            measured="recipe default, 55000 images of fashion-mnist, end of training; seed 2, the "
            "median of 3 by validation accuracy; torch 2.13.0+cpu, AMD EPYC",
            dataset="fashion-mnist",
            temperature=1.038789,
            threshold=0.359326,
        ),
    ),
    tags=("dense",),
    license="MIT",
    source="the published MNISTNet: 97.35 % after 5 epochs",
    empty_batch=True,
)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register MNISTNet."""
    register(SPEC)
