"""Runs the checks in their order and says what came of each."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal

from mnistzoo.cpu import computing_threads
from mnistzoo.errors import reason
from mnistzoo.testing.checks import CHECKS
from mnistzoo.testing.subject import NotApplicable, Subject

Status = Literal[
    "passed", "failed", "failed as expected", "passed unexpectedly", "not applicable", "not reached"
]


@dataclass(frozen=True)
class Result:
    """What came of one check of one model.

    Attributes:
        model: its name, or the alias that was asked for.
        check: the check's name.
        status: ``"not reached"`` if a check that it needs failed. Behind an expected failure
            checks do run, so nothing is hidden where nothing is bad.
        message: why, in one sentence; empty if it passed.
    """

    model: str
    check: str
    status: Status
    message: str = ""

    @property
    def bad(self) -> bool:
        """Whether somebody has to mend something."""
        return self.status in ("failed", "passed unexpectedly")


_subject = cache(Subject)
_results: dict[tuple[str, str], Result] = {}


def run_checks(model: str) -> list[Result]:
    """Run every check of :data:`CHECKS` on a registered model, anew.

    Raises:
        ModelError: if no model has the name.
    """
    _subject.cache_clear()
    for check in CHECKS:
        _results.pop((model, check), None)
    return [run_check(model, check) for check in CHECKS]


def run_check(model: str, check: str) -> Result:
    """Run one check, and before it those that it needs.

    Once a process: what a model shows at the first run stands.

    Raises:
        ModelError: if no model has the name.
    """
    if (model, check) not in _results:
        _results[model, check] = _run(_subject(model), model, check)
    return _results[model, check]


def _run(subject: Subject, model: str, check: str) -> Result:
    for needed in CHECKS[check].needs:
        status = run_check(model, needed.name).status
        if status in ("failed", "not reached"):
            return Result(
                model, check, "not reached", f"it needs {needed.name}, which did not pass"
            )
    expected = subject.spec.expected_failures.get(check)
    try:
        with computing_threads():
            CHECKS[check].run(subject)
    except NotApplicable as error:
        return Result(model, check, "not applicable", reason(error))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a model must not end the checks
        found = reason(error)
        if expected is not None:
            return Result(model, check, "failed as expected", f"{expected} ({found})")
        return Result(model, check, "failed", found)
    if expected is not None:
        return Result(
            model,
            check,
            "passed unexpectedly",
            f"it was expected to fail ({expected}); take it out of expected_failures",
        )
    return Result(model, check, "passed")


def count(results: Iterable[Result]) -> str:
    """Return how many checks were run and what came of them, such as ``"2 checks: 2 passed"``."""
    statuses = Counter(result.status for result in results)
    total = sum(statuses.values())
    return f"{total} checks: {', '.join(f'{n} {status}' for status, n in statuses.most_common())}"
