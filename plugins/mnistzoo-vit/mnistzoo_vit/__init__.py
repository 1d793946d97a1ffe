"""Registers a vision transformer with mnistzoo; imports no torch."""

from collections.abc import Callable

from mnistzoo import ModelSpec, Recipe, hookimpl

SPEC = ModelSpec(
    name="vit",
    summary="Vision transformer: 16 patches of 7x7, 4 blocks of attention, width 64",
    factory="mnistzoo_vit.model:VisionTransformer",
    num_params=138_890,
    recipes={
        "default": Recipe(
            epochs=15,
            batch_size=128,
            optimizer="adamw",
            learning_rate=0.002,
            weight_decay=0.05,
            schedule="one-cycle",
            rotation=8,
            scale=0.08,
            shift=1,
            shear=8,
            threads=1,
        )
    },
    tags=("transformer", "attention"),
    license="MIT",
    source="after Dosovitskiy et al. 2020, arXiv 2010.11929",
)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the vision transformer."""
    register(SPEC)
