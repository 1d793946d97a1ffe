"""Registers a net that trains in seconds with mnistzoo; imports no torch."""

from collections.abc import Callable

from mnistzoo import ModelSpec, Recipe, hookimpl

SPEC = ModelSpec(
    name="sprint",
    summary="Four convolutions, three with stride 2, trained in one pass over the images",
    factory="mnistzoo_sprint.model:Sprint",
    num_params=57_050,
    recipes={
        "default": Recipe(
            epochs=1,
            batch_size=128,
            optimizer="adamw",
            learning_rate=0.01,
            weight_decay=0.01,
            schedule="one-cycle",
            precision="bfloat16",
            threads=2,
        )
    },
    tags=("convolutional", "fast to train"),
    license="MIT",
    source="strided convolutions in place of pooling: Springenberg et al. 2014, arXiv 1412.6806",
)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the net."""
    register(SPEC)
