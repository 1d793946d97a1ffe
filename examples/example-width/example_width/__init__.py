"""Registers one net at two widths: ``create_model("wide", width=32)`` makes another."""

from collections.abc import Callable

from mnistzoo import ModelSpec, Recipe, hookimpl

RECIPE = Recipe(epochs=5, batch_size=64, optimizer="adamw", learning_rate=0.003)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register both."""
    for name, width, num_params in (("narrow", 16, 12_730), ("wide", 64, 50_890)):
        register(
            ModelSpec(
                name=name,
                summary=f"One hidden layer of {width} units",
                factory="example_width.model:net",
                arguments={"width": width},
                num_params=num_params,
                recipes={"default": RECIPE},
                license="MIT",
                source="an example of mnistzoo",
            )
        )
