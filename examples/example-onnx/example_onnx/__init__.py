"""Registers a model that exists as an ONNX file: it needs no torch."""

from collections.abc import Callable

from mnistzoo import ModelSpec, Weights, hookimpl


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the file."""
    register(
        ModelSpec(
            name="onnx_net",
            summary="A small net, exported to ONNX",
            factory="example_onnx",  # beside this module the file lies
            num_params=1_372,
            weights=Weights(
                file="net.onnx",
                sha256="8e05d85aa93c9171dd42ef5e37c7a04b7ec0ed600c144615b84badbb2e000d01",
                metrics={"test_accuracy": 0.9907},
                measured="tiny1k of mnistzoo-tiny 0.2.0, by mnistzoo export",
            ),
            license="MIT",
            source="mnistzoo export tiny1k",
        )
    )
