"""From a name to a model: ``create_model``, ``load_model``, and the files of shipped weights."""

import functools
import importlib
import inspect
import os
import pkgutil
import shlex
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnistzoo.errors import place, reason
from mnistzoo.missing import hidden_module
from mnistzoo.registry import ModelError, Registration, get_registration, get_spec
from mnistzoo.spec import DEFAULT_DATASET, DIGITS, ModelSpec, Weights

if TYPE_CHECKING:
    from torch import nn

    from mnistzoo.data import Dataset


def create_model(name: str, **arguments: Any) -> "nn.Module":
    """Create an untrained model, in training mode, its weights drawn by torch's global generator.

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


def build(
    registration: Registration, member: Callable[[str], "nn.Module"], **arguments: Any
) -> "nn.Module":
    """Call a model's factory with those that it is made of, without counting its parameters.

    Of a compiled or a data parallel model it returns the module inside.

    Raises:
        ModelError: if the factory is not there, fails, does not take the arguments, or returns
            something else.
    """
    spec, provider = registration.spec, registration.plugin.provider
    where = f"model {spec.name!r} of {provider}"
    module_name, _, attribute = spec.factory.partition(":")
    try:
        from mnistzoo.modules import unwrapped

        for name in spec.members:
            if get_spec(name).members:
                raise ModelError(f"its member {name!r} is itself made of others; name those")
        factory = importlib.import_module(module_name)
        for part in attribute.split("."):
            factory = getattr(factory, part)
        refused = _refused(factory, arguments)
        if refused == ["num_classes"] and arguments["num_classes"] == _CLASSES:
            refused, arguments = (
                [],
                {name: arguments[name] for name in arguments if name not in refused},
            )
        if not refused:
            model: nn.Module = factory(*map(member, spec.members), **arguments)  # type: ignore[operator]
            _require_module(model)
            return unwrapped(model)
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
            f"{place(error, {module_name.partition('.')[0]})}"
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


def _require_declared_size(model: "nn.Module", registration: Registration) -> None:
    found = sum(parameter.numel() for parameter in model.parameters())
    spec = registration.spec
    if found != spec.num_params:
        raise ModelError(
            f"model {spec.name!r} of {registration.plugin.provider} declares "
            f"{spec.num_params:,} parameters but has {found:,}; correct num_params in its ModelSpec"
        )


def _require_module(model: object) -> None:
    from torch import nn
    from torch.nn.parameter import is_lazy

    if not isinstance(model, nn.Module):
        raise TypeError(f"it returns {type(model).__name__}, expected torch.nn.Module")
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            raise TypeError(f"its parameter {name} has no shape yet; give lazy layers their sizes")


def load_model(
    name: str,
    weights: str | os.PathLike[str] | None = None,
    dataset: "str | os.PathLike[str] | Dataset" = DEFAULT_DATASET,
) -> "nn.Module":
    """Create a model in evaluation mode, with its shipped weights or those of a file.

    Args:
        name: of the model, or an alias.
        weights: a ``.safetensors`` file, or a PyTorch state dict ``.pt`` or ``.pth``; without it
            the weights that the plugin ships, or those of the model's members.
        dataset: a data set, or what :func:`mnistzoo.load_dataset` takes: the model has its classes,
            and the shipped weights are those that were trained on it.

    Raises:
        DataError: if there is no such data set.
        ModelError: if the model cannot be created or ships no such weights.
        WeightsError: if the file is not what it should be.
        OSError: if the file cannot be read.
    """
    from mnistzoo.data import Dataset, load_dataset

    data = dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    return _load(data, name, weights).eval()


def _load(data: "Dataset", name: str, weights: str | os.PathLike[str] | None = None) -> "nn.Module":
    from mnistzoo.weights import load_weights

    registration = get_registration(name)
    spec = registration.spec
    if weights is None and spec.members:
        model = build(registration, functools.partial(_load, data))
        _require_declared_size(model, registration)
        return model
    shipped = None if weights is not None else weights_of(spec, data)
    model = create_model(name, num_classes=len(data.classes))
    if shipped is not None:
        load_weights(model, weights_path(spec, shipped), shipped.sha256)
    elif weights is not None:
        load_weights(model, weights)
    return model


def weights_size(spec: ModelSpec, data: "Dataset") -> int:
    """Return how many bytes of shipped weights a model loads, those of its members included.

    Raises:
        ModelError: if some are missing.
    """
    if spec.members:
        return sum(weights_size(get_spec(member), data) for member in spec.members)
    return weights_path(spec, weights_of(spec, data)).stat().st_size


def weights_of(spec: ModelSpec, data: "Dataset") -> Weights:
    """Return the shipped weights that were trained on a data set, or on one that serves for it.

    Raises:
        ModelError: if the plugin ships none.
    """
    for name in (data.spec.name, data.spec.weights_from):
        if shipped := spec.weights_for(name):
            return shipped
    option = "" if data.name == DEFAULT_DATASET else f" --dataset {shlex.quote(data.reference)}"
    raise _no_weights(spec, f" trained on {data.name}" if spec.weights or option else "", option)


def _no_weights(spec: ModelSpec, trained: str = "", option: str = "") -> ModelError:
    return ModelError(
        f"model {spec.name!r} ships no weights{trained}; `mnistzoo compare --train {spec.name}"
        f"{option}` trains it now, and `mnistzoo train {spec.name}{option}` saves weights for "
        "`evaluate --weights`"
    )


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
    folder = _module_file(spec).parent
    path = folder / weights.file
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ModelError(f"model {spec.name!r}: {path} leads out of its package; ship the file")
    return path


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
