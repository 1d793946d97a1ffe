"""Workers: their limits, what comes back from them, and that none outlives the zoo."""

import contextlib
import importlib.metadata
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.torch
import small_data
from onnx import helper, numpy_helper

from mnistzoo import Limits

Install = Callable[..., Path]
Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., AbstractContextManager[subprocess.Popen[str]]]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
SECONDS = 120

# Tells the number of its process, and that of one that it starts, and sleeps.
_SLEEPING = """\
import os, subprocess, time
from torch import nn


class Sleeping(nn.Sequential):
    def forward(self, images):
        daemon = subprocess.Popen(["sleep", "100000"], start_new_session=True)
        with open(os.environ["TELL"], "w") as stream:
            stream.write(f"{os.getpid()} {daemon.pid}")
        time.sleep(100_000)


def linear():
    return Sleeping(nn.Flatten(), nn.Linear(784, 10))
"""


@contextlib.contextmanager
def watched(numbers: list[int]) -> Iterator[None]:
    """Require that processes which run now have ended soon after the block."""
    ends = [os.pidfd_open(number) for number in numbers]
    try:
        yield
        for end in ends:
            assert select.select([end], [], [], SECONDS)[0], "a process was left behind"
    finally:
        for end in ends:
            os.close(end)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_of_a_model_outlives_the_command(
    number: signal.Signals, install_plugin: Install, start_cli: Start, tmp_path: Path
) -> None:
    install_plugin("sleeping", model_code=_SLEEPING)
    told = tmp_path / "told"
    os.mkfifo(told)
    words = ["compare", "sleeping", "--dataset", "mnist-10k"]
    with start_cli(*words, env={"TELL": str(told)}) as process:
        numbers = [int(each) for each in told.read_text().split()]
        with watched(numbers):
            process.send_signal(number)
            process.communicate(timeout=SECONDS)
    assert process.returncode == (-number if number == signal.SIGKILL else 1)


_SCRIPT = """\
import pathlib, sys
import mnistzoo
from mnistzoo import compare, load_dataset

class Here:
    @mnistzoo.hookimpl
    def register_models(self, register):
        register(mnistzoo.ModelSpec(
            name="here", summary="", factory="linear.model:linear", num_params=7850,
            recipes={"default": mnistzoo.Recipe(
                epochs=1, batch_size=500, optimizer="adam", learning_rate=0.01
            )},
        ))

mnistzoo.register_plugin(Here(), "a script")
sys.path.append(pathlib.Path("/nowhere"))  # importlib passes over it
data = load_dataset("mnist-10k")
print([(row.name, row.accuracy, row.error) for row in compare(["linear"], data).rows])
plan = mnistzoo.TrainingPlan(seeds=2, cores=2)
rows = compare(["linear", "here"], data, train=plan).rows
print([(row.name, row.accuracy > 0.8, row.error) for row in rows])
print(rows[0].accuracy == rows[1].accuracy, "torch" in str(rows[0].measurement.seeds))
"""


def test_a_script_compares_without_a_guard_and_its_own_models_run_in_it(
    install_plugin: Install, run_python: Run, tmp_path: Path
) -> None:
    install_plugin(
        "linear",
        "@hookimpl\ndef register_models(register):\n"
        "    fast = Recipe(epochs=1, batch_size=500, optimizer='adam', learning_rate=0.01)\n"
        "    register(linear('linear', recipes={'default': fast}))\n",
    )
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)
    done = run_python(str(script), env={"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "[('linear', 0.1135, None)]",
        "[('here', True, None), ('linear', True, None)]",
        "True False",
    ]


def test_a_measured_accuracy_that_is_not_the_declared_is_a_warning(
    install_plugin: Install, run_cli: Run
) -> None:
    code = (
        "import dataclasses\n@hookimpl\ndef register_models(register):\n"
        "    spec = linear('boasting')\n"
        "    weights = dataclasses.replace(spec.weights, metrics={'test_accuracy': 0.99})\n"
        "    register(dataclasses.replace(spec, weights=weights))\n"
    )
    install_plugin("boasting", code)
    done = run_cli("compare", "boasting", "--dataset", "mnist-10k")
    assert done.returncode == 0
    assert (
        "mnistzoo: boasting has a test accuracy of 11.35 %, but its plugin declares 99.00 %; "
        "`mnistzoo check boasting` shows more"
    ) in done.stderr


_MESSY = """\
import os, threading
import torch
from torch import nn


def linear():
    torch.set_default_dtype(torch.float64)
    os.environ["MESSY"] = "1"
    threading.Thread(target=threading.Event().wait, name="messy", daemon=True).start()
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    return model.float()
"""


def test_an_isolated_check_finds_side_effects(install_plugin: Install, run_cli: Run) -> None:
    install_plugin("messy", model_code=_MESSY)
    install_plugin("tidy")
    done = run_cli("check", "--isolated", "--quick", "messy", "tidy")
    first, _, second = done.stdout.partition("tidy\n")
    line = next(each for each in first.splitlines() if "side_effects" in each)
    assert line.split()[0] == "FAILED"
    for each in ("torch's default dtype", "the environment", "the threads that run"):
        assert each in line
    assert second.splitlines()[0].split() == ["passed", "side_effects"]
    assert "checks on 1,000 test images: " in second.splitlines()[-1]


@pytest.mark.parametrize("limits", [{"seconds": 0}, {"seconds": float("inf")}, {"memory": 0}])
def test_limits_that_limit_nothing_or_all_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Limits(**limits)  # type: ignore[arg-type]


_DIGITS = """\
from mnistzoo import DataFile, DatasetSpec

@hookimpl
def register_datasets(register):
    files = tuple(DataFile(name, checksum) for name, checksum in {files!r})
    register(DatasetSpec(
        name="more-digits", summary="", classes=tuple("0123456789"), train=files[:2],
        test=files[2:], train_images=100, test_images=50, validation_size=20,
        folders=("digits:data",), weights_from="mnist",
    ))
"""


def install_digits(install_plugin: Install) -> Path:
    """Install the data set ``more-digits``; return the folder with its files."""
    content = small_data.plain(small_data.arrays(100, 50, 10))
    files = [(name, small_data.checksum(each)) for name, each in content.items()]
    folder = install_plugin("digits", _DIGITS.format(files=files)).with_name("digits") / "data"
    folder.mkdir()
    for name, each in content.items():
        (folder / name).write_bytes(each)
    return folder


@pytest.mark.parametrize("words", [(), ("--train",)])
def test_a_data_set_of_a_plugin_is_compared_on_and_no_plugin_runs_in_the_command(
    words: tuple[str, ...], install_plugin: Install, run_cli: Run
) -> None:
    folder = install_digits(install_plugin)
    install_plugin("linear")
    install_plugin("leaving", "import os\nos._exit(0)\n")
    for dataset in ("more-digits", str(folder)):
        done = run_cli("compare", "linear", "--dataset", dataset, *words, "--json", "-")
        assert done.returncode == 0, done.stderr
        (row,) = json.loads(done.stdout)["models"]
        assert row["error"] is None and row["evaluation"]["images"] == 50


_LEAVING = """\
import os
from torch import nn


class Leaving(nn.Sequential):
    def forward(self, images):
        os._exit(0)


def linear():
    return Leaving(nn.Flatten(), nn.Linear(784, 10))
"""


def endless() -> onnx.ModelProto:
    """Return a graph that computes for ever."""
    floats = onnx.TensorProto.FLOAT
    images = helper.make_tensor_value_info("images", floats, ["n", 1, 28, 28])
    logits = helper.make_tensor_value_info("logits", floats, ["n", 10])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["goes"]),
            helper.make_node("Add", ["state", "state"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", onnx.TensorProto.INT64, []),
            helper.make_tensor_value_info("going", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", onnx.TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("goes", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", onnx.TensorProto.FLOAT, None),
        ],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["images"], ["flat"]),
            helper.make_node("Loop", ["rounds", "yes", "flat"], ["looped"], body=body),
            helper.make_node("MatMul", ["looped", "columns"], ["logits"]),
        ],
        "graph",
        [images],
        [logits],
        initializer=[
            numpy_helper.from_array(np.array(2**62), "rounds"),
            numpy_helper.from_array(np.array(True), "yes"),
            numpy_helper.from_array(np.zeros((784, 10), np.float32), "columns"),
        ],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def test_a_file_costs_its_own_row_and_a_loss_of_memory_bounds_or_of_the_folder_none(
    install_plugin: Install, run_python: Run, linear_weights: Path, tmp_path: Path
) -> None:
    install_plugin("linear")
    install_plugin("leaving", model_code=_LEAVING)
    files = [tmp_path / name for name in ("endless.onnx", "leaving.safetensors")]
    onnx.save(endless(), files[0])
    state = safetensors.torch.load_file(linear_weights)
    safetensors.torch.save_file(state, files[1], {"mnistzoo": json.dumps({"model": "leaving"})})
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "json.py").write_text("import os; os._exit(9)")
    words = ["compare", "linear", *map(str, files), "--dataset", "mnist-10k", "--json", "-"]
    words += ["--patience", "15", "--memory", "99999999999"]
    done = run_python("-P", "-m", "mnistzoo", *words)
    assert done.returncode == 1, done.stderr
    errors = {row["name"]: row["error"] for row in json.loads(done.stdout)["models"]}
    assert errors["linear"] is None
    assert "it made no progress for 15 seconds" in errors[str(files[0])]
    assert "its process ended by itself, with exit code 0" in errors[str(files[1])]


def test_a_distribution_whose_name_is_a_selection_has_its_own_models_alone(
    install_plugin: Install, run_cli: Run
) -> None:
    install_plugin("-x", "@hookimpl\ndef register_models(register):\n    register(linear('x'))\n")
    install_plugin("linear")
    install_plugin("broken", "raise RuntimeError", version="0.3")
    others = importlib.metadata.entry_points(group="mnistzoo")
    switched_off = ",".join(f"-{each.dist.name}" for each in others if each.dist) or "-none"
    words = ("compare", "x", "linear", "lost", "--dataset", "mnist-10k", "--json", "-")
    done = run_cli(*words, env={"MNISTZOO_PLUGINS": switched_off})
    assert done.returncode == 1, done.stderr
    errors = {row["name"]: row["error"] for row in json.loads(done.stdout)["models"]}
    assert errors["x"] is None and errors["linear"] is None
    assert "no model 'lost' (broken 0.3 failed to load)" in errors["lost"]
