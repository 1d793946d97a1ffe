"""Registers LeNet-5 with mnistzoo; imports no torch."""

from collections.abc import Callable

from mnistzoo import ModelSpec, Recipe, hookimpl

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
            rotation=8,
            scale=0.08,
            shift=1,
            shear=8,
            threads=1,
        )
    },
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
