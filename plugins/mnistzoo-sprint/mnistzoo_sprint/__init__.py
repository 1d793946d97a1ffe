"""Registers a net that trains in seconds with mnistzoo; imports no torch."""

from collections.abc import Callable

from mnistzoo import ModelSpec, Recipe, Weights, hookimpl

SPEC = ModelSpec(
    name="sprint",
    summary="Three convolutions, two with stride 2, trained in one pass over the images",
    factory="mnistzoo_sprint.model:Sprint",
    num_params=33_018,
    recipes={
        "default": Recipe(
            epochs=1,
            batch_size=128,
            optimizer="sgd",
            learning_rate=0.4,
            weight_decay=0.0005,
            schedule="one-cycle",
            label_smoothing=0.05,
            threads=1,
        )
    },
    weights=Weights(
        file="sprint.safetensors",
        sha256="22c20e097f9540333103167fd2da0442d833df4f27a014e8595220db2345d825",
        metrics={
            "test_accuracy": 0.9917,
            "validation_accuracy": 0.9918,
            "test_accuracy_mean": 0.99121,
            "test_accuracy_sd": 0.000595,
        },
        measured="recipe default, 55000 training images, end of training, "
        "official test set; seed 7, the median of 10 by validation accuracy; "
        "torch 2.13.0+cpu, AMD EPYC, "
        "2 threads",
        temperature=0.496849,
        threshold=0.75051,
    ),
    tags=("convolutional", "fast to train"),
    license="MIT",
    source="strided convolutions in place of pooling: Springenberg et al. 2014, arXiv 1412.6806",
)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the net."""
    register(SPEC)
