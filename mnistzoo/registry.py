"""From a name to what a plugin registered, of models and of data sets."""

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from mnistzoo._version import __version__
from mnistzoo.dataset_spec import DatasetSpec
from mnistzoo.errors import MnistzooError, suggestion
from mnistzoo.missing import plugin_command
from mnistzoo.mnist import DATASETS
from mnistzoo.plugins import OWN_LOGS, Plugin, load_plugins
from mnistzoo.recipe import Recipe
from mnistzoo.spec import DEFAULT_DATASET, ModelSpec


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


@dataclass(frozen=True)
class DatasetRegistration:
    """A data set and the plugin that registered it."""

    spec: DatasetSpec
    plugin: Plugin


R = TypeVar("R", Registration, DatasetRegistration)


@dataclass(frozen=True)
class Registry(Generic[R]):
    """What each name stands for; of several claimants none has it, whatever their order.

    Attributes:
        registrations: by name and alias.
        conflicts: a name to all who claim it.
        failed: the plugins that failed to load.
    """

    registrations: Mapping[str, R]
    conflicts: Mapping[str, list[R]]
    failed: Sequence[str] = ()

    def names(self, pattern: str = "*") -> list[str]:
        """Return the sorted names, no aliases, that match a shell pattern such as ``"res*"``."""
        return sorted(
            name
            for name, registration in self.registrations.items()
            if name == registration.spec.name and fnmatch.fnmatchcase(name, pattern)
        )


def registry(plugins: Sequence[Plugin] | None = None) -> Registry[Registration]:
    """Return the models of plugins; by default of all, which are loaded in this process."""
    found = load_plugins() if plugins is None else plugins
    return _registry(
        (
            (name, Registration(spec, plugin))
            for plugin in found
            for spec in plugin.specs
            for name in spec.names
        ),
        [plugin.provider for plugin in found if plugin.error],
    )


def dataset_registry(
    plugins: Sequence[Plugin] | None = None,
) -> Registry[DatasetRegistration]:
    """Return mnistzoo's own data sets and those of plugins; by default of all, loaded here."""
    own = Plugin("mnistzoo", __version__, "mnistzoo.mnist", datasets=DATASETS)
    found = load_plugins() if plugins is None else plugins
    return _registry(
        (
            (spec.name, DatasetRegistration(spec, plugin))
            for plugin in (own, *found)
            for spec in plugin.datasets
        ),
        [plugin.provider for plugin in found if plugin.error],
    )


def _registry(claims: Iterable[tuple[str, R]], failed: Sequence[str] = ()) -> Registry[R]:
    by_name: dict[str, list[R]] = {}
    for name, claimant in claims:
        by_name.setdefault(name, []).append(claimant)
    conflicts = {name: claimants for name, claimants in by_name.items() if len(claimants) > 1}
    registrations = {
        name: claimants[0]
        for name, claimants in by_name.items()
        if name not in conflicts and claimants[0].spec.name not in conflicts
    }
    return Registry(registrations, conflicts, failed)


def list_models(pattern: str = "*") -> list[str]:
    """Return the sorted names of the models that match a shell pattern such as ``"res*"``."""
    return registry().names(pattern)


def all_models(*, trainable: bool = False) -> list[str]:
    """Return the sorted names of all models, or of those that have recipes.

    Raises:
        ModelError: if there is none.
    """
    return trainable_or_all(registry(), trainable=trainable)


def trainable_or_all(known: Registry[Registration], *, trainable: bool) -> list[str]:
    """Return what :func:`all_models` does, of these models."""
    names = [
        name for name in known.names() if known.registrations[name].spec.recipes or not trainable
    ]
    if not names:
        raise ModelError(f"no model is installed; `{plugin_command()}` installs one")
    return names


def without_weights(known: Registry[Registration], *datasets: str) -> list[str]:
    """Return the models whose plugins ship no weights trained on one of some data sets."""
    specs = {name: each.spec for name, each in known.registrations.items()}

    def has_weights(spec: ModelSpec) -> bool:
        # A member that is not there is told where the model is created.
        members = [specs[name] for name in spec.members if name in specs]
        made_of = members if spec.members else [spec]
        return all(any(map(each.weights_for, datasets)) for each in made_of)

    return [name for name in known.names() if not has_weights(specs[name])]


def best_model(dataset: str = DEFAULT_DATASET) -> str:
    """Return the name of the model with the highest declared accuracy on a data set's test images.

    Raises:
        ModelError: if none ships weights.
    """
    accuracies = {
        name: metrics.get("test_accuracy", 0.0)
        for name in list_models()
        if (metrics := get_spec(name).metrics_on(dataset))
    }
    if not accuracies:
        raise ModelError(
            f"no installed model ships weights; `{plugin_command()}` installs one that does, or "
            "give an .onnx file with --model"
        )
    return max(accuracies, key=accuracies.__getitem__)


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
    return find(registry(), name)


def find(known: Registry[Registration], name: str) -> Registration:
    """Return what :func:`get_registration` does, of these models."""
    if name in known.registrations:
        return known.registrations[name]
    for contested, claimants in known.conflicts.items():
        if any(name in claimant.spec.names for claimant in claimants):
            raise ModelError(describe_conflict(contested, claimants))
    raise UnknownNameError(
        f"there is no model {name!r}{because_of_failures(known.failed)}; "
        f"{hint(name, known.registrations)}`mnistzoo models` lists those installed"
    )


def hint(name: str, known: Iterable[str]) -> str:
    """Return a question for the nearest known name, to stand before what else can be done."""
    return f"{near} " if (near := suggestion(name, known)) else ""


def because_of_failures(failed: Sequence[str]) -> str:
    """Return in brackets which plugins failed to load; empty if none did."""
    return f" ({', '.join(failed)} failed to load)" if failed else ""


def describe_conflict(
    name: str, claimants: Sequence[Registration] | Sequence[DatasetRegistration]
) -> str:
    """Return the sentence that names all who claim a name."""
    providers = " and ".join(sorted(claimant.plugin.provider for claimant in claimants))
    return (
        f"the name {name!r} is claimed by {providers}, so none of them has it; uninstall all but "
        "one, or switch one off with MNISTZOO_PLUGINS=-DISTRIBUTION"
    )


def get_recipe(model: str | ModelSpec, name: str = "default") -> Recipe:
    """Return a model's recipe by name.

    Args:
        model: its name or alias, or what its plugin declared of it.
        name: of the recipe.

    Raises:
        UnknownNameError: if there is no such model, or it has no recipe of that name.
        ModelError: if it is not trained, or more than one model has the name.
    """
    spec = get_spec(model) if isinstance(model, str) else model
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
        raise UnknownNameError(
            f"model {spec.name!r} has no recipe {name!r}; {hint(name, spec.recipes)}it has: {known}"
        )
    return spec.recipes[name]


def log_factory(kind: str) -> tuple[str, Plugin]:
    """Return the factory of a kind of log, and the plugin that registered it.

    Raises:
        UnknownNameError: if no plugin registered the kind.
        ModelError: if more than one did.
    """
    found = [(plugin.logs[kind], plugin) for plugin in load_plugins() if kind in plugin.logs]
    if not found:
        known = sorted({*OWN_LOGS, *(each for plugin in load_plugins() for each in plugin.logs)})
        raise UnknownNameError(f"there is no log {kind!r}; take one of {', '.join(known)}")
    if len(found) > 1:
        providers = " and ".join(sorted(plugin.provider for _, plugin in found))
        raise ModelError(
            f"the log {kind!r} is claimed by {providers}; uninstall all but one, or switch one off "
            "with MNISTZOO_PLUGINS=-DISTRIBUTION"
        )
    return found[0]
