"""ONNX files under ONNX Runtime; needs numpy and onnxruntime, and no torch."""

import json
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from mnistzoo.calibration import UNCALIBRATED, Calibration, softmax
from mnistzoo.errors import MnistzooError, one_line
from mnistzoo.files import expanded
from mnistzoo.inputs import as_input
from mnistzoo.missing import install_command
from mnistzoo.onnx_runtime import (
    OnnxFileError,
    bound_memory,
    import_onnxruntime,
    in_its_words,
    why_not_loaded,
)
from mnistzoo.onnx_strings import uses_strings
from mnistzoo.spec import TEMPERATURE, THRESHOLD

if TYPE_CHECKING:
    from mnistzoo.pictures import Source
    from mnistzoo.prediction import Prediction, Reader
    from mnistzoo.provenance import Provenance

_INPUT_SHAPE = [1, 28, 28]
_MOST_THREADS = 1_024
_MOST_SECONDS = 60  # of the two runs that try out a file


class Predictor:
    """A classifier from an ONNX file, such as ``mnistzoo export`` writes.

    It can be pickled: it keeps the file's bytes, and is opened again from them. Weights in a file
    of their own must then still lie where they lay.

    Args:
        model: path of the file, or its bytes.
        threads: to compute with, 1 to 1,024. One is the fastest for a single image of a small net;
            more help large batches.

    Attributes:
        metadata: what the file says of itself: model, plugin, metrics, licence, labels ...
        labels: the names of the classes; without names in the file their numbers.
        names_classes: whether the file names them.
        calibration: the temperature and the threshold that were shipped with the weights; None
            where the file has none.

    Raises:
        OnnxFileError: if the file is not an ONNX model from images to logits, its temperature or
            threshold is no number in its range, or onnxruntime is not installed or too old for it.
        OSError: if the file cannot be read.
        ValueError: for another number of threads.
    """

    def __init__(self, model: str | os.PathLike[str] | bytes, threads: int = 1) -> None:
        import_onnxruntime()  # that it is missing is said before anything about the file
        if isinstance(model, bytes):
            self._where, self._content, self._folder = "the model", model, ""
        else:
            path = expanded(model)
            self._where = os.fspath(path)
            with path.open("rb") as stream:
                self._content = stream.read()
            self._folder = os.path.dirname(os.path.abspath(path))
        if not 1 <= threads <= _MOST_THREADS:
            raise ValueError(f"threads is {threads}, it must be from 1 to {_MOST_THREADS:,}")
        self._threads = threads
        self._open()

    def _open(self) -> None:
        onnxruntime, where = import_onnxruntime(), self._where
        try:
            trial = self._session_of(onnxruntime, trial=True)
            self._require_signature(trial)
            self._require_numbers()
            self._try(onnxruntime, trial)
            self._session = self._session_of(onnxruntime)
            metadata = self._session.get_modelmeta().custom_metadata_map
        except MnistzooError:
            raise
        except UnicodeDecodeError as error:
            raise OnnxFileError(
                f"{where} has metadata that is not UTF-8; export it again"
            ) from error
        except Exception as error:  # its own classes have no common ancestor
            raise OnnxFileError(
                f"{where} {why_not_loaded(error, onnxruntime.__version__)}"
            ) from error
        self.metadata: Mapping[str, str] = metadata
        named = _labels(metadata, self._classes)
        self.names_classes = named is not None
        self.labels = named or tuple(map(str, range(self._classes)))
        self.calibration = _calibration(metadata, where)

    def _session_of(self, onnxruntime: Any, *, trial: bool = False) -> Any:
        """Return a session; one for a trial gets a bounded memory, and folds no constants before.

        Folding computes them while the file is opened, in memory that nothing bounds.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1 if trial else self._threads
        options.inter_op_num_threads = 1
        # Between two calls a spinning thread would take the core from whoever needs it.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4  # an error is raised; it need not be logged too
        if self._folder:  # of weights that lie in a file beside the model's
            options.add_session_config_entry(
                "session.model_external_initializers_file_folder_path", self._folder
            )
        if trial:
            bound_memory(onnxruntime)
            options.add_session_config_entry("session.use_env_allocators", "1")
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        # Its fallback prints, tries the same provider again, and fails again.
        return onnxruntime.InferenceSession(
            self._content, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )

    def _require_signature(self, session: Any) -> None:
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if (
            [(each.type, each.shape[1:]) for each in inputs] != [("tensor(float)", _INPUT_SHAPE)]
            or [(each.type, len(each.shape)) for each in outputs] != [("tensor(float)", 2)]
            or not isinstance(outputs[0].shape[1], int)
            or outputs[0].shape[1] < 1
            or isinstance(inputs[0].shape[0], int)
        ):
            raise OnnxFileError(
                f"{self._where} maps {_signature(inputs)} to {_signature(outputs)}, not images "
                "float (N, 1, 28, 28) to logits (N, C); `mnistzoo export` writes such a file"
            )
        self._input, self._outputs = inputs[0].name, [outputs[0].name]
        self._classes: int = outputs[0].shape[1]

    def _require_numbers(self) -> None:
        """Refuse a file that uses string tensors, whose memory nothing bounds."""
        try:
            strings = uses_strings(self._content)
        except ValueError as error:  # another format that ONNX Runtime knows
            raise OnnxFileError(
                f"{self._where} is not an ONNX model ({error}); `mnistzoo export` writes one"
            ) from error
        if strings:
            raise OnnxFileError(
                f"{self._where} uses string tensors, which may take any amount of memory; export "
                "its model with numeric tensors alone"
            )

    def _try(self, onnxruntime: Any, session: Any) -> None:
        """Run a session for one image and for two, in bounded memory and time."""
        options = onnxruntime.RunOptions()
        options.log_severity_level = 4
        stop = threading.Timer(_MOST_SECONDS, setattr, (options, "terminate", True))
        stop.daemon = True
        stop.start()
        images = np.stack([np.zeros((1, 28, 28), np.float32), np.ones((1, 28, 28), np.float32)])
        try:
            for count, words in enumerate(("a single image", "two images"), 1):
                try:
                    logits = self._run(session, images[:count], options)
                except OnnxFileError:
                    raise
                except Exception as error:
                    why = in_its_words(error)
                    if options.terminate:
                        why = f"it took more than {_MOST_SECONDS} seconds"
                    raise OnnxFileError(
                        f"{self._where} fails for {words} ({why}); export its model with a batch "
                        "of any size"
                    ) from error
        finally:
            stop.cancel()
        if (logits > 0).all() and (abs(logits.sum(axis=1) - 1) < 1e-4).all():
            raise OnnxFileError(
                f"{self._where} gives probabilities, not logits; leave out the softmax at its end"
            )

    def _run(
        self, session: Any, inputs: NDArray[np.float32], options: Any = None
    ) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = session.run(self._outputs, {self._input: inputs}, options)[0]
        if logits.shape != (len(inputs), self._classes):
            raise OnnxFileError(
                f"{self._where} gives logits {logits.shape} for {len(inputs)} images, not "
                f"({len(inputs)}, {self._classes}); export its model with a batch of any size"
            )
        return logits

    @property
    def provenance(self) -> "Provenance | None":
        """The training run that the weights come from; None where the file names none.

        Raises:
            OnnxFileError: if what the file says of it is damaged.
        """
        from mnistzoo.provenance import Provenance

        if "provenance" not in self.metadata:
            return None
        try:
            return Provenance.from_json(self.metadata["provenance"])
        except ValueError as error:
            raise OnnxFileError(
                f"{self._where} does not say where its weights come from: {error}; export it again"
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        kept = ("_where", "_content", "_folder", "_threads")
        return {name: vars(self)[name] for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open()

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        return self._content

    @property
    def num_params(self) -> int:
        """How many numbers the graph holds: its weights, folded batch norms, scales of int8.

        Raises:
            OnnxFileError: if onnx, which counts them, is not installed.
        """
        return _count(self._content)

    @property
    def file_bytes(self) -> int:
        """The size of the file."""
        return len(self._content)

    def logits(self, inputs: NDArray[np.float32] | NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return logits ``(N, C)``.

        Args:
            inputs: images, float32 ``(N, 1, 28, 28)``, 0 (paper) to 1 (ink); or uint8
                ``(N, 28, 28)``, 0 to 255 (ink).

        Raises:
            OnnxFileError: if the model gives logits for another number of images.
        """
        if inputs.dtype == np.uint8:
            return self._run(self._session, as_input(cast(NDArray[np.uint8], inputs)))
        return self._run(self._session, cast(NDArray[np.float32], inputs))

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return probabilities ``(N, C)`` for images uint8 ``(N, 28, 28)``, 0 to 255 (ink).

        They are at the temperature of the file, if it has one.

        Raises:
            ValueError: if the images are of another type or shape.
            OnnxFileError: if a logit is NaN or infinite.
        """
        temperature = (self.calibration or UNCALIBRATED).temperature
        return softmax(self._finite_logits(images) / temperature).astype(np.float32)

    def _finite_logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        if images.dtype != np.uint8 or images.shape[1:] != (28, 28):
            raise ValueError(
                f"images must be uint8 (N, 28, 28), not {images.dtype} {images.shape}; logits() "
                "takes float32 (N, 1, 28, 28)"
            )
        logits = self.logits(as_input(images))
        if not np.isfinite(logits).all():
            raise OnnxFileError("the model gives NaN or infinite logits; export another")
        return logits

    def predict(self, picture: "Source") -> "Prediction":
        """Return the digit on a picture, with a doubt if there are several.

        Args:
            picture: a path, the bytes of a file, a Pillow image, or an array or tensor of pixels.

        Raises:
            PictureError: if the picture cannot be decoded, or shows no digit.
            OSError: if the file cannot be read.
        """
        from mnistzoo.prediction import read

        return read(picture, self.reader).one

    def predict_all(self, picture: "Source") -> "list[Prediction]":
        """Return all digits on a picture, left to right, lines top to bottom."""
        from mnistzoo.prediction import read

        return read(picture, self.reader).predictions

    @property
    def reader(self) -> "Reader":
        """What :func:`mnistzoo.prediction.read` takes."""
        from mnistzoo.prediction import Reader

        return Reader(self._finite_logits, self.labels, self.calibration or UNCALIBRATED)


def _labels(metadata: Mapping[str, str], classes: int) -> tuple[str, ...] | None:
    """Return the names of the classes that a file gives them; None if it gives none."""
    try:
        found = json.loads(metadata.get("labels", ""))
    except (ValueError, RecursionError):  # another program may put anything there
        found = None
    if isinstance(found, list) and len(found) == classes and all(isinstance(x, str) for x in found):
        return tuple(map(one_line, found))
    return None


def _calibration(metadata: Mapping[str, str], where: str) -> Calibration | None:
    """Return the temperature and the threshold that a file of ours gives, if it does."""
    if not metadata.get("exported_with", "").startswith("mnistzoo"):
        return None  # another program may mean something else by these words
    temperature, threshold = (metadata.get(name) for name in ("temperature", "threshold"))
    if temperature is threshold is None:
        return None
    try:
        return Calibration(float(temperature or ""), float(threshold or ""))
    except ValueError as error:
        raise OnnxFileError(
            f"{where} has the temperature {temperature!r:.40} and the threshold {threshold!r:.40} "
            f"in its metadata, which must be numbers {TEMPERATURE['interval']} and "
            f"{THRESHOLD['interval']}; export it again"
        ) from error


def _count(content: bytes) -> int:
    try:
        import onnx
    except ImportError as error:
        raise OnnxFileError(
            f"counting parameters needs onnx; `{install_command('onnx')}` installs it"
        ) from error
    graph = onnx.load_model_from_string(content).graph
    tensors = list(graph.initializer)
    for node in graph.node:
        if node.op_type == "Constant":
            tensors += [each.t for each in node.attribute if each.name == "value"]
    # What is int64 are shapes, axes and indices.
    kinds = {onnx.TensorProto.INT64, onnx.TensorProto.STRING, onnx.TensorProto.BOOL}
    return sum(int(np.prod(each.dims)) for each in tensors if each.data_type not in kinds)


def _signature(values: list[Any]) -> str:
    return one_line(
        " and ".join(
            f"{each.type.removeprefix('tensor(').removesuffix(')')} "
            f"({', '.join(str(size) for size in each.shape)})"
            for each in values
        )
    )
