"""From a name to a model: ``list_models``, ``get_spec``, ``create_model``, ``load_model``."""

import fnmatch
import importlib
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mnistzoo.errors import MnistzooError, place, reason, suggestion
from mnistzoo.missing import hidden_module
from mnistzoo.plugins import Plugin, load_plugins
from mnistzoo.spec import ModelSpec, Recipe

if TYPE_CHECKING:
    from torch import nn

_log = logging.getLogger("mnistzoo")


class ModelError(MnistzooError):
    """A model is missing, claimed twice, or cannot be created."""


class UnknownNameError(ModelError):
    """No model, or no recipe of the model, has the name that was asked for."""

    exit_code = 2


@dataclass(frozen=True)
class Registration:
    """A model and the plugin that registered it."""

    spec: ModelSpec
    plugin: Plugin


def registrations() -> tuple[dict[str, Registration], dict[str, list[Registration]]]:
    """Return what each name and alias stands for, and the names that several models claim.

    Of several claimants none wins, whatever the order in which they were loaded.
    """
    claims: dict[str, list[Registration]] = {}
    for plugin in load_plugins():
        for spec in plugin.specs:
            for name in spec.names:
                claims.setdefault(name, []).append(Registration(spec, plugin))
    conflicts = {name: claimants for name, claimants in claims.items() if len(claimants) > 1}
    names = {
        name: claimants[0]
        for name, claimants in claims.items()
        if name not in conflicts and claimants[0].spec.name not in conflicts
    }
    return names, conflicts


def list_models(pattern: str = "*") -> list[str]:
    """Return the sorted names of the models that match a shell pattern such as ``"res*"``."""
    names, _ = registrations()
    return sorted(
        name
        for name, registration in names.items()
        if name == registration.spec.name and fnmatch.fnmatchcase(name, pattern)
    )


def get_spec(name: str) -> ModelSpec:
    """Return what the plugin declared of the model with this name or alias.

    Raises:
        UnknownNameError: if no model has the name.
        ModelError: if more than one has it.
    """
    return get_registration(name).spec


def get_registration(name: str) -> Registration:
    """Return the model with this name or alias, and its plugin.

    Raises:
        UnknownNameError: if no model has the name.
        ModelError: if more than one has it.
    """
    names, conflicts = registrations()
    if name in names:
        return names[name]
    for contested, claimants in conflicts.items():
        if any(name in claimant.spec.names for claimant in claimants):
            raise ModelError(describe_conflict(contested, claimants))
    hint = f"{near} " if (near := suggestion(name, names)) else ""
    failed = [plugin.provider for plugin in load_plugins() if plugin.error]
    because = f" ({', '.join(failed)} failed to load)" if failed else ""
    raise UnknownNameError(
        f"there is no model {name!r}{because}; {hint}`mnistzoo models` lists those installed"
    )


def describe_conflict(name: str, claimants: list[Registration]) -> str:
    """Return the sentence that names all who claim a name."""
    providers = " and ".join(sorted(claimant.plugin.provider for claimant in claimants))
    return (
        f"the name {name!r} is claimed by {providers}, so none of them has it; uninstall all but "
        "one, or switch one off with MNISTZOO_PLUGINS=-DISTRIBUTION"
    )


def get_recipe(spec: ModelSpec, name: str = "default") -> Recipe:
    """Return a model's recipe by name.

    Raises:
        UnknownNameError: if the model has none of that name.
        ModelError: if it is not trained.
    """
    if spec.members:
        raise ModelError(
            f"model {spec.name!r} is made of {', '.join(spec.members)} and is not trained; train "
            "those"
        )
    if not spec.recipes:
        raise ModelError(
            f"model {spec.name!r} has no recipe and is not trained; `mnistzoo evaluate "
            f"{spec.name}` takes the weights that it ships"
        )
    if name not in spec.recipes:
        known = ", ".join(sorted(spec.recipes))
        hint = f"{near} " if (near := suggestion(name, spec.recipes)) else ""
        raise UnknownNameError(f"model {spec.name!r} has no recipe {name!r}; {hint}it has: {known}")
    return spec.recipes[name]


def create_model(name: str) -> "nn.Module":
    """Create an untrained model, in training mode, its weights drawn by torch's global generator.

    Raises:
        ModelError: if there is no such model, its factory fails, or its parameters are not as many
            as declared.
    """
    return _create(get_registration(name), create_model)


def _create(registration: Registration, member: Callable[[str], "nn.Module"]) -> "nn.Module":
    """Create a model; ``member`` makes those that it is made of."""
    model = build(registration, member)
    found = sum(parameter.numel() for parameter in model.parameters())
    spec = registration.spec
    if found != spec.num_params:
        raise ModelError(
            f"model {spec.name!r} of {registration.plugin.provider} declares "
            f"{spec.num_params:,} parameters but has {found:,}; correct num_params in its ModelSpec"
        )
    return model


def build(registration: Registration, member: Callable[[str], "nn.Module"]) -> "nn.Module":
    """Call a model's factory with those that it is made of, without counting its parameters.

    Of a compiled or a data parallel model it returns the module inside.

    Raises:
        ModelError: if the factory is not there, fails, or returns something else.
    """
    from mnistzoo.modules import unwrapped

    spec, provider = registration.spec, registration.plugin.provider
    where = f"model {spec.name!r} of {provider}"
    module_name, _, attribute = spec.factory.partition(":")
    try:
        for name in spec.members:
            if get_spec(name).members:
                raise ModelError(f"its member {name!r} is itself made of others; name those")
        factory = importlib.import_module(module_name)
        for part in attribute.split("."):
            factory = getattr(factory, part)
        model: nn.Module = factory(*map(member, spec.members))  # type: ignore[operator]
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


def _require_module(model: object) -> None:
    from torch import nn
    from torch.nn.parameter import is_lazy

    if not isinstance(model, nn.Module):
        raise TypeError(f"it returns {type(model).__name__}, expected torch.nn.Module")
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            raise TypeError(f"its parameter {name} has no shape yet; give lazy layers their sizes")


def load_model(name: str, weights: str | os.PathLike[str] | None = None) -> "nn.Module":
    """Create a model in evaluation mode, with its shipped weights or those of a file.

    Args:
        name: of the model, or an alias.
        weights: a ``.safetensors`` file, or a PyTorch state dict ``.pt`` or ``.pth``; without it
            the weights that the plugin ships, or those of the model's members.

    Raises:
        ModelError: if the model cannot be created or ships no weights.
        WeightsError: if the file is not what it should be.
        OSError: if the file cannot be read.
    """
    from mnistzoo.cpu import prefer_channels_last

    model = _load(name, weights).eval()
    prefer_channels_last(model)
    return model


def _load(name: str, weights: str | os.PathLike[str] | None = None) -> "nn.Module":
    from mnistzoo.weights import load_weights

    registration = get_registration(name)
    spec = registration.spec
    if weights is None and spec.members:
        return _create(registration, _load)
    model = create_model(name)
    if weights is None:
        path = weights_path(spec)
        assert spec.weights is not None  # weights_path raised if so
        load_weights(model, path, spec.weights.sha256)
    else:
        load_weights(model, weights)
    return model


def weights_size(spec: ModelSpec) -> int:
    """Return how many bytes of shipped weights a model loads, those of its members included.

    Raises:
        ModelError: if some are missing.
    """
    if spec.members:
        return sum(weights_size(get_spec(member)) for member in spec.members)
    return weights_path(spec).stat().st_size


def weights_path(spec: ModelSpec) -> Path:
    """Return the file with the weights that a model's plugin ships.

    Raises:
        ModelError: if it ships none.
    """
    if spec.weights is None:
        raise ModelError(
            f"model {spec.name!r} ships no weights; `mnistzoo compare --train {spec.name}` trains "
            f"it now, and `mnistzoo train {spec.name}` saves weights for `evaluate --weights`"
        )
    folder = _module_file(spec).parent
    path = folder / spec.weights.file
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
