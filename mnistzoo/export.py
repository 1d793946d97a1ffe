"""Models as ONNX files, none of which is written before it agrees with PyTorch."""

import json
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from mnistzoo.conversion import Converted, ExportError, accuracy, convert, file_content, quiet
from mnistzoo.data import Dataset, Split, load_dataset
from mnistzoo.errors import describe
from mnistzoo.files import check_replaceable, replacing
from mnistzoo.inputs import as_input
from mnistzoo.measure import median_us
from mnistzoo.models import load_model, weights_of, weights_path
from mnistzoo.provenance import Provenance, environment
from mnistzoo.quantization import quantise
from mnistzoo.registry import get_registration
from mnistzoo.runtime import Predictor
from mnistzoo.spec import DEFAULT_DATASET
from mnistzoo.weights import read_metadata

if TYPE_CHECKING:
    import onnx

__all__ = ["Export", "ExportError", "OnnxFigures", "export_onnx"]

_CALIBRATION_IMAGES = 512
_MOST_INT8_LOSS = 0.001  # accuracy, 0 to 1


@dataclass(frozen=True)
class OnnxFigures:
    """What was measured of an ONNX model on the test images.

    Attributes:
        file_bytes: size of the file.
        accuracy: 0 to 1.
        max_difference: of its logits from PyTorch's, absolute.
        changed: images for which it predicts another class than PyTorch.
        latency_us: for one image under ONNX Runtime with one thread, median.
        latency_256_us: for a batch of 256.
    """

    file_bytes: int
    accuracy: float
    max_difference: float
    changed: int
    latency_us: float
    latency_256_us: float


@dataclass(frozen=True)
class Export:
    """A file that was written.

    Attributes:
        model: its name.
        path: of the file.
        opset: the version of ONNX's operators.
        dataset: whose test images were used.
        images: how many there are.
        fp32: figures of the model in float32.
        int8: figures of the quantised model, if it is what was written.
        processor: that the latencies were measured on.
        versions: of what they were measured with.
    """

    model: str
    path: str
    opset: int
    dataset: str
    images: int
    fp32: OnnxFigures
    int8: OnnxFigures | None
    processor: str
    versions: dict[str, str]


def export_onnx(
    name: str,
    path: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    dataset: str | os.PathLike[str] | Dataset = DEFAULT_DATASET,
    int8: bool = False,
    force: bool = False,
) -> Export:
    """Write a model as one ONNX file, once it is proved to predict what PyTorch predicts.

    Its input is ``image``, float32 ``(batch, 1, 28, 28)``, 0 (paper) to 1 (ink), its output
    ``logits``, float32 ``(batch, C)``, one a class. All test images go through it and through
    PyTorch; no prediction may differ. MNIST's 10,000 ship with mnistzoo. What is known of the
    weights' training goes into its metadata, and comes back as
    :attr:`mnistzoo.Predictor.provenance`.

    Args:
        name: of the model, or an alias.
        path: of the file; what was there is replaced.
        weights: instead of the shipped ones; see :func:`mnistzoo.load_model`.
        dataset: whose classes and test images are used, and on which the shipped weights were
            trained; see :func:`mnistzoo.load_model`.
        int8: quantise it, calibrated on 512 training images. Then predictions may differ, but
            accuracy may fall by 0.1 points at most.
        force: write the quantised model whatever its accuracy.

    Raises:
        DataError: if the data cannot be had.
        ModelError: if the model cannot be created or has no weights.
        WeightsError: if the weights are not what they should be.
        ExportError: if the model cannot be exported, disagrees with PyTorch, or loses too much in
            int8; nothing is written then. Where its plugin declares why, that is the reason.
        OSError: if the file cannot be written.
    """
    registration = get_registration(name)
    if why := registration.spec.not_exportable:
        raise ExportError(f"model {registration.spec.name!r} cannot be exported: {why}")
    check_replaceable(path)
    own_weights = weights is not None
    data = dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    model = load_model(name, weights, data)
    if weights is None and not registration.spec.members:
        shipped = weights_of(registration.spec, data)
        weights = weights_path(registration.spec, shipped)
    if data.name == DEFAULT_DATASET:
        data = load_dataset("mnist-10k")  # the same test images, and training images at hand
    converted = convert(
        model,
        registration,
        own_weights=own_weights,
        provenance=_provenance(weights),
        data=data,
    )
    return _written(converted, data, path, int8=int8, force=force)


def _provenance(weights: str | os.PathLike[str] | None) -> Provenance | None:
    """Return where the weights come from; None where their file does not say, or there is none."""
    if weights is None or not os.fspath(weights).endswith(".safetensors"):
        return None
    try:
        return Provenance.from_json(json.dumps(read_metadata(weights)))
    except ValueError:  # somebody else's weights
        return None


def _written(
    converted: Converted,
    data: Dataset,
    path: str | os.PathLike[str],
    *,
    int8: bool,
    force: bool,
) -> Export:
    """Measure the file, quantise it if asked to, and write it."""
    name, proto, content = converted.metadata["model"], converted.proto, converted.content
    fp32 = _figures(content, data.test, converted.logits, converted.reference)
    quantised = None
    if int8:
        proto = _to_int8(proto, name, data.train)
        metadata = converted.metadata | {"precision": "int8, static, QDQ"}
        # The last bit of a float may move a logit by a step: batches are not compared.
        content, logits = file_content(proto, metadata, data.test, math.inf)
        quantised = _figures(content, data.test, logits, converted.reference)
        lost = round((fp32.accuracy - quantised.accuracy) * len(data.test))  # in whole images
        if lost > _MOST_INT8_LOSS * len(data.test) and not force:
            raise ExportError(
                f"in int8 the accuracy of {name} falls from {100 * fp32.accuracy:.2f} to "
                f"{100 * quantised.accuracy:.2f} %, more than {100 * _MOST_INT8_LOSS:.1f} points, "
                "so nothing was written; --force writes it all the same"
            )
    with replacing(path) as stream:
        stream.write(content)
    machine = environment(torch.device("cpu"))
    return Export(
        name,
        os.fspath(path),
        opset=next(each.version for each in proto.opset_import if not each.domain),
        dataset=data.name,
        images=len(data.test),
        fp32=fp32,
        int8=quantised,
        processor=machine["processor"],
        versions=machine["versions"],
    )


def _to_int8(proto: "onnx.ModelProto", name: str, train: Split) -> "onnx.ModelProto":
    try:
        with quiet():
            return quantise(proto, as_input(train.images[:_CALIBRATION_IMAGES]))
    except OSError:
        raise
    except Exception as error:
        raise ExportError(
            f"model {name!r} cannot be quantised: {describe(error)}; export it without int8"
        ) from error


def _figures(
    content: bytes, test: Split, logits: NDArray[np.float32], reference: NDArray[np.float32]
) -> OnnxFigures:
    predictor = Predictor(content)
    one, batch = (as_input(test.images[:size]) for size in (1, 256))
    return OnnxFigures(
        file_bytes=len(content),
        accuracy=accuracy(logits, test),
        max_difference=float(np.abs(logits - reference).max()),
        changed=int((logits.argmax(1) != reference.argmax(1)).sum()),
        latency_us=median_us(lambda: predictor.logits(one)),
        latency_256_us=median_us(lambda: predictor.logits(batch)),
    )
