"""Discovery of plugins by entry point, each isolated from the failures of the others.

Each plugin gets a pluggy manager of its own: an exception in one hook cannot stop another's, and
what a plugin registered counts only once its hook has returned.
"""

import copy
import dataclasses
import email
import importlib.metadata
import inspect
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from functools import cache
from typing import NamedTuple

import pluggy
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mnistzoo import hookspecs
from mnistzoo._version import __version__
from mnistzoo.dataset_spec import DatasetSpec
from mnistzoo.errors import MnistzooError, describe, format_traceback, one_line, reason
from mnistzoo.missing import hidden_module
from mnistzoo.mnist import DATASETS
from mnistzoo.spec import ModelSpec

GROUP = "mnistzoo"
OWN_LOGS = ("csv", "tensorboard")

_log = logging.getLogger("mnistzoo")


class PluginError(MnistzooError):
    """A plugin could not be loaded; raised only under ``MNISTZOO_STRICT=1``."""


@dataclass(frozen=True)
class Plugin:
    """What became of one entry point, or of one object given to :func:`register_plugin`.

    Attributes:
        distribution: the name of the installed distribution.
        version: its version, empty for an object registered in the process.
        entry_point: the module that the entry point names; empty if the file of entry points is
            malformed.
        location: the file that was imported, or else the folder of the distribution.
        specs: the models that it registered; empty if it failed or is switched off.
        datasets: the data sets, likewise.
        logs: the kinds of logs that it registered, likewise, and their factories.
        error: why it failed, in one line; empty if it did not.
        traceback: of the failure, whole.
        enabled: False if ``MNISTZOO_PLUGINS`` switches it off.
    """

    distribution: str
    version: str
    entry_point: str
    location: str = ""
    specs: tuple[ModelSpec, ...] = ()
    datasets: tuple[DatasetSpec, ...] = ()
    logs: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    traceback: str = ""
    enabled: bool = True

    @property
    def provider(self) -> str:
        """Distribution and version, as messages name it."""
        return f"{self.distribution} {self.version}".rstrip()

    @property
    def installed(self) -> bool:
        """Whether another process finds it too; not so an object registered in this one."""
        return self.entry_point != _IN_PROCESS


_IN_PROCESS = "registered in this process"
_registered: list[Plugin] = []


def register_plugin(plugin: object, name: str) -> None:
    """Register a module or object that implements a hook, for this process only.

    For notebooks and tests; an installed plugin needs an entry point instead.

    Args:
        plugin: has a function ``register_models`` or ``register_datasets``, or both, marked with
            ``hookimpl``.
        name: stands in messages where an installed plugin has its distribution.

    Raises:
        PluginError: if a hook fails.
    """
    try:
        registered = call_hooks(plugin)
    except Exception as error:
        raise PluginError(f"plugin {name} failed: {describe(error)}") from error
    unregister_plugin(name)
    _registered.append(Plugin(one_line(name), "", _IN_PROCESS, **registered._asdict()))


def unregister_plugin(name: str) -> None:
    """Take back :func:`register_plugin`; a name that is not registered is left alone."""
    _registered[:] = [known for known in _registered if known.distribution != one_line(name)]


def load_plugins() -> tuple[Plugin, ...]:
    """Return every plugin, those that failed or are switched off too.

    Installed plugins are loaded at the first call; each failure is logged once, in one line.
    ``MNISTZOO_PLUGINS`` selects them by distribution: ``a,b`` loads only these, ``-a,-b`` all but
    these, the empty string none.

    Raises:
        PluginError: for the first failure, if ``MNISTZOO_STRICT`` is 1.
    """
    return (*_load_installed(), *_registered)


def registered() -> tuple[Plugin, ...]:
    """Return those of :func:`register_plugin`."""
    return tuple(_registered)


def load_only(distributions: Iterable[str]) -> None:
    """Have :func:`load_plugins` load those of these alone, whatever ``MNISTZOO_PLUGINS`` says.

    By exact names, which may be such as no selection could express.
    """
    global _alone
    _alone = frozenset(distributions)


_alone: frozenset[str] | None = None


def are_loaded() -> bool:
    """Say whether :func:`load_plugins` has been called in this process."""
    return bool(_load_installed.cache_info().currsize)


@cache
def _load_installed() -> tuple[Plugin, ...]:
    selection = _Selection.current()
    plugins = tuple(
        plugin
        for distribution in _installed_distributions()
        for plugin in _plugins_of(distribution, selection)
    )
    selection.warn_of_unknown({plugin.distribution for plugin in plugins})
    return plugins


def selected_distributions() -> list[importlib.metadata.Distribution]:
    """Return the distributions that have plugins and are not switched off, unloaded."""
    selection, found = _Selection.current(), _installed_distributions()
    selection.warn_of_unknown(set(map(_name, found)))
    return [each for each in found if selection.admits(_name(each))]


def _installed_distributions() -> list[importlib.metadata.Distribution]:
    """Return the distributions that have plugins, in the order of their names.

    Distribution by distribution, since one malformed ``entry_points.txt`` makes
    ``importlib.metadata.entry_points()`` fail for all.
    """
    distributions: dict[str, importlib.metadata.Distribution] = {}
    for distribution in importlib.metadata.distributions():
        # Any bytes may lie there; what is malformed is reported below.
        text = _read(distribution, "entry_points.txt")
        if f"[{GROUP}]" in text:
            # The first on the path counts, as for imports; later ones are stray copies.
            distributions.setdefault(canonicalize_name(_name(distribution)), distribution)
    return [distribution for _, distribution in sorted(distributions.items())]


def _plugins_of(
    distribution: importlib.metadata.Distribution, selection: "_Selection"
) -> Iterator[Plugin]:
    try:
        entry_points = sorted(distribution.entry_points.select(group=GROUP))
    except Exception as error:
        if selection.admits(_name(distribution)):
            problem = f"its entry_points.txt is malformed ({describe(error)})"
            yield _failed(distribution, "", error, problem)
        return
    for entry_point in entry_points:
        yield _load(distribution, entry_point, selection)


def _load(
    distribution: importlib.metadata.Distribution,
    entry_point: importlib.metadata.EntryPoint,
    selection: "_Selection",
) -> Plugin:
    if not selection.admits(_name(distribution)):
        return dataclasses.replace(_plugin(distribution, entry_point.value), enabled=False)
    try:
        _require_this_version(distribution)
        registered = call_hooks(entry_point.load())
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a plugin must not end the zoo
        return _failed(distribution, entry_point.value, error, _why(error))
    plugin = _plugin(distribution, entry_point.value)
    return dataclasses.replace(plugin, **registered._asdict())


def _read(distribution: importlib.metadata.Distribution, file: str) -> str:
    """Return a file of the distribution's metadata; what is not UTF-8 in it does not matter."""
    try:
        return distribution.read_text(file) or ""
    except UnicodeDecodeError as error:
        return error.object.decode("utf-8", "replace")


def _plugin(distribution: importlib.metadata.Distribution, entry_point: str) -> Plugin:
    module = sys.modules.get(entry_point.partition(":")[0].strip())
    location = getattr(module, "__file__", None) or str(distribution.locate_file(""))
    name, version = _name(distribution), _version(distribution)
    return Plugin(name, version, one_line(entry_point), one_line(location))


def _require_this_version(distribution: importlib.metadata.Distribution) -> None:
    """Refuse a plugin whose own requirements exclude the mnistzoo that is running."""
    for text in _metadata(distribution).get_all("Requires-Dist", []):
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # pip would have refused it, so nobody relies on it
        if canonicalize_name(requirement.name) != "mnistzoo":
            continue
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        if not requirement.specifier.contains(__version__, prereleases=True):
            raise PluginError(
                f"it is built for mnistzoo{requirement.specifier}, but this is mnistzoo "
                f"{__version__}; install versions of the two that fit"
            )


def _why(error: BaseException) -> str:
    """Return why a plugin failed; what only another version of mnistzoo knows is called so."""
    found = reason(error)
    if isinstance(error, ImportError | AttributeError) and (hidden := hidden_module(error)):
        return f"{found}; {hidden}"
    unknown_field = isinstance(error, TypeError) and (
        "unexpected keyword argument" in found or "required keyword-only argument" in found
    )
    unknown_name = isinstance(error, ImportError) and str(error.name).split(".")[0] == "mnistzoo"
    unknown_hook = isinstance(error, pluggy.PluginValidationError)
    if unknown_field or unknown_name or unknown_hook:
        return (
            f"{found}; it is misspelt, or the plugin is built for another version than mnistzoo "
            f"{__version__}"
        )
    return found


def _failed(
    distribution: importlib.metadata.Distribution,
    entry_point: str,
    error: BaseException,
    reason: str,
) -> Plugin:
    plugin = dataclasses.replace(
        _plugin(distribution, entry_point), error=reason, traceback=format_traceback(error)
    )
    if os.environ.get("MNISTZOO_STRICT") == "1":
        raise PluginError(f"plugin {plugin.provider} failed to load: {reason}") from error
    log_failure(plugin)
    return plugin


def log_failure(plugin: Plugin) -> None:
    """Log in one line that a plugin failed, and why."""
    _log.warning(
        "plugin %s failed to load: %s (`mnistzoo plugins` shows more)",
        *(plugin.provider, plugin.error),
    )


def unloaded(distribution: importlib.metadata.Distribution) -> Plugin:
    """Return what its metadata say of a distribution's plugin."""
    return _plugin(distribution, "")


class Registered(NamedTuple):
    """What the hooks of a plugin register; see :class:`Plugin`."""

    specs: tuple[ModelSpec, ...]
    datasets: tuple[DatasetSpec, ...]
    logs: Mapping[str, str]


def call_hooks(plugin: object) -> Registered:
    """Return what a plugin registers.

    Whatever one of its hooks raises is raised, and then nothing of it counts.
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    manager.check_pending()
    if not manager.get_hookcallers(plugin):
        raise TypeError(
            "it implements no hook; mark its register_models, register_datasets or register_logs "
            "with @mnistzoo.hookimpl"
        )
    models: list[ModelSpec] = []
    datasets: list[DatasetSpec] = []
    logs: dict[str, str] = {}

    def register_model(spec: ModelSpec) -> None:
        if type(spec) is not ModelSpec:  # what a class of the plugin's own answers may change
            raise TypeError(f"register() takes a ModelSpec, not {type(spec).__name__}")
        _require_new(spec.names, {name for known in models for name in known.names})
        models.append(copy.deepcopy(spec))  # the plugin may go on changing its own

    def register_dataset(spec: DatasetSpec) -> None:
        if type(spec) is not DatasetSpec:
            raise TypeError(f"register() takes a DatasetSpec, not {type(spec).__name__}")
        if spec.name in (own := [each.name for each in DATASETS]):
            raise ValueError(f"the data sets {' and '.join(own)} are mnistzoo's own")
        _require_new((spec.name,), {known.name for known in datasets})
        datasets.append(copy.deepcopy(spec))

    def register_log(kind: str, factory: str) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", kind):
            raise ValueError(f"the kind of log {kind!r} is not made of a-z, 0-9 and _")
        if not re.fullmatch(r"[\w.]+:[\w.]+", factory):
            raise ValueError(
                f"the factory {factory!r} of the log {kind} is not like 'package.module:callable'"
            )
        if kind in OWN_LOGS:
            raise ValueError(f"the logs {' and '.join(OWN_LOGS)} are mnistzoo's own")
        if kind in logs:
            raise ValueError(f"it registers the log {kind!r} twice")
        logs[kind] = factory

    for hook, function in (
        ("register_models", register_model),
        ("register_datasets", register_dataset),
        ("register_logs", register_log),
    ):
        for returned in getattr(manager.hook, hook)(register=function):
            if inspect.iscoroutine(returned):
                returned.close()
            raise TypeError(
                f"its {hook} returns a {type(returned).__name__}; write a plain function that "
                "calls register() and returns nothing"
            )
    return Registered(tuple(models), tuple(datasets), logs)


def _require_new(names: tuple[str, ...], taken: set[str]) -> None:
    if twice := taken.intersection(names):
        raise ValueError(f"it registers the name {min(twice)!r} twice")


@dataclass(frozen=True)
class _Selection:
    only: frozenset[str] | None
    without: frozenset[str]

    @classmethod
    def current(cls) -> "_Selection":
        if _alone is not None:
            return cls(frozenset(map(canonicalize_name, _alone)), frozenset())
        words = os.environ.get("MNISTZOO_PLUGINS")
        if words is None:
            return cls(None, frozenset())
        names = [word.strip() for word in words.split(",") if word.strip()]
        without = frozenset(canonicalize_name(name[1:]) for name in names if name.startswith("-"))
        only = frozenset(canonicalize_name(name) for name in names if not name.startswith("-"))
        return cls(None if without and not only else only, without)

    def admits(self, distribution: str) -> bool:
        name = canonicalize_name(distribution)
        return name not in self.without and (self.only is None or name in self.only)

    def warn_of_unknown(self, distributions: set[str]) -> None:
        known = {canonicalize_name(name) for name in distributions}
        for name in sorted(((self.only or frozenset()) | self.without) - known):
            _log.warning("MNISTZOO_PLUGINS names %s, which is not an installed plugin", name)


def _name(distribution: importlib.metadata.Distribution) -> str:
    """Return its name; a half-removed one has no metadata."""
    return one_line(_metadata(distribution)["Name"] or "(a distribution without a name)")


def _version(distribution: importlib.metadata.Distribution) -> str:
    return one_line(_metadata(distribution)["Version"] or "")


def _metadata(distribution: importlib.metadata.Distribution) -> Message:
    text = _read(distribution, "METADATA") or _read(distribution, "PKG-INFO")
    return email.message_from_string(text)
