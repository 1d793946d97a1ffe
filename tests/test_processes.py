"""The tests' own helper: what it starts hears Ctrl-C, and ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import run, run_module, started, wait_or_kill

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")

_WITH_A_CHILD = """\
import subprocess, sys
subprocess.run([sys.executable, "-c", "import signal; print('there', flush=True); signal.pause()"])
"""
_FINDS = """\
import os, signal, sys
print(sys.path, sys.argv, __name__, __file__, dict(os.environ), os.getcwd(), sys.stdin.read())
print(signal.getsignal(signal.SIGINT), os.getpgid(0) == os.getpid(), os.listdir("/proc/self/fd"))
print({name for name in sys.modules if name.startswith("mnistzoo")}, sys.stdout.encoding)
print("to stderr", file=sys.stderr)
import torch
print(torch.get_num_threads())
sys.exit(3)
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


def test_who_waits_for_a_process_waits_no_longer_than_the_limit() -> None:
    command = [sys.executable, "-c", _WITH_A_CHILD]
    with started(command, stdout=subprocess.PIPE) as process:
        wait_or_kill(process, limit=0.1)
        assert process.returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked")
def test_a_module_finds_in_a_fork_what_it_finds_in_a_process_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "finds.py").write_text(_FINDS)
    (tmp_path / "given").mkdir()
    changes = {"PYTHONPATH": str(tmp_path / "given"), "PYTHONIOENCODING": "utf-8"}
    env = os.environ | changes | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "finds", "1"]
    alone = run(command, env=env, cwd=tmp_path, stdin=subprocess.DEVNULL)
    forked = run_module("finds", "1", env=env, cwd=tmp_path)
    assert (alone.returncode, alone.stderr) == (3, "to stderr\n")
    assert (forked.returncode, forked.stderr) == (alone.returncode, alone.stderr)
    assert forked.stdout == alone.stdout


def test_a_module_is_killed_at_the_limit_with_what_it_started(tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text(_WITH_A_CHILD)
    done = run_module("waits", env=os.environ, cwd=tmp_path, limit=1)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "there\n")


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
