"""The models and plugins that tests bring along: they need none of those in plugins/."""

import contextlib
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Before torch is imported: each of several processes computes with one thread.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# And where two processes share two cores, threads that wait must not spin in a test's own code.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
# pytest-benchmark, run by a test of ours, must not take itself for one of xdist's workers.
os.environ.pop("PYTEST_XDIST_WORKER", None)

import hypothesis
import numpy as np
import onnx_table
import processes
import pytest
import safetensors.torch
import torch
from browser import chromium  # noqa: F401 (a fixture)
from numpy.typing import NDArray

import mnistzoo
from mnistzoo import ModelSpec, Recipe, Weights, hookimpl
from mnistzoo.classifier import as_classifier
from mnistzoo.cpu import computing_threads
from mnistzoo.plugins import unregister_plugin

processes.restore_signals()
onnx_table.keep()
hypothesis.settings.register_profile("mnistzoo", derandomize=True, deadline=None)
hypothesis.settings.load_profile("mnistzoo")

_MODEL = """\
from torch import nn


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
"""

# In front of the code of every installed plugin: ``linear(NAME)`` is the spec of a working model.
_PREAMBLE = """\
from mnistzoo import ModelSpec, Recipe, Weights, hookimpl

def linear(name, **changes):
    recipe = Recipe(epochs=1, batch_size=64, optimizer="adam", learning_rate=0.001)
    weights = Weights(
        file="linear.safetensors",
        sha256="{sha256}",
        metrics={{"test_accuracy": 0.1135}},
        measured="by counting the ones: it takes every image for a one",
    )
    declared = dict(
        name=name,
        summary="Softmax regression",
        factory=__name__ + ".model:linear",
        num_params=7850,
        recipes={{"default": recipe}},
        weights=weights,
    )
    return ModelSpec(**declared | changes)

"""

_REGISTER = """\
@hookimpl
def register_models(register):
    register(linear({model!r}))
"""


class _Plugin:
    def __init__(self, specs: tuple[ModelSpec, ...]) -> None:
        self.specs = specs

    @hookimpl
    def register_models(self, register: Callable[[ModelSpec], None]) -> None:
        for spec in self.specs:
            register(spec)


@pytest.fixture(autouse=True)
def _own_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Keep out the settings and the cache of whoever runs the tests."""
    for variable in [name for name in os.environ if name.startswith("MNISTZOO_")]:
        monkeypatch.delenv(variable)
    cache = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("MNISTZOO_CACHE_DIR", str(cache))


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compute with one thread, in subprocesses too: several wait for each other on busy cores."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with computing_threads(1):
        yield


@pytest.fixture(scope="session")
def linear_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a linear model that takes every image for a one: 1,135 of 10,000 are."""
    path = tmp_path_factory.mktemp("weights") / "linear.safetensors"
    bias = torch.zeros(10)
    bias[1] = 1
    safetensors.torch.save_file({"1.weight": torch.zeros(10, 784), "1.bias": bias}, path)
    return path


@pytest.fixture(scope="session")
def linear_sha256(linear_weights: Path) -> str:
    return hashlib.sha256(linear_weights.read_bytes()).hexdigest()


@pytest.fixture(scope="session")
def _linear_module(linear_weights: Path) -> Iterator[str]:
    linear_weights.with_name("linear_of_the_tests.py").write_text(_MODEL)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(linear_weights.parent)
        yield "linear_of_the_tests"


@pytest.fixture
def linear_spec(_linear_module: str, linear_sha256: str) -> Callable[..., ModelSpec]:
    """Return ``linear_spec(name, **changes)``: the spec of a working model with weights."""

    def spec(name: str, **changes: Any) -> ModelSpec:
        declared: dict[str, Any] = {
            "name": name,
            "summary": "Softmax regression",
            "factory": f"{_linear_module}:linear",
            "num_params": 7850,
            "recipes": {
                "default": Recipe(epochs=1, batch_size=64, optimizer="adam", learning_rate=0.001)
            },
            "weights": Weights(
                file="linear.safetensors",
                sha256=linear_sha256,
                metrics={"test_accuracy": 0.1135},
                measured="by counting the ones: it takes every image for a one",
            ),
        }
        return ModelSpec(**declared | changes)

    return spec


@pytest.fixture
def register() -> Iterator[Callable[..., None]]:
    """Return ``register(*specs, plugin="tests")``: registers models until the test ends."""
    plugins = set()

    def registering(*specs: ModelSpec, plugin: str = "tests") -> None:
        plugins.add(plugin)
        mnistzoo.register_plugin(_Plugin(specs), plugin)

    yield registering
    for plugin in plugins:
        unregister_plugin(plugin)


@pytest.fixture
def install_plugin(tmp_path: Path, linear_weights: Path, linear_sha256: str) -> Callable[..., Path]:
    """Return ``install_plugin(name, code)``: installs a distribution for :func:`run_cli`.

    Its package is named like the distribution. Without code it registers a working model of that
    name, too; with code, ``linear(name, **changes)`` is there and returns the spec of such a model.
    Returns the folder with its metadata.
    """

    def install(
        name: str,
        code: str | None = None,
        version: str = "1.0",
        model_code: str = _MODEL,
        *,
        entry_point: str = "plugin",
        site: str = "site",
    ) -> Path:
        module = name.replace("-", "_").lower()
        package = tmp_path / "sites" / site / module
        package.mkdir(parents=True)
        code = _REGISTER.format(model=module) if code is None else code
        (package / "__init__.py").write_text(_PREAMBLE.format(sha256=linear_sha256) + code)
        (package / "model.py").write_text(model_code)
        shutil.copy(linear_weights, package)
        metadata = package.with_name(f"{module}-{version}.dist-info")
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        (metadata / "entry_points.txt").write_text(f"[mnistzoo]\n{entry_point} = {module}\n")
        return metadata

    return install


@pytest.fixture
def _own_plugins(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return the options of a process that sees the test's own plugins only."""

    def options(env: dict[str, str] | None) -> dict[str, Any]:
        sites = sorted(str(site) for site in tmp_path.glob("sites/*"))
        names = {each.name for each in importlib.metadata.distributions(path=sites) if each.name}
        settings = {
            "PYTHONIOENCODING": "utf-8",
            "PYTHONUNBUFFERED": "",
            "PYTHONPATH": os.pathsep.join(sites),
            "MNISTZOO_PLUGINS": ",".join(sorted(names)),
        }
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        return {"env": os.environ | settings | (env or {}), "cwd": work}

    return options


@pytest.fixture
def run_python(
    _own_plugins: Callable[..., dict[str, Any]],
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return ``run_python(*arguments, env={})``: runs Python with the test's own plugins only."""

    def run(*arguments: str, env: dict[str, str] | None = None, **options: Any) -> Any:
        return processes.run([sys.executable, *arguments], **_own_plugins(env), **options)

    return run


@pytest.fixture
def run_module(
    _own_plugins: Callable[..., dict[str, Any]],
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return ``run_module(module, *arguments, env={})``: ``python -m MODULE``, torch imported."""

    def run(module: str, *arguments: str, env: dict[str, str] | None = None, **options: Any) -> Any:
        return processes.run_module(module, *arguments, **_own_plugins(env), **options)

    return run


@pytest.fixture
def run_cli(
    run_module: Callable[..., subprocess.CompletedProcess[str]],
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return ``run_cli(*arguments, env={})``: runs ``python -m mnistzoo``."""

    def run(*arguments: str, env: dict[str, str] | None = None) -> Any:
        if any(name.startswith(("PYTHON", "OMP_")) for name in env or {}):
            return run_python("-m", "mnistzoo", *arguments, env=env)  # read when Python starts
        return run_module("mnistzoo", *arguments, env=env)

    return run


@pytest.fixture
def start_cli(
    _own_plugins: Callable[..., dict[str, Any]],
) -> Callable[..., contextlib.AbstractContextManager[subprocess.Popen[str]]]:
    """Return ``start_cli(*arguments, env={})``: the same, running while its block does."""

    def start(*arguments: str, env: dict[str, str] | None = None, **options: Any) -> Any:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        words = [sys.executable, "-m", "mnistzoo", *arguments]
        return processes.started(words, **_own_plugins(env), **pipes)

    return start


Classify = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@pytest.fixture(scope="session")
def classify() -> Classify:
    """Return what gives the logits of images by ``resnet``."""
    return _classifier("resnet", "mnistzoo-resnet")


@pytest.fixture(scope="session")
def classify_quickly() -> Classify:
    """Return what gives the logits of images by ``tiny1k``."""
    return _classifier("tiny1k", "mnistzoo-tiny")


def _classifier(name: str, plugin: str) -> Classify:
    if name not in mnistzoo.list_models():
        pytest.skip(f"the plugin {plugin} is not installed")
    return as_classifier(mnistzoo.load_model(name)).logits
