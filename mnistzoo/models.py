"""From a name to a model: ``create_model``, ``load_model``, and the files of shipped weights."""

import functools
import inspect
import os
import pkgutil
import shlex
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnistzoo.dataset_spec import DIGITS
from mnistzoo.errors import place, reason
from mnistzoo.missing import hidden_module
from mnistzoo.paths import imported
from mnistzoo.registry import ModelError, Registration, get_registration, get_spec
from mnistzoo.spec import DEFAULT_DATASET, ModelSpec, Weights

if TYPE_CHECKING:
    from mnistzoo.calibration import Calibration
    from mnistzoo.data import Dataset


def create_model(name: str, **arguments: Any) -> Any:
    """Create an untrained model, in training mode, its weights drawn by torch's global generator.

    It is a ``torch.nn.Module``, but where its plugin says otherwise: an estimator, or an object
    with ``logits()`` (:class:`mnistzoo.Classifier`).

    Args:
        name: of the model, or an alias.
        arguments: go to the model's factory, such as ``num_classes=26``. A model whose factory
            takes no ``num_classes`` has ten.

    Raises:
        ModelError: if there is no such model, its factory fails or does not take the arguments, or,
            at the defaults of its arguments, its parameters are not as many as declared.
    """
    registration = get_registration(name)
    model = build(registration, create_model, **arguments)
    if not arguments or arguments == {"num_classes": _default_classes(registration)}:
        _require_declared_size(model, registration)
    return model


def build(registration: Registration, member: Callable[[str], Any], **arguments: Any) -> Any:
    """Call a model's factory with those that it is made of, without counting its parameters.

    Of a compiled or a data parallel model it returns the module inside.

    Raises:
        ModelError: if the factory is not there, fails, does not take the arguments, or returns
            something else.
    """
    spec, provider = registration.spec, registration.plugin.provider
    where = f"model {spec.name!r} of {provider}"
    if spec.is_onnx:
        raise ModelError(f"{where} is an ONNX file; load_model({spec.name!r}) opens it")
    try:
        from mnistzoo.classifier import is_module
        from mnistzoo.modules import unwrapped

        for name in spec.members:
            if get_spec(name).members:
                raise ModelError(f"its member {name!r} is itself made of others; name those")
        factory = imported(spec.factory)
        arguments = {**spec.arguments, **arguments}
        refused = _refused(factory, arguments)
        if refused == ["num_classes"] and arguments["num_classes"] == _CLASSES:
            refused = []
            del arguments["num_classes"]
        if not refused:
            model = factory(*map(member, spec.members), **arguments)
            _require_model(model)
            return unwrapped(model) if is_module(model) else model
    except ModuleNotFoundError as error:
        needed = f"{where} needs the module {error.name or str(error)!r}"
        if hidden := hidden_module(error):
            raise ModelError(f"{needed}; {hidden}") from error
        raise ModelError(
            f"{needed}, which is not installed; install it, or the plugin again"
        ) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a plugin must not end the zoo
        why = reason(error)
        if isinstance(error, ImportError | AttributeError) and (hidden := hidden_module(error)):
            why = f"{why}; {hidden}"
        raise ModelError(
            f"{where} cannot be created by {spec.factory!r}: {why}"
            f"{place(error, {spec.factory.partition(':')[0].partition('.')[0]})}"
        ) from error
    if "num_classes" in refused:
        raise ModelError(
            f"{where} is made for {_CLASSES} classes, not for {arguments['num_classes']}; take a "
            f"data set of {_CLASSES}, or add num_classes to the arguments of {spec.factory!r}"
        )
    raise ModelError(
        f"{where} does not take {', '.join(refused)}; leave that out, or add it to the arguments "
        f"of {spec.factory!r}"
    )


def _default_classes(registration: Registration) -> int:
    """Return how many classes a model has where nobody says."""
    if "num_classes" in registration.spec.arguments:
        return int(registration.spec.arguments["num_classes"])
    try:
        parameters = inspect.signature(pkgutil.resolve_name(registration.spec.factory)).parameters
        default = parameters["num_classes"].default
    except Exception:  # it takes none; or it is not there, which is told where it is called
        return _CLASSES
    return default if isinstance(default, int) else _CLASSES


def takes(factory: object, argument: str) -> bool:
    """Say whether a factory names an argument that can be given by keyword."""
    try:
        parameters = inspect.signature(factory).parameters  # type: ignore[arg-type]
    except (TypeError, ValueError):  # of a C extension
        return False
    return argument in parameters and parameters[argument].kind in _BY_KEYWORD


def _refused(factory: object, arguments: dict[str, Any]) -> list[str]:
    """Return the names of the arguments that a factory has no place for."""
    if not arguments:
        return []
    parameters = inspect.signature(factory).parameters  # type: ignore[arg-type]
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return []
    by_keyword = {name for name, each in parameters.items() if each.kind in _BY_KEYWORD}
    return [name for name in arguments if name not in by_keyword]


_CLASSES = len(DIGITS)
_BY_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _require_declared_size(model: Any, registration: Registration) -> None:
    from mnistzoo.classifier import count_parameters, is_module

    spec = registration.spec
    if not is_module(model) or spec.num_params is None:  # what is fitted later has none yet
        return
    found = count_parameters(model)
    if found != spec.num_params:
        raise ModelError(
            f"model {spec.name!r} of {registration.plugin.provider} declares "
            f"{spec.num_params:,} parameters but has {found:,}; correct num_params in its ModelSpec"
        )


def _require_model(model: Any) -> None:
    from torch.nn.parameter import is_lazy

    from mnistzoo.classifier import Classifier, is_estimator, is_module

    if not is_module(model):
        if not (isinstance(model, Classifier) or is_estimator(model)):
            raise TypeError(
                f"it returns {type(model).__name__}, expected torch.nn.Module, an estimator with "
                "predict_proba() or decision_function(), or an object with logits()"
            )
        return
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            raise TypeError(f"its parameter {name} has no shape yet; give lazy layers their sizes")


def load_model(
    name: str,
    weights: str | os.PathLike[str] | None = None,
    dataset: "str | os.PathLike[str] | Dataset" = DEFAULT_DATASET,
) -> Any:
    """Create a model in evaluation mode, with its shipped weights or those of a file.

    It is what :func:`create_model` returns; of a model that is an ONNX file a
    :class:`~mnistzoo.Predictor`.

    Args:
        name: of the model, or an alias.
        weights: a ``.safetensors`` file, or a PyTorch state dict ``.pt`` or ``.pth``, or an
            ``.onnx`` file; without it the weights that the plugin ships, or those of the model's
            members.
        dataset: a data set, or what :func:`mnistzoo.load_dataset` takes: the model has its classes,
            and the shipped weights are those that were trained on it.

    Raises:
        DataError: if there is no such data set.
        ModelError: if the model cannot be created or ships no such weights, or the file says that
            its weights are for other classes.
        WeightsError: if the file is not what it should be.
        OSError: if the file cannot be read.
    """
    from mnistzoo.data import Dataset, load_dataset

    data = dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    if weights is None:
        return _evaluating(_load_shipped(data, name))
    return _evaluating(_load_own(name, weights, data))


def _evaluating(model: Any) -> Any:
    from mnistzoo.classifier import is_module

    return model.eval() if is_module(model) else model


def load_file(path: str | os.PathLike[str], data: "Dataset") -> tuple[str, Any]:
    """Return the model that a file holds, in evaluation mode, and the name it is of.

    Args:
        path: an ``.onnx`` file; or a ``.safetensors`` file that says in its metadata of which
            installed model it is, as those of ``mnistzoo train`` do.
        data: what the model is for; it has the same classes, if the file names them.

    Raises:
        ModelError: if it says of none, or of one that is not installed; or if it has other classes.
        WeightsError: if the file is not what it should be.
        OnnxFileError: likewise.
        OSError: if the file cannot be read.
    """
    name = model_of_file(path)
    return name, _evaluating(_load_own(name, path, data))


def model_of_file(path: str | os.PathLike[str]) -> str:
    """Return the name of the model that a file is of; empty for an ``.onnx`` file.

    Raises:
        ModelError: if it says of none.
        WeightsError: if it is not what it should be.
        OSError: if it cannot be read.
    """
    if os.fspath(path).lower().endswith(".onnx"):
        return ""
    if not os.fspath(path).lower().endswith(".safetensors"):
        raise ModelError(
            f"{path} cannot say which model it is of; `mnistzoo evaluate MODEL --weights {path}` "
            "takes it, and so does `mnistzoo train MODEL --weights`"
        )
    from mnistzoo.weights import read_metadata

    name = read_metadata(path).get("model")
    if not isinstance(name, str):
        raise ModelError(
            f"{path} does not say which model it is of; `mnistzoo evaluate MODEL --weights {path}` "
            "takes it"
        )
    return name


def is_file(model: str) -> bool:
    """Say whether a command means a file, not the name of a model."""
    return model.lower().endswith((".onnx", ".safetensors", ".pt", ".pth"))


def _open_onnx(path: str | os.PathLike[str], sha256: str | None = None) -> Any:
    from mnistzoo.runtime import Predictor
    from mnistzoo.weights import read_onnx

    if sha256 is None:
        return Predictor(path)
    return Predictor(read_onnx(path, sha256))


def _load_own(name: str, path: str | os.PathLike[str], data: "Dataset") -> Any:
    """Return a model with the weights of a file, if that is for the classes of the data."""
    from mnistzoo.trained_on import classes_told, require_classes
    from mnistzoo.weights import load_weights, read_metadata

    kind = Path(path).suffix.lower()
    if kind == ".onnx":
        model = _open_onnx(path)
        if model.names_classes or len(model.labels) != len(data.classes):
            require_classes(path, model.labels, model.metadata.get("dataset"), data)
        return model
    if kind == ".safetensors":
        told = read_metadata(path)
        require_classes(path, classes_told(told), told.get("dataset"), data)
    model = create_model(name, num_classes=len(data.classes))
    load_weights(model, path)
    return model


def _load_shipped(data: "Dataset", name: str) -> Any:
    from mnistzoo.weights import load_weights

    registration = get_registration(name)
    spec = registration.spec
    if spec.members:
        model = build(registration, functools.partial(_load_shipped, data))
        _require_declared_size(model, registration)
        return model
    shipped = weights_of(spec, data)
    if shipped.file.endswith(".onnx"):
        return _open_onnx(weights_path(spec, shipped), shipped.sha256)
    model = create_model(name, num_classes=len(data.classes))
    load_weights(model, weights_path(spec, shipped), shipped.sha256)
    return model


def weights_files(spec: ModelSpec, data: "Dataset") -> dict[str, Path]:
    """Return the files of shipped weights that a model loads, by the name of whose they are.

    Those are its own or, for a model that is made of others, its members'.

    Raises:
        ModelError: if some are missing.
    """
    if spec.members:
        members = map(get_spec, spec.members)
        return {each.name: weights_path(each, weights_of(each, data)) for each in members}
    return {spec.name: weights_path(spec, weights_of(spec, data))}


def weights_of(spec: ModelSpec, data: "Dataset") -> Weights:
    """Return the shipped weights that were trained on a data set, or on one that serves for it.

    Raises:
        ModelError: if the plugin ships none.
    """
    if shipped := spec.weights_for(data.spec.name) or spec.weights_for(data.spec.weights_from):
        return shipped
    option = option_for(data)
    trained = f" trained on {data.name}" if spec.weights or option else ""
    if spec.weights:
        others = " or ".join(f"--dataset {each.dataset}" for each in spec.all_weights)
        trained += f" (with {others} it has weights)"
    raise _no_weights(spec, trained, option)


def option_for(data: "Dataset") -> str:
    """Return the option of a command for a data set, with a space before it; empty for MNIST."""
    return "" if data.name == DEFAULT_DATASET else f" --dataset {shlex.quote(data.reference)}"


def _no_weights(spec: ModelSpec, trained: str = "", option: str = "") -> ModelError:
    how = (
        f"; `mnistzoo compare --train {spec.name}{option}` trains it now, and `mnistzoo train "
        f"{spec.name}{option}` saves weights for `--weights`"
    )
    return ModelError(f"model {spec.name!r} ships no weights{trained}{how if spec.recipes else ''}")


def calibration_of(
    name: str, weights: "str | os.PathLike[str] | None", model: Any, data: "Dataset"
) -> "Calibration | None":
    """Return the temperature and the threshold that are shipped with a loaded model's weights.

    Args:
        name: of the model, or the path of a file.
        weights: a file that they were loaded from instead of the plugin's.
        model: that was loaded.
        data: that it was loaded for.
    """
    from mnistzoo.calibration import Calibration
    from mnistzoo.runtime import Predictor

    if isinstance(model, Predictor) and model.calibration is not None:
        return model.calibration
    if weights is not None or is_file(name) or get_spec(name).members:
        return None
    return Calibration.shipped_with(weights_of(get_spec(name), data))


def weights_path(spec: ModelSpec, weights: Weights | None = None) -> Path:
    """Return the file with weights that a model's plugin ships.

    Args:
        spec: of the model.
        weights: some that it declares; the first ones, if none are given.

    Raises:
        ModelError: if there are none, or the file is not inside the package.
    """
    weights = weights or spec.weights
    if weights is None:
        raise _no_weights(spec)
    folder = module_folder(spec)
    path = folder / weights.file
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ModelError(f"model {spec.name!r}: {path} leads out of its package; ship the file")
    return path


def module_folder(spec: ModelSpec) -> Path:
    """Return the folder of the module with the model's factory, beside which its weights lie.

    Raises:
        ModelError: if the module cannot be found.
    """
    return _module_file(spec).parent


def _module_file(spec: ModelSpec) -> Path:
    """Return the file of the module that holds the factory."""
    name = spec.factory.partition(":")[0]
    if name == "__main__":  # a script; importlib finds no module of this name
        file = getattr(sys.modules[name], "__file__", None)
        if file is None:
            raise ModelError(
                f"model {spec.name!r} of a notebook has no folder where its weights could lie; "
                "load_model(name, weights) takes them from a file"
            )
        return Path(file)
    try:
        module = find_spec(name)
    except Exception as error:  # the package's own, which is imported for it
        raise ModelError(
            f"model {spec.name!r}: its module {spec.factory!r} cannot be found: {reason(error)}"
        ) from error
    if module is None or module.origin is None or not module.has_location:
        raise ModelError(f"model {spec.name!r}: its module {spec.factory!r} cannot be found")
    return Path(module.origin)
