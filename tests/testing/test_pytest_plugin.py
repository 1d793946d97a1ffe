"""What the checks are under pytest, in a process of their own."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mnistzoo.testing.checks import CHECKS

pytestmark = pytest.mark.usefixtures("one_thread")

Install = Callable[..., Path]
Run = Callable[..., subprocess.CompletedProcess[str]]

REGISTER = """\
@hookimpl
def register_models(register):
    register(linear({name!r}, license="MIT", source="the tests", {changes}))
"""

# A plugin author's whole test file.
TEST = """\
from mnistzoo.testing import parametrize_with_checks

@parametrize_with_checks({name!r})
def test_my_model(check):
    check()
"""


@pytest.fixture
def pytest_on(tmp_path: Path, install_plugin: Install, run_module: Run) -> Run:
    """Return ``pytest_on(name, *arguments, changes="", model_code=None)``.

    It installs a model and runs pytest in a directory where there is a test file only if the
    arguments name one.
    """

    def run(
        name: str, *arguments: str, changes: str = "", model_code: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        code = {} if model_code is None else {"model_code": model_code}
        install_plugin(name, REGISTER.format(name=name, changes=changes), **code)
        work = tmp_path / "work"
        work.mkdir()
        if "test_contract.py" in arguments:
            (work / "test_contract.py").write_text(TEST.format(name=name))
        return run_module("pytest", "-p", "no:cacheprovider", *arguments)

    return run


def test_five_lines_are_a_test_for_every_check(pytest_on: Run) -> None:
    done = pytest_on("right", "test_contract.py", "-v", changes="empty_batch=True")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    for check in CHECKS:
        assert any(f"::test_my_model[right-{check}] PASSED" in line for line in lines)
    assert "mnistzoo: right: 19 checks on 10,000 test images: 19 passed" in lines
    assert "19 passed" in lines[-1]


def test_what_a_check_left_out_stands_above_the_sum(pytest_on: Run) -> None:
    weights = (
        'Weights(file="a.onnx", sha256=64 * "0", metrics={}, measured="", dataset="unheard-of")'
    )
    arguments = ("--mnistzoo-check", "partial", "-k", "weights")
    done = pytest_on("partial", *arguments, changes=f"further_weights=({weights},)")
    assert done.returncode == 0, done.stdout + done.stderr
    left_out = "mnistzoo: partial: weights: the weights for unheard-of were not looked at, since no"
    assert any(line.startswith(left_out) for line in done.stdout.splitlines())


def test_the_option_does_the_same_where_there_is_no_test_file(pytest_on: Run) -> None:
    arguments = ("--mnistzoo-check", "right", "-v", "-k", "not training and not onnx")
    done = pytest_on("right", *arguments, changes="empty_batch=True")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    for check in CHECKS.keys() - {"training_mode", "training", "onnx"}:
        assert any(f"right-{check} PASSED" in line for line in lines)
    # One more than were selected: gradients needs training_mode.
    assert "mnistzoo: right: 16 checks on 10,000 test images: 16 passed" in lines
    assert "16 passed, 3 deselected" in lines[-1]


def test_a_failure_is_a_message_without_a_traceback(pytest_on: Run) -> None:
    code = "from torch import nn\n\ndef linear():\n    return nn.Linear(784, 10)\n"
    done = pytest_on(
        "wrong",
        "test_contract.py",
        *("--mnistzoo-check", "wrong"),
        model_code=code,
        changes="weights=None",
    )
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    messages = [
        line
        for line in lines
        if line.startswith("wrong: output: Linear: forward() of a batch of 5")
    ]
    assert len(messages) == 2  # of the test and of the option
    assert "RuntimeError" in messages[0]
    assert not [line for line in lines if of_a_traceback(line)]
    (line,) = [
        line
        for line in lines
        if line.startswith("mnistzoo: wrong: 19 checks on 10,000 test images: ")
    ]
    assert set(line.rpartition(": ")[2].split(", ")) == {
        "6 passed",
        "1 failed",
        "2 not applicable",
        "10 not reached",
    }


def test_declared_failures_are_xfailed_and_must_fail(pytest_on: Run) -> None:
    expected = {"parameters": "it has more", "pickling_free": "there was one"}
    done = pytest_on(
        "declared",
        "test_contract.py",
        "-rxs",
        changes=f"num_params=1, expected_failures={expected}",
    )
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    (line,) = [line for line in lines if line.startswith("XFAIL")]
    assert "[declared-parameters] - it has more (num_params is 1, but" in line
    (line,) = [line for line in lines if line.startswith("declared: pickling_free: ")]
    assert "take it out of expected_failures" in line
    assert "not reached" not in done.stdout
    assert "1 failed" in lines[-1] and "1 xfailed" in lines[-1]


def of_a_traceback(line: str) -> bool:
    """Say whether it is a line of source, an exception or a place, as pytest marks them."""
    return line.startswith((">", "E  ")) or re.search(r"\.py:\d+", line) is not None


def test_an_unknown_model_of_the_option_is_one_line(run_module: Run) -> None:
    done = run_module("pytest", "-p", "no:cacheprovider", "--mnistzoo-check", "nobody")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in done.stderr.splitlines() if line]
    assert line.startswith("ERROR: there is no model 'nobody'")
    assert "FAILED" not in done.stdout


def test_an_unknown_model_of_a_test_is_a_message_without_a_traceback(
    run_module: Run, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "test_contract.py").write_text(TEST.format(name="nobody"))
    done = run_module("pytest", "-p", "no:cacheprovider")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert any(line.startswith("there is no model 'nobody'") for line in lines)
    assert "19 failed" in lines[-1]
    assert not [line for line in lines if of_a_traceback(line)]


def test_pytest_elsewhere_loads_neither_torch_nor_the_checks(
    run_python: Run, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "test_elsewhere.py").write_text(
        "import sys\n\n"
        "def test_modules(pytestconfig):\n"
        "    assert pytestconfig.pluginmanager.hasplugin('mnistzoo')\n"
        "    heavy = {'torch', 'numpy', 'mnistzoo.registry', 'mnistzoo.testing.checks'}\n"
        "    assert not heavy & sys.modules.keys()\n"
    )
    done = run_python("-m", "pytest", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout
    assert "mnistzoo: " not in done.stdout
