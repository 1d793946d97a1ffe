"""What the suites share: every installed model as a parameter, one thread, shipped images."""

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import nn

from mnistzoo import Dataset, create_model, get_spec, list_models, load_dataset, load_model
from mnistzoo.classifier import is_module
from mnistzoo.cpu import computing_threads
from mnistzoo.export import ExportError, export_onnx
from mnistzoo.measure import multiply_adds
from mnistzoo.provenance import environment
from mnistzoo.registry import get_registration
from mnistzoo.spec import DEFAULT_DATASET

THREADS = 1


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a benchmark with ``model`` each model, one with ``trainable`` each that is trained."""
    if "model" in metafunc.fixturenames:
        metafunc.parametrize("model", list_models())
    if "trainable" in metafunc.fixturenames:
        metafunc.parametrize("trainable", [n for n in list_models() if get_spec(n).recipes])


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: Any) -> None:
    machine_info["mnistzoo"] = environment(torch.device("cpu")) | {"threads": THREADS}


_deselected: list[str] = []


def pytest_deselected(items: list[pytest.Item]) -> None:
    _deselected.extend(item.name for item in items)


def pytest_benchmark_update_json(
    config: pytest.Config, benchmarks: list[Any], output_json: dict[str, Any]
) -> None:
    """Note for ``regressions.py`` what ``-k``, or a path, left out: benchmarks or functions."""
    session: Any = config.pluginmanager.get_plugin("session")
    names = [*_deselected, *(item.name for item in session.items)]
    collected = {name.partition("[")[0] for name in names}
    defined = {
        function
        for file in Path(__file__).parent.glob("test_*.py")
        for function in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    output_json["not_run"] = sorted({*_deselected, *(defined - collected)})


@pytest.fixture(autouse=True)
def _one_thread_and_seed() -> Iterator[None]:
    torch.manual_seed(0)
    random.seed(0)
    with computing_threads(THREADS), threadpool_limits(THREADS):  # the second: numpy's products
        yield


@pytest.fixture(scope="session")
def data() -> Dataset:
    return load_dataset("mnist-10k")


@pytest.fixture(scope="session")
def facts() -> Callable[[str], dict[str, Any]]:
    """Return ``facts(model)``: what a benchmark of it says in its ``extra_info``."""
    known: dict[str, dict[str, Any]] = {}

    def of(name: str) -> dict[str, Any]:
        if name not in known:
            spec, plugin = get_spec(name), get_registration(name).plugin
            known[name] = {
                "model": name,
                "dataset": "mnist-10k",
                "provider": plugin.provider,
                "params": spec.num_params,
                "multiply_adds": multiply_adds(create_model(name)),
                "test_accuracy": spec.metrics_on(DEFAULT_DATASET).get("test_accuracy"),
                "threads": THREADS,
            }
        return known[name]

    return of


@pytest.fixture(scope="session")
def eager() -> Callable[[str], nn.Module]:
    """Return ``eager(model)``: with its shipped weights; without any the benchmark is skipped."""

    def of(name: str) -> nn.Module:
        spec = get_spec(name)
        if spec.weights_for(DEFAULT_DATASET) is None and not spec.members:
            pytest.skip(f"{name} ships no weights for MNIST")
        return load_model(name)

    return of


@pytest.fixture(scope="session")
def exportable() -> Callable[[str], None]:
    """Return ``exportable(model)``: skips the benchmark of one that declares that it is not."""

    def check(name: str) -> None:
        if not is_module(create_model(name)):
            pytest.skip(f"{name} cannot be exported: it is no torch module")
        if reason := get_spec(name).expected_failures.get("onnx"):
            pytest.skip(f"{name} cannot be exported: {reason}")

    return check


@pytest.fixture(scope="session")
def onnx_files(
    tmp_path_factory: pytest.TempPathFactory, exportable: Callable[[str], None]
) -> Callable[[str, bool], Path]:
    """Return ``onnx_files(model, int8)``: its exported file, int8 where that is not refused."""
    folder = tmp_path_factory.mktemp("onnx")

    def of(name: str, int8: bool) -> Path:
        exportable(name)
        path = folder / f"{name}{'-int8' if int8 else ''}.onnx"
        if not path.exists():
            try:
                export_onnx(name, path, int8=int8)
            except ExportError as error:
                if not int8:
                    raise
                pytest.skip(str(error))
        return path

    return of


@pytest.fixture
def inputs(data: Dataset) -> Callable[[int], NDArray[np.float32]]:
    """Return ``inputs(n)``: the first test images as a model takes them."""
    return lambda size: (data.test.images[:size, None] / 255).astype(np.float32)
