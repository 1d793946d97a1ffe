"""The tests' own helper: what it starts hears Ctrl-C, and ends."""

import os
import signal
import subprocess
import sys

import pytest
from processes import run, started

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")

_WITH_A_CHILD = """\
import subprocess, sys
subprocess.run([sys.executable, "-c", "import signal; print('there', flush=True); signal.pause()"])
"""
_PYTEST_IN_THE_BACKGROUND = """\
trap '' INT TERM
exec "$0" -m pytest -q -p no:cacheprovider --rootdir . "$1"
"""
_TEST = """\
import signal, sys
import processes

processes.restore_signals()

def test_it():
    code = "import signal as s; print(s.SIG_IGN in map(s.getsignal, (s.SIGINT, s.SIGTERM)))"
    assert processes.run([sys.executable, "-c", code], check=True).stdout == "False\\n"
"""


def test_a_program_is_killed_at_the_limit_with_what_it_started() -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run([sys.executable, "-c", _WITH_A_CHILD], limit=1, check=True)
    assert caught.value.returncode == -signal.SIGKILL


def test_a_read_ends_at_the_limit() -> None:
    command = [sys.executable, "-c", _WITH_A_CHILD]
    with started(command, limit=10, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        os.killpg(process.pid, signal.SIGKILL)  # as the limit does
        assert process.stdout.readline() == ""


def test_a_child_hears_ctrl_c_although_pytest_does_not(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "test_signals.py")
    with open(path, "w", encoding="utf-8") as file:
        file.write(_TEST)
    here = os.path.dirname(__file__)
    done = run(
        ["bash", "-c", _PYTEST_IN_THE_BACKGROUND, sys.executable, path],
        env=os.environ | {"PYTHONPATH": here},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
