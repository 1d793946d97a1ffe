"""Runs the checks in their order and says what came of each."""

from collections import Counter
from collections.abc import Sequence
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
        message: why, in one sentence; of one that passed what it left out, mostly nothing.
        quick: whether it had every tenth of the test images only.
        images: how many test images it had; 0 where neither it nor one before it needed any.
    """

    model: str
    check: str
    status: Status
    message: str = ""
    quick: bool = False
    images: int = 0

    @property
    def bad(self) -> bool:
        """Whether somebody has to mend something."""
        return self.status in ("failed", "passed unexpectedly")


_subject = cache(Subject)
_results: dict[tuple[str, str, bool], Result] = {}


def run_checks(model: str, *, quick: bool = False) -> list[Result]:
    """Run every check of :data:`CHECKS` on a registered model, anew.

    Args:
        model: its name, or an alias.
        quick: look at every tenth of the test images only, for use while developing.

    Raises:
        ModelError: if no model has the name.
    """
    _subject.cache_clear()
    for check in CHECKS:
        _results.pop((model, check, quick), None)
    return [run_check(model, check, quick=quick) for check in CHECKS]


def run_check(model: str, check: str, *, quick: bool = False) -> Result:
    """Run one check, and before it those that it needs.

    Once a process: what a model shows at the first run stands.

    Raises:
        ModelError: if no model has the name.
    """
    key = (model, check, quick)
    if key not in _results:
        subject = _subject(model, quick=quick)
        status, message = _run(subject, model, check)
        _results[key] = Result(model, check, status, message, quick, subject.images_read)
    return _results[key]


def _run(subject: Subject, model: str, check: str) -> tuple[Status, str]:
    """Return what came of a check, and why."""
    for needed in CHECKS[check].needs:
        status = run_check(model, needed.name, quick=subject.quick).status
        if status in ("failed", "not reached"):
            return "not reached", f"it needs {needed.name}, which did not pass"
    expected = subject.spec.expected_failures.get(check)
    if why := subject.outside(CHECKS[check].group):
        return "not applicable", why
    try:
        with computing_threads():
            left_out = CHECKS[check].run(subject)
    except NotApplicable as error:
        return "not applicable", reason(error)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a model must not end the checks
        found = reason(error)
        if expected is not None:
            return "failed as expected", f"{expected} ({found})"
        return "failed", found
    if expected is not None:
        return (
            "passed unexpectedly",
            f"it was expected to fail ({expected}); take it out of expected_failures",
        )
    return "passed", left_out or ""


def count(results: Sequence[Result]) -> str:
    """Return how many checks were run, on how many images, and what came of them.

    Such as ``"2 checks on 10,000 test images: 2 passed"``.
    """
    images = max((result.images for result in results), default=0)
    on = f" on {images:,} test images" if images else ""
    statuses = Counter(result.status for result in results)
    found = ", ".join(f"{n} {status}" for status, n in statuses.most_common())
    checks = "1 check" if len(results) == 1 else f"{len(results)} checks"
    return f"{checks}{on}: {found}"
