"""A part of what ``python tests/mutations.py`` tries out by the million."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

RunPython = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.skipif(sys.platform != "linux", reason="the limits of the processes are Linux's")
def test_damaged_files_are_read_or_refused_in_one_line_and_take_little(
    run_python: RunPython,
) -> None:
    script = Path(__file__).with_name("mutations.py")
    done = run_python(str(script), "--count", "20000", env={"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.count("| 0 |\n") == 7  # each kind without a fault
