"""Registers a residual net with mnistzoo; imports no torch."""

from collections.abc import Callable

from mnistzoo import ModelSpec, Recipe, Weights, hookimpl

SPEC = ModelSpec(
    name="resnet",
    summary="Residual net for 28x28: 5x5 stem, blocks of 64, 128 and 224 channels",
    factory="mnistzoo_resnet.model:ResNet",
    num_params=1_030_634,
    recipes={
        "default": Recipe(
            epochs=14,
            batch_size=128,
            optimizer="adamw",
            learning_rate=0.004,
            weight_decay=0.05,
            schedule="one-cycle",
            rotation=10,
            scale=0.1,
            shift=2,
            shear=10,
            elastic=0.5,
            precision="bfloat16",
            threads=1,
        )
    },
    weights=Weights(
        file="resnet.safetensors",
        sha256="b7045d368e2bdbe5acbe98570d593c8c9a76761f9dc273746b02810bfd99df8d",
        metrics={
            "test_accuracy": 0.9967,
            "validation_accuracy": 0.996,
            "test_accuracy_mean": 0.996867,
            "test_accuracy_sd": 0.000666,
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
