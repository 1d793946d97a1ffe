"""Registers a data set of 26 classes, which lies in this package, and a net for it."""

from collections.abc import Callable

from mnistzoo import DataFile, DatasetSpec, ModelSpec, Recipe, hookimpl

CHECKSUMS = {
    "train-images-idx3-ubyte": "5af170195d569d065966cfe5df87b861bc99c6c08f89a9c7a5d74bf65851a4c9",
    "train-labels-idx1-ubyte": "011b00b81e6ca0bcc219579c5b157c6f9b4a27684656ac92467df2a5b1238344",
    "t10k-images-idx3-ubyte": "ba3c0ad8e87d529075e0e08313ea38a0a90a12a0523028a29d1e13dca9507da2",
    "t10k-labels-idx1-ubyte": "7e350a95a829c70427ca49aea38ef38392de5541adbb83f2583d185f5fa58cbe",
}
FILES = tuple(DataFile(name, f"sha256:{checksum}") for name, checksum in CHECKSUMS.items())


@hookimpl
def register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """Register the letters."""
    register(
        DatasetSpec(
            name="example-letters",
            summary="Letters of the font in Pillow, turned, moved and scaled",
            classes=tuple("abcdefghijklmnopqrstuvwxyz"),
            train=FILES[:2],
            test=FILES[2:],
            train_images=26 * 26,
            test_images=26 * 8,
            validation_size=26 * 3,
            folders=("example_letters:data",),
            license="MIT",
            source="example_letters/draw.py",
        )
    )


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the net, which takes any number of classes."""
    register(
        ModelSpec(
            name="letters_net",
            summary="One hidden layer of 64 units",
            factory="example_letters.model:net",
            num_params=50_890,  # of ten classes
            recipes={
                "default": Recipe(epochs=20, batch_size=32, optimizer="adamw", learning_rate=0.003)
            },
            license="MIT",
            source="an example of mnistzoo",
        )
    )
