"""Registers k nearest neighbours with mnistzoo; imports neither torch nor scikit-learn."""

from collections.abc import Callable

from mnistzoo import ModelSpec, Weights, hookimpl

SPEC = ModelSpec(
    name="neighbours",
    summary="8 nearest neighbours among 55,000 stored images, 50 principal components each",
    factory="mnistzoo_neighbours.model:Neighbours",
    # Nearly all of them are the stored images: 55,000 x 50, one byte each.
    num_params=2_844_984,
    weights=Weights(
        file="neighbours.safetensors",
        sha256="c4202a5fcf6ebc86b5119dd6828b2d0164cf26b4b5fcfab5b5e68045ff7626b7",
        metrics={"test_accuracy": 0.9752, "validation_accuracy": 0.982},
        measured="fitted to 55000 training images, official test set; scikit-learn 1.9.1",
        temperature=0.863528,
        threshold=0.52593,
    ),
    tags=("classic", "scikit-learn"),
    expected_failures={
        "onnx": "scikit-learn computes it, and the exporter follows torch modules only"
    },
    license="MIT AND CC-BY-SA-3.0",
    source="after Cover and Hart 1967, Nearest neighbor pattern classification, IEEE Trans. "
    "Information Theory 13(1), and LeCun et al. 1998, Proc. IEEE 86(11), doi:10.1109/5.726791",
)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register k nearest neighbours."""
    register(SPEC)
