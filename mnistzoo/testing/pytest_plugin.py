"""The checks under pytest: ``parametrize_with_checks`` and ``pytest --mnistzoo-check MODEL``.

pytest loads this wherever mnistzoo is installed, so it imports the checks on first use only.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mnistzoo.testing.runner import Result

_PROPERTY = "mnistzoo"


class ModelCheck:
    """One check of one model, as a test calls it; what came of it is the test's outcome."""

    def __init__(self, model: str, check: str) -> None:
        self.model = model
        self.check = check
        self.result: Result | None = None  # of its last run

    def __repr__(self) -> str:
        return f"{self.model}-{self.check}"

    def __call__(self) -> None:
        from mnistzoo.registry import ModelError
        from mnistzoo.testing.runner import run_check

        __tracebackhide__ = True
        try:
            result = run_check(self.model, self.check)
        except ModelError as error:
            pytest.fail(str(error), pytrace=False)
        self.result = result
        match result.status:
            case "failed as expected":
                pytest.xfail(result.message)
            case "not applicable" | "not reached":
                pytest.skip(f"{result.status}: {result.message}")
            case "failed" | "passed unexpectedly":
                pytest.fail(f"{self.model}: {self.check}: {result.message}", pytrace=False)


def parametrize_with_checks(*models: str) -> pytest.MarkDecorator:
    """Decorate a test with an argument ``check``: it runs once a check and model.

    What a model cannot pass stands in its spec, in ``expected_failures``.

    >>> from mnistzoo.testing import parametrize_with_checks
    >>> @parametrize_with_checks("my_model")
    ... def test_my_model(check):
    ...     check()
    """
    return pytest.mark.parametrize("check", _checks(models), ids=repr)


def _checks(models: tuple[str, ...] | list[str]) -> list[ModelCheck]:
    from mnistzoo.testing.checks import CHECKS

    return [ModelCheck(model, check) for model in models for check in CHECKS]


class _CheckItem(pytest.Item):
    """A check that no test file names, collected by ``--mnistzoo-check``."""

    def __init__(self, *, check: ModelCheck, **options: Any) -> None:
        super().__init__(**options)
        self.check = check

    def runtest(self) -> None:
        self.check()

    def reportinfo(self) -> tuple[Any, None, str]:
        return self.path, None, f"mnistzoo {self.name}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--mnistzoo-check``."""
    parser.getgroup("mnistzoo").addoption(
        "--mnistzoo-check",
        action="append",
        default=[],
        metavar="MODEL",
        help="run the checks of mnistzoo on this installed model; may be repeated",
    )


def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add the checks of the models that ``--mnistzoo-check`` names.

    Raises:
        pytest.UsageError: if no model has one of the names.
    """
    if models := config.getoption("mnistzoo_check"):
        from mnistzoo.registry import ModelError
        from mnistzoo.testing.subject import Subject

        try:
            for model in models:
                Subject(model)
        except ModelError as error:
            raise pytest.UsageError(str(error)) from error
        items += [
            _CheckItem.from_parent(session, name=repr(check), check=check)
            for check in _checks(models)
        ]


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Note what came of a check in the test's report, which reaches xdist's controller too."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    check = item.check if isinstance(item, _CheckItem) else parameters.get("check")
    if isinstance(check, ModelCheck) and check.result:
        item.user_properties.append((_PROPERTY, list(dataclasses.astuple(check.result))))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many checks of each model were run, and what came of them."""
    noted = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "teardown"
        for name, value in report.user_properties
        if name == _PROPERTY
    ]
    if noted:
        from mnistzoo.testing.runner import Result, count

        # Each once, also if run twice.
        results = {
            (each.model, each.check): each for each in (Result(*value) for value in noted)
        }.values()
        for model in sorted({result.model for result in results}):
            of_model = [result for result in results if result.model == model]
            for each in of_model:
                if each.status == "passed" and each.message:
                    terminalreporter.write_line(f"mnistzoo: {model}: {each.check}: {each.message}")
            terminalreporter.write_line(f"mnistzoo: {model}: {count(of_model)}")
