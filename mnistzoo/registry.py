"""From a name to what a plugin registered: ``list_models``, ``get_spec``, ``get_recipe``."""

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mnistzoo.errors import MnistzooError, suggestion
from mnistzoo.plugins import Plugin, load_plugins
from mnistzoo.spec import ModelSpec, Recipe


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
class Registry:
    """What each name stands for; of several claimants none has it, whatever their order.

    Attributes:
        registrations: by name and alias.
        conflicts: a name to all who claim it.
        failed: the plugins that failed to load.
    """

    registrations: Mapping[str, Registration]
    conflicts: Mapping[str, list[Registration]]
    failed: Sequence[str] = ()

    def get(self, name: str) -> Registration:
        """Return the model with this name or alias, and its plugin.

        Raises:
            UnknownNameError: if no model has the name.
            ModelError: if more than one has it.
        """
        if name in self.registrations:
            return self.registrations[name]
        for contested, claimants in self.conflicts.items():
            if any(name in claimant.spec.names for claimant in claimants):
                raise ModelError(describe_conflict(contested, claimants))
        hint = f"{near} " if (near := suggestion(name, self.registrations)) else ""
        because = f" ({', '.join(self.failed)} failed to load)" if self.failed else ""
        raise UnknownNameError(
            f"there is no model {name!r}{because}; {hint}`mnistzoo models` lists those installed"
        )

    def names(self, pattern: str = "*") -> list[str]:
        """Return the sorted names of the models that match a shell pattern such as ``"res*"``."""
        return sorted(
            name
            for name, registration in self.registrations.items()
            if name == registration.spec.name and fnmatch.fnmatchcase(name, pattern)
        )

    def all_models(self, *, trainable: bool = False) -> list[str]:
        """Return the sorted names of all models, or of those that have recipes.

        Raises:
            ModelError: if there is none.
        """
        names = [name for name in self.names() if self.get(name).spec.recipes or not trainable]
        if not names:
            raise ModelError("no model is installed; install a plugin, such as mnistzoo-mnistnet")
        return names


def registry(plugins: Iterable[Plugin] | None = None) -> Registry:
    """Return what plugins have registered: by default all, which are loaded in this process."""
    claims: dict[str, list[Registration]] = {}
    found = load_plugins() if plugins is None else tuple(plugins)
    for plugin in found:
        for spec in plugin.specs:
            for name in spec.names:
                claims.setdefault(name, []).append(Registration(spec, plugin))
    conflicts = {name: claimants for name, claimants in claims.items() if len(claimants) > 1}
    registrations = {
        name: claimants[0]
        for name, claimants in claims.items()
        if name not in conflicts and claimants[0].spec.name not in conflicts
    }
    failed = [plugin.provider for plugin in found if plugin.error]
    return Registry(registrations, conflicts, failed)


def list_models(pattern: str = "*") -> list[str]:
    """Return the sorted names of the models that match a shell pattern such as ``"res*"``."""
    return registry().names(pattern)


def all_models(*, trainable: bool = False) -> list[str]:
    """Return the sorted names of all models, or of those that have recipes.

    Raises:
        ModelError: if there is none.
    """
    return registry().all_models(trainable=trainable)


def best_model() -> str:
    """Return the name of the model with the highest declared accuracy on the test set.

    Raises:
        ModelError: if none ships weights.
    """
    accuracies = {
        name: metrics.get("test_accuracy", 0.0)
        for name in list_models()
        if (metrics := get_spec(name).declared_metrics)
    }
    if not accuracies:
        raise ModelError(
            "no installed model ships weights; install a plugin, such as mnistzoo-mnistnet, or "
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
    return registry().get(name)


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
