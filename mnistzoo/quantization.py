"""ONNX models in int8: static quantisation, calibrated on images."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnistzoo.onnx_runtime import import_onnxruntime

if TYPE_CHECKING:
    import onnx


def quantise(model: "onnx.ModelProto", images: NDArray[np.float32]) -> "onnx.ModelProto":
    """Return a model whose weights and activations are int8 between QuantizeLinear nodes (QDQ).

    Weights have seven bits and a scale for each output channel. The ranges of activations are the
    least and the greatest value that the images give.

    Args:
        model: in float32, with one input.
        images: float32 ``(N, 1, 28, 28)``, 0 to 1, to calibrate with; none of the test set.
    """
    import onnx

    import_onnxruntime()
    from onnxruntime import quantization

    (name,) = (each.name for each in model.graph.input)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "int8.onnx")
        quantization.quantize_static(
            model,
            path,
            _Images(name, images),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            # Seven bits: the sums of eight-bit products saturate on processors without VNNI.
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        return onnx.load(path)


class _Images:
    """Hands the images to the calibration, one batch after the other."""

    def __init__(self, name: str, images: NDArray[np.float32]) -> None:
        self._batches = iter(np.array_split(images, max(1, len(images) // 64)))
        self._name = name

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._batches, None)
        return None if batch is None else {self._name: batch}
