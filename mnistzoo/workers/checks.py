"""The checks of a model, run in a worker."""

from collections.abc import Iterator

from mnistzoo.errors import MnistzooError, one_line, reason
from mnistzoo.plugins import Plugin
from mnistzoo.registry import Registration, find, registry
from mnistzoo.testing.checks import CHECKS
from mnistzoo.testing.runner import Result
from mnistzoo.testing.side_effects import NAME
from mnistzoo.workers.discovery import discovered
from mnistzoo.workers.rows import plugins_of
from mnistzoo.workers.worker import Limits, Worker, can_isolate

_STATUSES = {
    *("passed", "failed", "failed as expected", "passed unexpectedly", "not applicable"),
    "not reached",
}


class CannotIsolate(MnistzooError):
    """A model cannot run in a process of its own here."""


def run_checks_apart(
    model: str, *, quick: bool = False, limits: Limits | None = None
) -> Iterator[Result]:
    """Run every check of a registered model in a process of its own, and look for side effects.

    Args:
        model: its name, or an alias.
        quick: look at every tenth of the test images only.
        limits: of the process.

    Yields:
        The results, as they come; if the process ends, why is the next check's failure.

    Raises:
        CannotIsolate: if the system is not Linux, or the model was registered in this process.
        ModelError: if no model has the name, or several.
    """
    plugins = discovered(limits)
    known = registry(plugins)
    registration = find(known, model)
    if not (can_isolate() and registration.plugin.installed):
        raise CannotIsolate(
            f"model {model!r} cannot be checked in a process of its own: that takes Linux, and an "
            "installed plugin; leave --isolated out"
        )
    waiting = [NAME, *CHECKS]
    try:
        needed = plugins_of(registration, known) | _plugins_of_data(registration, plugins)
        with Worker(needed, limits=limits) as worker:
            worker.send({"task": "check", "model": model, "quick": quick})
            while waiting:
                facts, _ = worker.receive()
                yield _result(model, waiting.pop(0), facts.get("result"), quick)
    except MnistzooError as error:
        failed, *others = waiting
        yield Result(model, failed, "failed", reason(error), quick)
        for check in others:
            yield Result(model, check, "not reached", "its process had ended", quick)


def _plugins_of_data(registration: Registration, plugins: tuple[Plugin, ...]) -> set[str]:
    """Return who registers the data sets that the model's weights were trained on."""
    names = {each.dataset for each in registration.spec.all_weights}
    return {each.distribution for each in plugins if names & {data.name for data in each.datasets}}


def _result(model: str, check: str, facts: object, quick: bool) -> Result:
    told = facts if isinstance(facts, dict) else {}
    status, images = told.get("status"), told.get("images")
    if status not in _STATUSES or not isinstance(images, int):
        return Result(
            model, check, "failed", "its process answered with no result of a check", quick
        )
    return Result(model, check, status, one_line(str(told.get("message"))), quick, images)
