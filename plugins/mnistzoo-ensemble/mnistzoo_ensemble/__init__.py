"""Registers an ensemble of other models with mnistzoo; imports no torch."""

from collections.abc import Callable

from mnistzoo import ModelSpec, hookimpl

SPEC = ModelSpec(
    name="ensemble",
    summary="Mean of the logits of resnet, mnistconvnet and tiny7k",
    factory="mnistzoo_ensemble.model:Ensemble",
    num_params=1_030_634 + 421_642 + 7_546,
    members=("resnet", "mnistconvnet", "tiny7k"),
    metrics={"test_accuracy": 0.9969},
    measured="evaluated with the members' shipped weights, official test set; torch 2.13.0, CPU",
    tags=("convolutional", "ensemble"),
    license="MIT",
    source="after Hansen and Salamon 1990, Neural network ensembles",
)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the ensemble."""
    register(SPEC)
