"""Registers a residual net with mnistzoo; imports no torch."""

from collections.abc import Callable

from mnistzoo import Augmentation, ModelSpec, Recipe, Weights, hookimpl

SPEC = ModelSpec(
    name="resnet",
    summary="Residual net for 28x28: 5x5 stem, blocks of 64, 128 and 224 channels",
    factory="mnistzoo_resnet.model:ResNet",
    num_params=1_030_634,
    recipes={
        "default": Recipe(
            epochs=14,
            batch_size=128,
            optimizer="sgd",
            learning_rate=0.2,
            weight_decay=0.0005,
            schedule="one-cycle",
            label_smoothing=0.05,
            augmentation=Augmentation(rotation=10, scale=0.1, shift=2, shear=10, elastic=0.5),
            precision="bfloat16",
            threads=1,
        )
    },
    weights=Weights(
        file="resnet.safetensors",
        sha256="c01a0476cb600f988d5d3afdc6df682591af9e11a7cf4454f6e230ae3e5fa69e",
        metrics={
            "test_accuracy": 0.9972,
            "validation_accuracy": 0.9966,
            "test_accuracy_mean": 0.9972,
            "test_accuracy_sd": 0.0001,
        },
        measured="recipe default, 55000 training images, end of training, "
        "official test set; seed 0, the median of 3 by validation accuracy; "
        "torch 2.13.0+cpu, AMD EPYC, "
        "1 threads",
    ),
    tags=("convolutional", "residual"),
    license="MIT",
    source="after He et al. 2015, arXiv 1512.03385",
)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the residual net."""
    register(SPEC)
