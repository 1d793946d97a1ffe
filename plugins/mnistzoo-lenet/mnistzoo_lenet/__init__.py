"""Registers LeNet-5 with mnistzoo; imports no torch."""

from collections.abc import Callable

from mnistzoo import Augmentation, ModelSpec, Recipe, Weights, hookimpl

SPEC = ModelSpec(
    name="lenet5",
    summary="LeNet-5: two 5x5 convolutions with tanh and average pooling, dense 120-84-10",
    factory="mnistzoo_lenet.model:LeNet5",
    num_params=61_706,
    recipes={
        "default": Recipe(
            epochs=20,
            batch_size=128,
            optimizer="adamw",
            learning_rate=0.005,
            schedule="one-cycle",
            augmentation=Augmentation(rotation=8, scale=0.08, shift=1, shear=8),
            threads=1,
        )
    },
    weights=Weights(
        file="lenet5.safetensors",
        sha256="68d7ae96cee09b5c4852b114cd50720d5c210cac8dae8f0c09330fb4e6cd6cb0",
        metrics={
            "test_accuracy": 0.9925,
            "validation_accuracy": 0.9924,
            "test_accuracy_mean": 0.99254,
            "test_accuracy_sd": 0.000518,
        },
        measured="recipe default, 55000 training images, end of training, "
        "official test set; seed 0, the median of 5 by validation accuracy; "
        "torch 2.13.0+cpu, AMD EPYC, "
        "1 threads",
        temperature=1.187872,
        threshold=0.769526,
    ),
    tags=("convolutional", "classic"),
    aliases=("lenet",),
    license="MIT",
    source="LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document "
    "recognition, Proc. IEEE 86(11), doi:10.1109/5.726791",
)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register LeNet-5."""
    register(SPEC)
