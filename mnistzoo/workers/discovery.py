"""What the installed plugins register, each asked in a process of its own."""

import dataclasses
import logging
import os
from importlib.metadata import Distribution
from typing import Any

from mnistzoo import plugins
from mnistzoo.dataset_spec import DatasetSpec
from mnistzoo.errors import MnistzooError, one_line, printable, reason
from mnistzoo.plugins import Plugin, PluginError
from mnistzoo.spec import ModelSpec
from mnistzoo.workers.crew import Crew
from mnistzoo.workers.worker import Limits, ServerEnded, can_isolate

_IMPORT_SECONDS = 120
_log = logging.getLogger("mnistzoo")


def discovered(limits: Limits | None = None) -> tuple[Plugin, ...]:
    """Return what :func:`mnistzoo.plugins.load_plugins` does, without running a plugin's code here.

    Where this process has loaded the plugins already, or cannot start workers, those count.
    Installed plugins are asked at the first call.

    Args:
        limits: of each process; it has two minutes at most.

    Raises:
        PluginError: for the first failure, if ``MNISTZOO_STRICT`` is 1.
    """
    if plugins.are_loaded() or not can_isolate():
        return plugins.load_plugins()
    return (*_installed(limits or Limits()), *plugins.registered())


def _installed(limits: Limits) -> tuple[Plugin, ...]:
    if not _found:
        _found.append(_asked(limits))
    return _found[0]


_found: list[tuple[Plugin, ...]] = []


def _asked(limits: Limits) -> tuple[Plugin, ...]:
    limits = Limits(min(limits.seconds, _IMPORT_SECONDS), limits.memory)
    distributions = plugins.selected_distributions()
    with Crew(os.cpu_count() or 1) as crew:
        answers = crew.pool.map(lambda each: _ask(crew, each, limits), distributions)
        asked = list(zip(distributions, answers, strict=True))
    found = list[Plugin]()
    for distribution, answer in asked:
        if answer is None:  # again, beside nobody
            with Crew(1) as crew:
                answer = _ask(crew, distribution, limits) or [
                    dataclasses.replace(
                        plugins.unloaded(distribution),
                        error="it ends the process it was forked from",
                    )
                ]
        found += answer
    for plugin in found:
        if not plugin.error:
            continue
        if os.environ.get("MNISTZOO_STRICT") == "1":
            raise PluginError(f"plugin {plugin.provider} failed to load: {plugin.error}")
        plugins.log_failure(plugin)
    return tuple(found)


def _ask(crew: Crew, distribution: Distribution, limits: Limits) -> list[Plugin] | None:
    """Return the plugins of a distribution; None if the server ended meanwhile."""
    nothing = plugins.unloaded(distribution)
    try:
        with (
            crew.turn(),
            crew.worker({nothing.distribution}, limits=limits) as worker,
        ):
            worker.send({"task": "discover"})
            facts, _ = worker.receive()
        return [_plugin(nothing, each) for each in facts["plugins"]]
    except ServerEnded:
        return None
    except MnistzooError as error:
        return [dataclasses.replace(nothing, error=reason(error))]
    except Exception as error:  # whatever a worker may have sent
        _log.debug("no registration", exc_info=True)
        why = f"its process answered with no registration ({one_line(str(error))})"
        return [dataclasses.replace(nothing, error=why)]


def _plugin(nothing: Plugin, facts: dict[str, Any]) -> Plugin:
    return dataclasses.replace(
        nothing,
        entry_point=one_line(facts["entry_point"]),
        location=one_line(facts["location"]),
        error=one_line(facts["error"]),
        traceback=printable(facts["traceback"]),
        specs=tuple(map(ModelSpec.from_dict, facts["specs"])),
        datasets=tuple(map(DatasetSpec.from_dict, facts["datasets"])),
        logs={one_line(kind): one_line(factory) for kind, factory in facts["logs"].items()},
    )
