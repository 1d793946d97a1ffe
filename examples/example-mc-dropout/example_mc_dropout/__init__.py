"""Registers a net whose dropout stays on: it is evaluated several times, from seeds."""

from collections.abc import Callable

from mnistzoo import ModelSpec, Recipe, hookimpl


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the net."""
    register(
        ModelSpec(
            name="mc_dropout",
            summary="Two layers with a dropout that stays on in evaluation",
            factory="example_mc_dropout.model:MCDropout",
            num_params=101_770,
            stochastic=True,
            recipes={
                "default": Recipe(epochs=5, batch_size=64, optimizer="adam", learning_rate=0.001)
            },
            license="MIT",
            source="after Gal and Ghahramani 2016, arXiv 1506.02142",
        )
    )
