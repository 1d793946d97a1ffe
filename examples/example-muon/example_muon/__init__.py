"""Registers a net that two optimizers train: Muon its matrices, AdamW the rest."""

from collections.abc import Callable

from mnistzoo import ModelSpec, Recipe, hookimpl


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the net."""
    register(
        ModelSpec(
            name="muon",
            summary="One hidden layer of 64 units, trained by Muon and AdamW",
            factory="example_muon.model:net",
            num_params=50_890,
            fit="example_muon.model:fit",
            recipes={
                "default": Recipe(
                    epochs=5,
                    batch_size=64,
                    optimizer="torch.optim:Muon",
                    learning_rate=0.01,
                    schedule="constant",
                )
            },
            license="MIT",
            source="Muon after Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/",
        )
    )
