"""Registers four very small nets with mnistzoo; imports no torch."""

from collections.abc import Callable

from mnistzoo import Augmentation, ModelSpec, Recipe, Weights, hookimpl

_RECIPE = Recipe(
    epochs=40,
    batch_size=128,
    optimizer="adamw",
    learning_rate=0.02,
    schedule="one-cycle",
    augmentation=Augmentation(rotation=5, scale=0.05, shear=5),
    threads=1,
)

TINY968 = ModelSpec(
    name="tiny968",
    summary="Separable convolutions of 5, 12 and 11 channels; eight views of each image",
    factory="mnistzoo_tiny.model:tiny968",
    num_params=968,
    recipes={"default": _RECIPE},
    weights=Weights(
        file="tiny968.safetensors",
        sha256="773de8d5341333c49798f58dde3430d1f31cffd32a7a6db02d741561147d2b9d",
        metrics={
            "test_accuracy": 0.9898,
            "validation_accuracy": 0.989,
            "test_accuracy_mean": 0.9898,
            "test_accuracy_sd": 0.000892,
        },
        measured="recipe default, 55000 images of mnist, end of training; seed 1, the median "
        "of 5 by validation accuracy; torch 2.13.0+cpu, AMD EPYC",
        temperature=1.010542,
        threshold=0.665045,
    ),
    tags=("convolutional", "small"),
    license="MIT",
    source="depthwise separable convolutions after Howard et al. 2017, arXiv 1704.04861",
)

TINY1K = ModelSpec(
    name="tiny1k",
    summary="Separable convolutions of 8 and 14 channels",
    factory="mnistzoo_tiny.model:tiny1k",
    num_params=1_430,
    recipes={"default": _RECIPE},
    weights=Weights(
        file="tiny1k.safetensors",
        sha256="0ef85b312712a1687a3395a430d6388b5c6001cf992482cba92976902da8b01c",
        metrics={
            "test_accuracy": 0.9907,
            "validation_accuracy": 0.9904,
            "test_accuracy_mean": 0.99018,
            "test_accuracy_sd": 0.001057,
        },
        measured="recipe default, 55000 training images, end of training, "
        "official test set; seed 3, the median of 5 by validation accuracy; "
        "torch 2.13.0+cpu, AMD EPYC, "
        "1 threads",
        temperature=1.249905,
        threshold=0.723386,
    ),
    tags=("convolutional", "small"),
    license="MIT",
    source="depthwise separable convolutions after Howard et al. 2017, arXiv 1704.04861",
)

TINY1K_VIEWS = ModelSpec(
    name="tiny1k_views",
    summary="tiny1k, which looks at each image in eight views",
    factory="mnistzoo_tiny.model:tiny1k_views",
    num_params=1_430,
    recipes={"default": _RECIPE},
    weights=Weights(
        file="tiny1k_views.safetensors",
        sha256="edc07c32c2de15e9997c068019dbd7f20343fe562d3c77acd8aca2cfd04c3175",
        metrics={
            "test_accuracy": 0.9925,
            "validation_accuracy": 0.9918,
            "test_accuracy_mean": 0.9926,
            "test_accuracy_sd": 0.000464,
        },
        measured="recipe default, 55000 images of mnist, end of training; seed 4, the median "
        "of 5 by validation accuracy; torch 2.13.0+cpu, AMD EPYC",
        temperature=1.112083,
        threshold=0.75981,
    ),
    tags=("convolutional", "small"),
    license="MIT",
    source="depthwise separable convolutions after Howard et al. 2017, arXiv 1704.04861",
)

TINY7K = ModelSpec(
    name="tiny7k",
    summary="Separable convolutions of 16, 32 and 40 channels",
    factory="mnistzoo_tiny.model:tiny7k",
    num_params=7_546,
    recipes={
        "default": Recipe(
            epochs=30,
            batch_size=128,
            optimizer="adamw",
            learning_rate=0.02,
            schedule="one-cycle",
            label_smoothing=0.05,
            augmentation=Augmentation(rotation=8, scale=0.08, shift=1, shear=8),
            threads=1,
        )
    },
    weights=Weights(
        file="tiny7k.safetensors",
        sha256="7f4e3ddfb307bf94a015a8973fdfe6f7ffe2774efc88d5bb984ce5212eb0ba0e",
        metrics={
            "test_accuracy": 0.9946,
            "validation_accuracy": 0.995,
            "test_accuracy_mean": 0.99508,
            "test_accuracy_sd": 0.000487,
        },
        measured="recipe default, 55000 training images, end of training, "
        "official test set; seed 3, the median of 5 by validation accuracy; "
        "torch 2.13.0+cpu, AMD EPYC, "
        "1 threads",
        temperature=0.524011,
        threshold=0.885331,
    ),
    tags=("convolutional", "small"),
    license="MIT",
    source="depthwise separable convolutions after Howard et al. 2017, arXiv 1704.04861",
)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the four nets."""
    register(TINY968)
    register(TINY1K)
    register(TINY1K_VIEWS)
    register(TINY7K)
