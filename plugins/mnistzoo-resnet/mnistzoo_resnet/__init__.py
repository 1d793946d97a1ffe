"""Registers two residual nets with mnistzoo; imports no torch."""

from collections.abc import Callable

from mnistzoo import Augmentation, ModelSpec, Recipe, Weights, hookimpl

# Chosen out of fold on the training images (docs/experiments.md), then trained on all of them.
_RECIPE = Recipe(
    epochs=14,
    batch_size=128,
    optimizer="sgd",
    learning_rate=0.1,
    weight_decay=0.0005,
    schedule="one-cycle",
    label_smoothing=0.05,
    augmentation=Augmentation(rotation=8, scale=0.08, shift=1, shear=5, elastic=0.5),
    precision="bfloat16",
    threads=1,
)

RESNET = ModelSpec(
    name="resnet",
    summary="Residual net at full resolution: 5x5 stem, 64, 128 and 256 channels",
    factory="mnistzoo_resnet.model:resnet",
    num_params=1_148_746,
    recipes={"default": _RECIPE},
    weights=Weights(
        file="resnet.safetensors",
        sha256="42ac7014426cc04cc2527bb3caeb84e703f5bf36dc259b216ee8d5fc3adcc702",
        metrics={
            "test_accuracy": 0.9973,
            "test_accuracy_mean": 0.99736,
            "test_accuracy_sd": 0.000182,
        },
        measured="recipe default, 60000 training images, end of training, "
        "official test set; seed 0, the first of 5; torch 2.11.0+cu130, NVIDIA H200, 1 thread",
    ),
    tags=("convolutional", "residual"),
    license="MIT",
    source="after He et al. 2015, arXiv 1512.03385",
)

RESNET_SMALL = ModelSpec(
    name="resnet_small",
    summary="Residual net at full resolution: 5x5 stem, 40, 80 and 152 channels",
    factory="mnistzoo_resnet.model:resnet_small",
    num_params=421_794,
    recipes={"default": _RECIPE},
    weights=Weights(
        file="resnet_small.safetensors",
        sha256="18d036d1e9e8190870130ba5df0fb4554f87ad947cd67444fd628defdb10c6dc",
        metrics={
            "test_accuracy": 0.9971,
            "test_accuracy_mean": 0.99718,
            "test_accuracy_sd": 0.00021,
        },
        measured="recipe default, 60000 training images, end of training, "
        "official test set; seed 0, the first of 10; torch 2.11.0+cu130, NVIDIA H200, 1 thread",
    ),
    tags=("convolutional", "residual"),
    license="MIT",
    source="after He et al. 2015, arXiv 1512.03385",
)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register both nets."""
    register(RESNET)
    register(RESNET_SMALL)
