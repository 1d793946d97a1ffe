"""Registers a residual net with mnistzoo; imports no torch."""

from collections.abc import Callable

from mnistzoo import ModelSpec, Recipe, hookimpl

SPEC = ModelSpec(
    name="resnet",
    summary="Residual net for 28x28: 5x5 stem, blocks of 64, 128 and 224 channels",
    factory="mnistzoo_resnet.model:ResNet",
    num_params=1_030_634,
    recipes={
        "default": Recipe(
            epochs=8,
            batch_size=128,
            optimizer="adamw",
            learning_rate=0.004,
            weight_decay=0.05,
            schedule="one-cycle",
        )
    },
    tags=("convolutional", "residual"),
    license="MIT",
    source="after He et al. 2015, arXiv 1512.03385",
)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the residual net."""
    register(SPEC)
