"""Registers a capsule network: its margin and reconstruction losses see the labels."""

from collections.abc import Callable

from mnistzoo import ModelSpec, Recipe, hookimpl


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the network."""
    register(
        ModelSpec(
            name="capsules",
            summary="Capsules with dynamic routing, trained to reconstruct the digit",
            factory="example_capsules.model:Capsules",
            num_params=71536,
            recipes={
                "default": Recipe(epochs=5, batch_size=64, optimizer="adam", learning_rate=0.003)
            },
            license="MIT",
            source="after Sabour, Frosst and Hinton 2017, arXiv 1710.09829",
        )
    )
