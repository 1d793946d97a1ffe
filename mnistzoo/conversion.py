"""A PyTorch model as ONNX, proved to agree with it."""

import contextlib
import io
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mnistzoo._version import __version__
from mnistzoo.calibration import Calibration
from mnistzoo.classifier import is_module
from mnistzoo.data import Dataset, Split, load_dataset
from mnistzoo.errors import MnistzooError, describe, reason
from mnistzoo.evaluation import Evaluation
from mnistzoo.inference import BATCH_SIZE, predict_logits
from mnistzoo.inputs import as_input
from mnistzoo.missing import install_command
from mnistzoo.provenance import Provenance
from mnistzoo.registry import Registration
from mnistzoo.runtime import Predictor
from mnistzoo.warning_filters import warnings_kept_back

if TYPE_CHECKING:
    import onnx

# Of the largest logit. What was measured of the shipped models is a hundredth of it.
_TOLERANCE = 1e-4
_BATCHES = (1, 3, 256)


class ExportError(MnistzooError):
    """A model cannot be exported, or what came out does not agree with PyTorch."""


@dataclass(frozen=True)
class Converted:
    """A model as ONNX that predicts what PyTorch predicts.

    Attributes:
        proto: the model in ONNX.
        metadata: what the file says of itself.
        content: of the file.
        logits: of the test images, float32 ``(N, C)``, under ONNX Runtime.
        reference: the same under PyTorch.
    """

    proto: "onnx.ModelProto"
    metadata: dict[str, str]
    content: bytes
    logits: NDArray[np.float32]
    reference: NDArray[np.float32]


def convert(
    model: nn.Module,
    registration: Registration,
    *,
    own_weights: bool,
    provenance: Provenance | None = None,
    data: Dataset | None = None,
    test: Split | None = None,
) -> Converted:
    """Turn a registered model that is loaded already into ONNX, and prove that both agree.

    Args:
        model: in evaluation mode.
        registration: of it.
        own_weights: whether it has others than those that its plugin ships.
        provenance: of its weights, where it is known.
        data: that the model was made for; without it MNIST.
        test: at least 256 images on which both are compared; without it the data's test images.

    Raises:
        ExportError: if it cannot be converted, or disagrees with PyTorch.
        EvaluationError: if PyTorch gives no logits, one a class, or NaN.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(package) is None:
            raise ExportError(f"exporting needs {package}; `{install_command('onnx')}` installs it")
    name = registration.spec.name
    if why := not_followed(model):
        raise ExportError(f"model {name!r} cannot be exported: {why}")
    # Ships with mnistzoo: there is always something to check against, and to calibrate with.
    data = data or load_dataset("mnist-10k")
    test = data.test if test is None else test
    proto = _to_onnx(model, name)
    reference = _reference(model, name, test)
    Evaluation.from_logits(reference, test.labels, test.classes)  # refuses other shapes, and NaN
    metadata = _metadata(registration, data, own_weights=own_weights)
    if provenance is not None:
        metadata["provenance"] = provenance.to_json()
    allowed = _TOLERANCE * float(np.abs(reference).max())
    content, logits = file_content(proto, metadata, test, allowed)
    _require_agreement(name, reference, logits)
    return Converted(proto, metadata, content, logits, reference)


def not_followed(model: Any) -> str:
    """Return why the exporter cannot follow what a factory made; empty if it is a module."""
    if is_module(model):
        return ""
    return f"it is a {type(model).__name__}, and the exporter follows torch modules only"


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
        with quiet():
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


def _reason(error: BaseException) -> str:
    while error.__cause__ is not None:  # the exporter's own errors only say where they came from
        error = error.__cause__
    if operation := re.search(r"No ONNX function found for <OpOverload\(op='([^']+)'", str(error)):
        return f"ONNX has nothing for its operation {operation[1]}; use others in its forward()"
    first_line = str(error).strip().partition("\n")[0]
    return f"torch.export cannot follow its forward() ({type(error).__name__}: {first_line})"


def _metadata(registration: Registration, data: Dataset, own_weights: bool) -> dict[str, str]:
    """Return what the file is to say of itself."""
    spec, plugin = registration.spec, registration.plugin
    shipped, calibration = None, None
    measured, metrics = ("", {}) if own_weights else (spec.measured, spec.metrics)
    if not own_weights:
        shipped = spec.weights_for(data.spec.name) or spec.weights_for(data.spec.weights_from)
    if shipped is not None:
        measured, metrics = shipped.measured, shipped.metrics
        calibration = Calibration.shipped_with(shipped)
    return {
        "model": spec.name,
        "summary": spec.summary,
        "plugin": plugin.provider,
        "license": spec.license,
        "source": spec.source,
        "labels": json.dumps(data.classes),
        "input": "image: float32 (batch, 1, 28, 28), 0 (paper) to 1 (ink)",
        "precision": "float32",
        "weights": "a file of the user" if own_weights else "shipped with the plugin",
        "declared_metrics": json.dumps(dict(metrics)),
        "measured": measured,
        "dataset": shipped.dataset if shipped else data.name,
        "test_data": json.dumps({file.name: file.checksum for file in data.spec.test}),
        "exported_with": f"mnistzoo {__version__}, torch {torch.__version__}",
        **({name: str(each) for name, each in asdict(calibration).items()} if calibration else {}),
    }


def file_content(
    proto: "onnx.ModelProto", metadata: Mapping[str, str], test: Split, allowed: float
) -> tuple[bytes, NDArray[np.float32]]:
    """Return the content of a model's file, valid ONNX, and its logits of the test images.

    Args:
        proto: the model; what it said of itself before is replaced.
        metadata: what the file is to say of itself; ``test_accuracy`` is added.
        test: the test images.
        allowed: difference between an image's logits in batches of different sizes.

    Raises:
        ExportError: if ONNX Runtime does not run it, or it is not valid.
    """
    import onnx

    logits = _logits(proto.SerializeToString(), test.images, metadata["model"], allowed)
    del proto.metadata_props[:]
    for key, value in {**metadata, "test_accuracy": f"{accuracy(logits, test)}"}.items():
        proto.metadata_props.add(key=key, value=value)
    content = proto.SerializeToString()
    try:
        onnx.checker.check_model(content, full_check=True)
    except Exception as error:
        raise ExportError(
            f"model {metadata['model']!r} became ONNX that is not valid: {describe(error)}"
        ) from error
    return content, logits


def accuracy(logits: NDArray[np.float32], test: Split) -> float:
    """Return the share of images, 0 to 1, whose highest logit is that of their label."""
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
def quiet() -> Iterator[None]:
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
