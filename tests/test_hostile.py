"""What plugins and models do to themselves, they do to nobody else: many in one comparison.

All of hostile.py takes minutes (``python tests/hostile.py``); here is one of each sort.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile
import pytest
from processes import run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
KINDS = (
    *("exit_in_factory", "exit_in_forward", "exit_says_why", "exit_at_import", "exit_7_at_exit"),
    *("segfault_in_forward", "stack_overflow", "alarm", "kills_its_group"),
    *("exits_politely", "exits_in_eval", "interrupts_in_forward", "interrupts_at_import"),
    *("raises_without_text", "raises_escapes", "sleeps_in_forward", "asks_for_a_terabyte"),
    *("starts_a_lasting_thread", "starts_a_daemon", "default_dtype", "default_device", "autocast"),
    *("global_hook", "patches_linear", "patches_a_neighbour", "patches_json", "no_torch"),
    *("another_folder", "prints_by_descriptor", "replaces_stdout", "closes_all_files"),
    *("answers_garbage", "looks_for_labels", "float64", "a_tuple", "nine_logits", "nan"),
    *("probabilities", "changes_its_input", "batch_mates", "random_logits"),
    *("ends_by_signal_40", "ends_the_server", "stops_the_server", "tells_a_huge_figure"),
    *("tells_nan", "tells_a_bad_calibration", "tells_signs_for_ever", "tells_byte_by_byte"),
    *("turns_after_a_while", "wrong_count", "absent_member", "asynchronous", "numpy_metrics"),
)
MARK = f"1{os.getpid():09}"  # seconds that what a model starts would sleep


@pytest.fixture(scope="module")
def done(
    tmp_path_factory: pytest.TempPathFactory, linear_weights: Path
) -> subprocess.CompletedProcess[str]:
    """Two sound models among many others."""
    site = tmp_path_factory.mktemp("site")
    hostile.install(site, KINDS, linear_weights, MARK)
    words = "-m mnistzoo compare --dataset mnist-10k --patience 30 --memory 2 --json -"
    plugins = ",".join((*hostile.SOUND, *KINDS))
    settings = {"PYTHONPATH": str(site), "MNISTZOO_PLUGINS": plugins, "OMP_NUM_THREADS": "1"}
    return run([sys.executable, *words.split()], env=os.environ | settings, cwd=site.parent)


@pytest.fixture(scope="module")
def rows(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(done.stdout)["models"]}


def test_the_sound_models_have_all_their_figures(
    done: subprocess.CompletedProcess[str], rows: dict[str, dict[str, Any]]
) -> None:
    assert done.returncode == 1  # some rows failed
    for name in hostile.SOUND:
        assert (rows[name]["accuracy"], rows[name]["error"]) == (hostile.ACCURACY, None)
        assert rows[name]["latency_us"] > 0 and rows[name]["multiply_adds"] == 7840


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_costs_its_own_row_which_says_why(
    name: str, done: subprocess.CompletedProcess[str], rows: dict[str, dict[str, Any]]
) -> None:
    assert hostile.faults(name, rows) == ""
    if hostile.KINDS[name].error is hostile.UNLOADED:
        assert f"mnistzoo: plugin {name} 1.0 failed to load: " in done.stderr


def test_nobody_prints_but_the_zoo(done: subprocess.CompletedProcess[str]) -> None:
    assert all(line.startswith("mnistzoo: ") for line in done.stderr.splitlines())


def test_nothing_is_left_behind(done: subprocess.CompletedProcess[str]) -> None:
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes()
        except OSError:  # it ended meanwhile
            continue
        assert MARK.encode() not in words


@pytest.fixture
def contested(install_plugin: Callable[..., Path]) -> None:
    register = "@hookimpl\ndef register_models(register):\n    register(linear({!r}))\n"
    for name in ("first", "second"):
        install_plugin(name, register.format("contested"))
    install_plugin("sound")


@pytest.mark.usefixtures("contested")
def test_a_conflict_of_names_costs_the_row_that_was_asked_for(
    run_cli: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = run_cli("compare", "sound", "contested", "--dataset", "mnist-10k", "--json", "-")
    assert done.returncode == 1
    sound, contested = json.loads(done.stdout)["models"]
    assert (sound["accuracy"], sound["error"]) == (hostile.ACCURACY, None)
    assert contested["error"].startswith("the name 'contested' is claimed by first 1.0 and second")
