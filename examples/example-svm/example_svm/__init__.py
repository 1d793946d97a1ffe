"""Registers a support vector machine: a function of its own trains it, no loop of torch's."""

from collections.abc import Callable

from mnistzoo import ModelSpec, hookimpl


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the machine."""
    register(
        ModelSpec(
            name="svm",
            summary="Support vector machine with a Gaussian kernel",
            factory="example_svm.model:svm",
            num_params=None,  # as many as it keeps support vectors
            arguments={"C": 5.0},
            fit="example_svm.model:fit",
            license="MIT",
            source="after Cortes and Vapnik 1995, Machine Learning 20(3)",
        )
    )
