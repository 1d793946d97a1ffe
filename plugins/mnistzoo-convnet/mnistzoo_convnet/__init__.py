"""Registers MNISTConvNet with mnistzoo; imports no torch."""

from collections.abc import Callable

from mnistzoo import Augmentation, ModelSpec, Recipe, Weights, hookimpl

# As published: 5 epochs of Adam gave more than 99 % on the test set.
_PUBLISHED = Recipe(epochs=5, batch_size=64, optimizer="adam", learning_rate=0.001)

_DEFAULT = Recipe(
    epochs=20,
    batch_size=128,
    optimizer="adamw",
    learning_rate=0.003,
    weight_decay=0.05,
    schedule="one-cycle",
    augmentation=Augmentation(rotation=10, scale=0.1, shift=1, shear=10, elastic=0.5),
    precision="bfloat16",
    threads=1,
)

SPEC = ModelSpec(
    name="mnistconvnet",
    aliases=("conv", "cnn"),
    summary="Two 3x3 convolutions (32, 64), dense 128, dropout 0.5",
    factory="mnistzoo_convnet.model:MNISTConvNet",
    num_params=421_642,
    recipes={"default": _DEFAULT, "reference": _PUBLISHED},
    weights=Weights(
        file="mnistconvnet.safetensors",
        sha256="f5378a912c5b257ef97a96fd80e38428d735fbd77b92749a1c83e11978b9bf8a",
        metrics={
            "test_accuracy": 0.9962,
            "validation_accuracy": 0.9954,
            "test_accuracy_mean": 0.996,
            "test_accuracy_sd": 0.000464,
        },
        measured="recipe default, 55000 training images, end of training, "
        "official test set; seed 1, the median of 5 by validation accuracy; "
        "torch 2.13.0+cpu, AMD EPYC, "
        "1 threads",
        temperature=1.439517,
        threshold=0.823477,
    ),
    further_weights=(
        Weights(
            file="mnistconvnet-fashion-mnist.safetensors",
            sha256="aca04d229f24ba5001c9359ec1e14458e230aafd18f863f4dcc55b07cded4b21",
            metrics={
                "test_accuracy": 0.9124,
                "validation_accuracy": 0.9178,
                "test_accuracy_mean": 0.913933,
                "test_accuracy_sd": 0.003099,
            },
            measured="recipe default, 55000 images of fashion-mnist, end of training; seed 2, the "
            "median of 3 by validation accuracy; torch 2.13.0+cpu, AMD EPYC",
            dataset="fashion-mnist",
            temperature=1.03601,
            threshold=0.429225,
        ),
    ),
    tags=("convolutional",),
    license="MIT",
    source="the published MNISTConvNet: more than 99 %",
)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register MNISTConvNet."""
    register(SPEC)
