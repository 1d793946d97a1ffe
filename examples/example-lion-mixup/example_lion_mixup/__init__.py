"""Registers a net that is trained by another optimizer, on blends of images and of labels."""

from collections.abc import Callable

from mnistzoo import Augmentation, ModelSpec, Recipe, hookimpl


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the net."""
    register(
        ModelSpec(
            name="lion_mixup",
            summary="Two convolutions, trained by Lion on mixup",
            factory="example_lion_mixup.model:net",
            num_params=9_098,
            recipes={
                "default": Recipe(
                    epochs=10,
                    batch_size=64,
                    optimizer="lion_pytorch:Lion",
                    optimizer_arguments={"betas": (0.9, 0.99)},
                    learning_rate=0.001,
                    schedule="one-cycle",
                    augmentation=Augmentation(
                        function="example_lion_mixup.model:mixup", arguments={"alpha": 0.2}
                    ),
                )
            },
            license="MIT",
            source="Lion after Chen et al. 2023, arXiv 2302.06675; mixup after Zhang et al. 2018, "
            "arXiv 1710.09412",
        )
    )
