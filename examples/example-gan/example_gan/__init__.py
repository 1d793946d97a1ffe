"""Registers a net that learns to classify and, at once, to tell images from generated ones."""

from collections.abc import Callable

from mnistzoo import ModelSpec, Recipe, hookimpl


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the net."""
    register(
        ModelSpec(
            name="gan",
            summary="Two hidden layers, trained as a GAN's discriminator and as a classifier",
            factory="example_gan.model:net",
            num_params=133_818,
            fit="example_gan.model:fit",
            recipes={
                "default": Recipe(
                    epochs=10,
                    batch_size=64,
                    optimizer="adam",
                    learning_rate=0.001,
                    schedule="constant",
                )
            },
            license="MIT",
            source="semi-supervised GAN after Salimans et al. 2016, arXiv 1606.03498",
        )
    )
