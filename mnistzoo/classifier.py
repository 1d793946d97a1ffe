"""What is evaluated, compared, timed and checked: anything from images to logits."""

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mnistzoo.errors import MnistzooError, describe_failure
from mnistzoo.inputs import as_input

if TYPE_CHECKING:
    import torch
    from torch import nn

# A share of the probability that each class gets for nothing, so that its logarithm is finite.
_SMOOTHING = 1e-3


class ClassifierError(MnistzooError):
    """An object is not a classifier, or fails as one."""


@runtime_checkable
class Classifier(Protocol):
    """Anything from images to logits; :class:`mnistzoo.Predictor` is one."""

    def logits(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """Return logits float32 ``(N, C)`` for images uint8 ``(N, 28, 28)``, 255 ink."""


class ModuleClassifier:
    """A torch module, moved to the device, in evaluation mode while it is used."""

    def __init__(self, model: "nn.Module", device: "torch.device") -> None:
        self._model, self._device = model.to(device), device

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return what the module returns.

        Raises:
            ModelFailed: if the module raises an exception.
        """
        import torch

        from mnistzoo.inference import predict_logits

        inputs = torch.tensor(images).unsqueeze(1).to(self._device)
        return predict_logits(self._model, inputs).cpu().numpy()


class EstimatorClassifier:
    """An estimator with the interface of scikit-learn, which takes ``(N, 784)``, 0 to 1.

    Its logits are the logarithms of ``predict_proba``, or where it has none ``decision_function``,
    whose confidences say little.
    """

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the estimator's scores, of a class that it never saw the lowest of all."""
        try:
            scores, classes = self._scores(images), np.asarray(self._estimator.classes_)
        except Exception as error:
            package = type(self._estimator).__module__.partition(".")[0]
            what = f"{type(self._estimator).__name__} on {len(images)} images"
            raise ClassifierError(describe_failure(what, error, {package})) from error
        logits = np.full((len(images), int(classes.max()) + 1), scores.min(initial=0), np.float32)
        logits[:, classes] = scores
        return logits

    def _scores(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        pixels = as_features(images)
        if not len(images):  # scikit-learn takes no empty batch
            return np.zeros((0, len(self._estimator.classes_)))
        if hasattr(self._estimator, "predict_proba"):
            shares = np.asarray(self._estimator.predict_proba(pixels), float)
            return np.log((shares + _SMOOTHING) / (1 + _SMOOTHING * shares.shape[1]))
        scores = np.asarray(self._estimator.decision_function(pixels), float)
        return np.stack([-scores, scores], axis=1) if scores.ndim == 1 else scores


class _OwnClassifier:
    """An object with ``logits()``, its failures in words."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        name = type(self._classifier).__name__
        try:
            logits = self._classifier.logits(images)
        except (KeyboardInterrupt, MnistzooError):
            raise
        except BaseException as error:  # SystemExit too: a model must not end the zoo
            package = type(self._classifier).__module__.partition(".")[0]
            what = f"{name}: logits() of {len(images)} images"
            raise ClassifierError(describe_failure(what, error, {package})) from error
        if not isinstance(logits, np.ndarray) or logits.shape[:1] != (len(images),):
            found = getattr(logits, "shape", type(logits).__name__)
            raise ClassifierError(
                f"{name}: logits() of {len(images)} images returns {found}, expected an array "
                f"({len(images)}, C)"
            )
        return logits.astype(np.float32, copy=False)


def as_features(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return images ``(N, 28, 28)`` as estimators take them: float32 ``(N, 784)``, 0 to 1."""
    return as_input(images).reshape(len(images), 784)


def as_classifier(model: Any, device: "torch.device | None" = None) -> Classifier:
    """Return a module, an estimator or a classifier as a classifier.

    Args:
        model: an ``nn.Module``; an object with ``logits()``; or one with ``predict_proba()`` or
            ``decision_function()``, as those of scikit-learn.
        device: that a module is moved to; None: the CPU. Others compute where they do.

    Raises:
        ClassifierError: for anything else.
    """
    if is_module(model):
        import torch

        return ModuleClassifier(model, device or torch.device("cpu"))
    if isinstance(model, Classifier):
        return _OwnClassifier(model)
    if is_estimator(model):
        return EstimatorClassifier(model)
    if isinstance(model, str):
        loader = "Predictor" if model.lower().endswith(".onnx") else "load_model"
        raise ClassifierError(
            f"{model!r} is a name, not a model; mnistzoo.{loader}({model!r}) loads it"
        )
    raise ClassifierError(
        f"{type(model).__name__} is not a torch.nn.Module or an estimator with predict_proba() or "
        "decision_function(), and has no logits(); give it logits(images)"
    )


def is_module(model: object) -> bool:
    """Say whether it is a torch module, without importing torch for one that is not."""
    return any(each.__module__.startswith("torch.nn.") for each in type(model).__mro__)


def is_estimator(model: object) -> bool:
    """Say whether it has the interface of a classifier of scikit-learn."""
    return hasattr(model, "get_params") and (
        hasattr(model, "predict_proba") or hasattr(model, "decision_function")
    )


def runtime_of(model: Any) -> str:
    """Return what computes a model's logits, such as ``"PyTorch"``."""
    if is_module(model):
        return "PyTorch"
    package = type(model).__module__.partition(".")[0]
    return {"mnistzoo": "ONNX Runtime", "sklearn": "scikit-learn"}.get(package, package)


def count_parameters(model: Any) -> int:
    """Return how many numbers a model holds: a module's parameters, else all that it has learned.

    Raises:
        MnistzooError: if they cannot be counted.
    """
    if is_module(model):
        return sum(parameter.numel() for parameter in model.parameters())
    if hasattr(model, "num_params"):
        return int(model.num_params)
    from mnistzoo.estimators import arrays_of

    return sum(array.size for array in arrays_of(model).values())


def count_buffers(model: Any) -> int:
    """Return how many numbers a module's saved buffers hold: what it knows beside its parameters.

    Such as the running averages of batch norm, or images that a model stores. Counters of batches
    are left out.
    """
    if not is_module(model):
        return 0
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    return sum(
        tensor.numel()
        for name, tensor in model.state_dict().items()
        if name not in parameters and not name.endswith("num_batches_tracked")
    )
