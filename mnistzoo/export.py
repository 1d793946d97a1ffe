"""Models as ONNX files, none of which is written before it agrees with PyTorch."""

import contextlib
import io
import json
import logging
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mnistzoo._version import __version__
from mnistzoo.data import Dataset, Split, load_dataset
from mnistzoo.errors import MnistzooError, describe, reason
from mnistzoo.evaluation import Evaluation
from mnistzoo.files import check_replaceable, replacing
from mnistzoo.inference import BATCH_SIZE, predict_logits
from mnistzoo.inputs import as_input
from mnistzoo.measure import median_us
from mnistzoo.models import load_model
from mnistzoo.provenance import environment
from mnistzoo.quantization import quantise
from mnistzoo.registry import Registration, get_registration
from mnistzoo.runtime import Predictor
from mnistzoo.warning_filters import warnings_kept_back

if TYPE_CHECKING:
    import onnx

# Of the largest logit. What was measured of the shipped models is a hundredth of it.
_TOLERANCE = 1e-4
_BATCHES = (1, 3, 256)
_CALIBRATION_IMAGES = 512
_MOST_INT8_LOSS = 0.001  # accuracy, 0 to 1


class ExportError(MnistzooError):
    """A model cannot be exported, or what came out does not agree with PyTorch."""


@dataclass(frozen=True)
class OnnxFigures:
    """What was measured of an ONNX model on the 10,000 test images.

    Attributes:
        file_bytes: size of the file.
        accuracy: 0 to 1.
        max_difference: of its logits from PyTorch's, absolute.
        changed: images for which it predicts another digit than PyTorch.
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
        fp32: figures of the model in float32.
        int8: figures of the quantised model, if it is what was written.
        processor: that the latencies were measured on.
        versions: of what they were measured with.
    """

    model: str
    path: str
    opset: int
    fp32: OnnxFigures
    int8: OnnxFigures | None
    processor: str
    versions: dict[str, str]


def export_onnx(
    name: str,
    path: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    int8: bool = False,
    force: bool = False,
) -> Export:
    """Write a model as one ONNX file, once it is proved to predict what PyTorch predicts.

    Its input is ``image``, float32 ``(batch, 1, 28, 28)``, 0 (paper) to 1 (ink), its output
    ``logits``, float32 ``(batch, 10)``. All 10,000 test images, which ship with mnistzoo, go
    through it and through PyTorch; no prediction may differ.

    Args:
        name: of the model, or an alias.
        path: of the file; what was there is replaced.
        weights: instead of the shipped ones; see :func:`mnistzoo.load_model`.
        int8: quantise it, calibrated on 512 of the shipped training images. Then predictions may
            differ, but accuracy may fall by 0.1 points at most.
        force: write the quantised model whatever its accuracy.

    Raises:
        ModelError: if the model cannot be created or has no weights.
        WeightsError: if the weights are not what they should be.
        ExportError: if the model cannot be exported, disagrees with PyTorch, or loses too much in
            int8; nothing is written then. Where its plugin declares why, that is the reason.
        OSError: if the file cannot be written.
    """
    registration = get_registration(name)
    if declared := registration.spec.expected_failures.get("onnx"):
        raise ExportError(f"model {registration.spec.name!r} cannot be exported: {declared}")
    check_replaceable(path)
    converted = convert(load_model(name, weights), registration, own_weights=weights is not None)
    return _written(converted, path, int8=int8, force=force)


@dataclass(frozen=True)
class Converted:
    """A model as ONNX that predicts what PyTorch predicts.

    Attributes:
        proto: the model in ONNX.
        facts: what the file says of itself.
        content: of the file.
        logits: of the test images, float32 ``(10000, 10)``, under ONNX Runtime.
        reference: the same under PyTorch.
    """

    proto: "onnx.ModelProto"
    facts: dict[str, str]
    content: bytes
    logits: NDArray[np.float32]
    reference: NDArray[np.float32]


def convert(
    model: nn.Module,
    registration: Registration,
    *,
    own_weights: bool,
    reference: NDArray[np.float32] | None = None,
) -> Converted:
    """Turn a registered model that is loaded already into ONNX, and prove that both agree.

    Args:
        model: in evaluation mode.
        registration: of it.
        own_weights: whether it has others than those that its plugin ships.
        reference: its logits of the 10,000 test images, where they are known.

    Raises:
        ExportError: if it cannot be converted, or disagrees with PyTorch.
        EvaluationError: if PyTorch gives no logits ``(10000, 10)``, or NaN.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(package) is None:
            raise ExportError(f"exporting needs {package}; `pip install {package}`")
    name = registration.spec.name
    # Ships with mnistzoo: there is always something to check against, and to calibrate with.
    data = load_dataset("mnist-10k")
    proto = _to_onnx(model, name)
    if reference is None:
        reference = _reference(model, name, data.test)
    Evaluation.from_logits(reference, data.test.labels)  # refuses other shapes, NaN and infinity
    facts = _facts(registration, data, own_weights=own_weights)
    allowed = _TOLERANCE * float(np.abs(reference).max())
    content, logits = _content(proto, facts, data.test, allowed)
    _require_agreement(name, reference, logits)
    return Converted(proto, facts, content, logits, reference)


def _written(
    converted: Converted, path: str | os.PathLike[str], *, int8: bool, force: bool
) -> Export:
    """Measure the file, quantise it if asked to, and write it."""
    data = load_dataset("mnist-10k")
    name, proto, content = converted.facts["model"], converted.proto, converted.content
    fp32 = _figures(content, data.test, converted.logits, converted.reference)
    quantised = None
    if int8:
        proto = _to_int8(proto, name, data.train)
        facts = converted.facts | {"precision": "int8, static, QDQ"}
        # The last bit of a float may move a logit by a step: batches are not compared.
        content, logits = _content(proto, facts, data.test, math.inf)
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
        fp32=fp32,
        int8=quantised,
        processor=machine["processor"],
        versions=machine["versions"],
    )


def _reference(model: nn.Module, name: str, test: Split) -> NDArray[np.float32]:
    """Return PyTorch's logits of the test images."""
    try:
        return predict_logits(model, test.tensors()[0]).numpy()
    except Exception as error:
        raise ExportError(
            f"model {name!r} gives no logits under PyTorch itself: {reason(error)}"
        ) from error


def _to_onnx(model: nn.Module, name: str) -> "onnx.ModelProto":
    """Return the model in ONNX, batch norms folded, the batch of any size."""
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    model = model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    try:
        with _quiet():
            program = torch.onnx.export(
                model,
                # Two images: of a batch of one the exporter would take the size for a constant.
                (torch.zeros(2, 1, 28, 28),),
                dynamo=True,
                verbose=False,
                input_names=["image"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                external_data=False,
            )
            assert program is not None
            # With each node stand its lines of Python: the folders of whoever exports, and in a
            # small net more than half of the file.
            ClearMetadataAndDocStringPass()(program.model)
            proto = program.model_proto
    except Exception as error:
        raise ExportError(f"model {name!r} cannot be exported: {_reason(error)}") from error
    if not proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise ExportError(
            f"model {name!r} cannot be exported: its forward() fixes the number of images, as "
            "len(images) or reshape(2, 784) do; write images.shape[0], or -1"
        )
    _unfold_batch_norms(proto)
    return proto


def _unfold_batch_norms(proto: "onnx.ModelProto") -> None:
    """Replace each batch norm that follows nothing to fold it into by its product and its sum."""
    from onnx import helper, numpy_helper

    constants = {each.name: numpy_helper.to_array(each) for each in proto.graph.initializer}
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    for node in nodes:
        if node.op_type != "BatchNormalization":
            proto.graph.node.append(node)
            continue
        features, (output,) = node.input[0], node.output
        weight, bias, mean, variance = (constants[name] for name in node.input[1:])
        epsilon = next((each.f for each in node.attribute if each.name == "epsilon"), 1e-5)
        scale = weight / np.sqrt(variance + epsilon)
        axes = (-1, *[1] * (_rank(proto, features) - 2))
        for name, values in ((f"{output}_scale", scale), (f"{output}_shift", bias - mean * scale)):
            initializer = numpy_helper.from_array(values.astype(np.float32).reshape(axes), name)
            proto.graph.initializer.append(initializer)
        proto.graph.node.extend(
            [
                helper.make_node("Mul", [features, f"{output}_scale"], [f"{output}_scaled"]),
                helper.make_node("Add", [f"{output}_scaled", f"{output}_shift"], [output]),
            ]
        )


def _rank(proto: "onnx.ModelProto", name: str) -> int:
    for each in (*proto.graph.value_info, *proto.graph.input):
        if each.name == name:
            return len(each.type.tensor_type.shape.dim)
    return 4


def _to_int8(proto: "onnx.ModelProto", name: str, train: Split) -> "onnx.ModelProto":
    try:
        with _quiet():
            return quantise(proto, as_input(train.images[:_CALIBRATION_IMAGES]))
    except OSError:
        raise
    except Exception as error:
        raise ExportError(
            f"model {name!r} cannot be quantised: {describe(error)}; export it without int8"
        ) from error


def _reason(error: BaseException) -> str:
    while error.__cause__ is not None:  # the exporter's own errors only say where they came from
        error = error.__cause__
    if operation := re.search(r"No ONNX function found for <OpOverload\(op='([^']+)'", str(error)):
        return f"ONNX has nothing for its operation {operation[1]}; use others in its forward()"
    first_line = str(error).strip().partition("\n")[0]
    return f"torch.export cannot follow its forward() ({type(error).__name__}: {first_line})"


def _facts(registration: Registration, data: Dataset, own_weights: bool) -> dict[str, str]:
    """Return what the file is to say of itself."""
    spec, plugin = registration.spec, registration.plugin
    measured = spec.measured if spec.weights is None else spec.weights.measured
    return {
        "model": spec.name,
        "summary": spec.summary,
        "plugin": plugin.provider,
        "license": spec.license,
        "source": spec.source,
        "labels": json.dumps([str(digit) for digit in range(10)]),
        "input": "image: float32 (batch, 1, 28, 28), 0 (paper) to 1 (ink)",
        "precision": "float32",
        "weights": "a file of the user" if own_weights else "shipped with the plugin",
        "declared_metrics": json.dumps({} if own_weights else dict(spec.declared_metrics)),
        "measured": "" if own_weights else measured,
        "test_data_sha256": json.dumps(
            {file: sha256 for file, sha256 in data.checksums.items() if file.startswith("t10k")}
        ),
        "exported_with": f"mnistzoo {__version__}, torch {torch.__version__}",
    }


def _content(
    proto: "onnx.ModelProto", facts: Mapping[str, str], test: Split, allowed: float
) -> tuple[bytes, NDArray[np.float32]]:
    """Return the file's content, valid ONNX, and its logits of the test images.

    Logits of an image in batches of other sizes may differ by ``allowed``.
    """
    import onnx

    logits = _logits(proto.SerializeToString(), test.images, facts["model"], allowed)
    del proto.metadata_props[:]
    for key, value in {**facts, "test_accuracy": f"{_accuracy(logits, test)}"}.items():
        proto.metadata_props.add(key=key, value=value)
    content = proto.SerializeToString()
    try:
        onnx.checker.check_model(content, full_check=True)
    except Exception as error:
        raise ExportError(
            f"model {facts['model']!r} became ONNX that is not valid: {describe(error)}"
        ) from error
    return content, logits


def _figures(
    content: bytes, test: Split, logits: NDArray[np.float32], reference: NDArray[np.float32]
) -> OnnxFigures:
    predictor = Predictor(content)
    one, batch = (as_input(test.images[:size]) for size in (1, 256))
    return OnnxFigures(
        file_bytes=len(content),
        accuracy=_accuracy(logits, test),
        max_difference=float(np.abs(logits - reference).max()),
        changed=int((logits.argmax(1) != reference.argmax(1)).sum()),
        latency_us=median_us(lambda: predictor.logits(one)),
        latency_256_us=median_us(lambda: predictor.logits(batch)),
    )


def _accuracy(logits: NDArray[np.float32], test: Split) -> float:
    return float((logits.argmax(1) == test.labels).mean())


def _logits(
    content: bytes, images: NDArray[np.uint8], name: str, allowed: float
) -> NDArray[np.float32]:
    """Return the logits of all images, the same whatever the size of the batch."""
    inputs = as_input(images)
    try:
        predictor = Predictor(content)
        logits = np.concatenate(
            [
                predictor.logits(inputs[start : start + BATCH_SIZE])
                for start in range(0, len(inputs), BATCH_SIZE)
            ]
        )
        few = {size: predictor.logits(inputs[:size]) for size in _BATCHES}
    except Exception as error:  # ONNX Runtime's classes have no common ancestor
        raise ExportError(
            f"model {name!r} does not run under ONNX Runtime with every size of batch: "
            f"{describe(error.__cause__ or error)}"
        ) from error
    for size, some in few.items():
        if not np.abs(some - logits[:size]).max() <= allowed:
            raise ExportError(
                f"model {name!r} as ONNX gives other logits in a batch of {size} than of "
                f"{BATCH_SIZE}; its forward() must treat each image by itself"
            )
    return logits


def _require_agreement(
    name: str, reference: NDArray[np.float32], logits: NDArray[np.float32]
) -> None:
    difference = np.abs(logits - reference).max(axis=1)
    allowed = _TOLERANCE * np.abs(reference).max()
    wrong = ((logits.argmax(1) != reference.argmax(1)) | ~(difference <= allowed)).nonzero()[0]
    if len(wrong):
        listed = ", ".join(map(str, wrong[:10])) + (" ..." if len(wrong) > 10 else "")
        raise ExportError(
            f"model {name!r} as ONNX disagrees with PyTorch on {len(wrong)} test images "
            f"({listed}; logits differ by up to {difference.max():.2g}, {allowed:.2g} is allowed), "
            "so nothing was written"
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter and the quantiser print, log and warn of from the user."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings_kept_back(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            yield
    finally:
        logging.disable(disabled)
