"""Registers an ensemble with mnistzoo; imports no torch."""

from collections.abc import Callable

from mnistzoo import ModelSpec, Weights, hookimpl

SPEC = ModelSpec(
    name="ensemble",
    summary="Mean of the probabilities of five seeds of resnet_small",
    factory="mnistzoo_ensemble.model:Ensemble",
    num_params=5 * 421_794,
    weights=Weights(
        file="ensemble.safetensors",
        sha256="7d1210203aecb19af445d6c7380495b2cb874400ee663b03544b11a53fc1a959",
        metrics={"test_accuracy": 0.9978},
        measured="seeds 0 to 4 of resnet_small, recipe default, 60000 training images each, "
        "end of training, official test set",
    ),
    tags=("convolutional", "ensemble"),
    license="MIT",
    source="after Hansen and Salamon 1990, Neural network ensembles",
)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the ensemble."""
    register(SPEC)
