"""What is evaluated, compared, timed and checked: anything from images to logits."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mnistzoo.errors import MnistzooError

if TYPE_CHECKING:
    import torch
    from torch import nn

# A share of the probability that each class gets for nothing, so that its logarithm is finite.
_SMOOTHING = 1e-3


class ClassifierError(MnistzooError):
    """An object is no classifier, or what it has learned cannot be saved."""


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
            from mnistzoo.errors import describe_failure

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


def as_features(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return images ``(N, 28, 28)`` as estimators take them: float32 ``(N, 784)``, 0 to 1."""
    return np.divide(images.reshape(len(images), -1), 255, dtype=np.float32)


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
        return model
    if is_estimator(model):
        return EstimatorClassifier(model)
    raise ClassifierError(
        f"{type(model).__name__} is no torch.nn.Module, no estimator with predict_proba() or "
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


def state_of(model: Any) -> dict[str, Any]:
    """Return what a classifier that is no module has learned, as a tree of arrays.

    That of its ``state_dict()``, or where it has none its attributes, and those of the estimators
    among them. What an estimator was created with is left out where it is no array and no plain
    value, since its factory makes it again.
    """
    if hasattr(model, "state_dict") and hasattr(model, "load_state_dict"):
        return dict(model.state_dict())
    given = model.get_params(deep=False) if hasattr(model, "get_params") else {}
    return {
        name: _state(value)
        for name, value in vars(model).items()
        if name not in given or _plain(value)
    }


def restore(model: Any, state: Mapping[str, Any]) -> None:
    """Give a classifier that was created as the other was what :func:`state_of` returned of it."""
    if hasattr(model, "state_dict") and hasattr(model, "load_state_dict"):
        model.load_state_dict(state)
        return
    for name, value in state.items():
        if name.startswith("__"):
            raise ClassifierError(f"{name} is no name of what a classifier has learned")
        setattr(model, name, _restored(vars(model).get(name), value))


def _nested(value: object) -> bool:
    return hasattr(value, "get_params") and not isinstance(value, type)


def _plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(map(_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    return _nested(value) or isinstance(
        value, bool | int | float | str | np.generic | np.ndarray | None
    )


def _state(value: Any) -> Any:
    if _nested(value):
        return state_of(value)
    if isinstance(value, list | tuple):
        return type(value)(map(_state, value)) if type(value) in (list, tuple) else value
    return value


def _restored(now: Any, value: Any) -> Any:
    if _nested(now) and isinstance(value, Mapping):
        restore(now, value)
        return now
    if isinstance(now, list | tuple) and isinstance(value, list | tuple) and len(now) == len(value):
        return type(now)(map(_restored, now, value))
    return value
