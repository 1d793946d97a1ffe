"""Registers a vision transformer with mnistzoo; imports no torch."""

from collections.abc import Callable

from mnistzoo import Augmentation, ModelSpec, Recipe, Weights, hookimpl

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
            augmentation=Augmentation(rotation=8, scale=0.08, shift=1, shear=8),
            threads=1,
        )
    },
    weights=Weights(
        file="vit.safetensors",
        sha256="8aac2f83fc3f97e33865735ad4d75f88ed47513d0621e4b0ca03a0657d008e2e",
        metrics={
            "test_accuracy": 0.9912,
            "validation_accuracy": 0.992,
            "test_accuracy_mean": 0.99166,
            "test_accuracy_sd": 0.000404,
        },
        measured="recipe default, 55000 training images, end of training, "
        "official test set; seed 1, the median of 5 by validation accuracy; "
        "torch 2.13.0+cpu, AMD EPYC, "
        "1 threads",
        temperature=1.039711,
        threshold=0.787061,
    ),
    tags=("transformer", "attention"),
    license="MIT",
    source="after Dosovitskiy et al. 2020, arXiv 2010.11929",
)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the vision transformer."""
    register(SPEC)
