"""The plugins in examples/: each does all that a model can do in the zoo, or it is said why not."""

import importlib
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from packaging.requirements import Requirement

import mnistzoo
from mnistzoo import (
    Dataset,
    compare,
    evaluate,
    export_onnx,
    get_spec,
    load_dataset,
    load_model,
    train,
)
from mnistzoo.export import ExportError
from mnistzoo.plugins import unregister_plugin
from mnistzoo.recipe import NO_RECIPE
from mnistzoo.testing import run_checks

EXAMPLES = Path(__file__).parents[1] / "examples"


@dataclass(frozen=True)
class Example:
    """What an example shows.

    Attributes:
        model: the name that it registers.
        accuracy: that it reaches at least on 600 images, or as shipped.
        not_applicable: how many checks do not apply.
        why_not: it cannot be exported; empty if it can.
        dataset: that it is trained and evaluated on.
    """

    model: str
    accuracy: float
    not_applicable: int
    why_not: str = ""
    dataset: str = "mnist-10k"

    @property
    def data(self) -> Dataset:
        return load_dataset(self.dataset)


CASES = {
    "example-capsules": Example("capsules", 0.5, 4),
    "example-svm": Example("svm", 0.85, 10, "it is a SVC"),
    "example-onnx": Example("onnx_net", 0.98, 9, "it is a Predictor"),
    "example-mc-dropout": Example("mc_dropout", 0.6, 7, "draws random numbers"),
    "example-lion-mixup": Example("lion_mixup", 0.6, 4),
    "example-width": Example("wide", 0.7, 4),
    "example-letters": Example("letters_net", 0.7, 4, dataset="example-letters"),
    "example-muon": Example("muon", 0.7, 5),
    "example-gan": Example("gan", 0.7, 5),
}


@pytest.fixture(scope="module", params=CASES)
def example(request: pytest.FixtureRequest) -> Iterator[Example]:
    folder = EXAMPLES / request.param
    package = request.param.replace("-", "_")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        mnistzoo.register_plugin(importlib.import_module(package), request.param)
        yield CASES[request.param]
        unregister_plugin(request.param)
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[name]


@pytest.fixture(scope="module")
def file(example: Example, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the weights that the model has, trained on a few images where it ships none."""
    folder = tmp_path_factory.mktemp("weights")
    spec = get_spec(example.model)
    if spec.is_onnx:
        return str(EXAMPLES / "example-onnx" / "example_onnx" / "net.onnx")
    # As many steps as an epoch of mnist-10k has.
    own = not spec.fit or spec.recipes["default"] != NO_RECIPE
    fields: dict[str, Any] = {"epochs": 10, "batch_size": 40} if own else {}
    data = example.data
    few, held_out = data.train[:600], data.validation
    result = train(example.model, few, validation=held_out, device="cpu", **fields)
    assert result.complete and result.provenance.train_seconds > 0
    assert result.provenance.metrics["validation_accuracy"] == result.validation_accuracy
    return str(result.save(folder / "weights.safetensors"))


def test_all_examples_are_tested() -> None:
    assert {path.parent.name for path in EXAMPLES.glob("*/pyproject.toml")} == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_an_example_declares_its_entry_point_and_this_version(name: str) -> None:
    project = tomllib.loads((EXAMPLES / name / "pyproject.toml").read_text("utf-8"))["project"]
    package = name.replace("-", "_")
    assert project["name"] == name and project["entry-points"]["mnistzoo"] == {package: package}
    (needed,) = (
        each for each in map(Requirement, project["dependencies"]) if each.name == "mnistzoo"
    )
    assert mnistzoo.__version__ in needed.specifier


def test_an_example_is_trained_saved_loaded_and_evaluated(example: Example, file: str) -> None:
    data = example.data
    model = load_model(example.model, file, data)
    found = evaluate(model, data.test[:2000], device="cpu")
    assert found.accuracy > example.accuracy and found.classes == data.classes


def test_an_example_is_compared_from_its_file(example: Example, file: str) -> None:
    (row,) = compare([file], example.data, device="cpu").rows
    assert row.error is None and row.measurement is not None
    assert row.accuracy is not None and row.accuracy > example.accuracy
    assert row.params and row.measurement.file_bytes and row.measurement.latency_256_us


def test_an_example_is_exported_or_says_why_not(
    example: Example, file: str, tmp_path: Path
) -> None:
    weights = None if get_spec(example.model).is_onnx else file
    if not example.why_not:
        export = export_onnx(
            example.model, tmp_path / "x.onnx", weights=weights, dataset=example.data
        )
        assert export.fp32.changed == 0
        return
    with pytest.raises(ExportError, match=example.why_not):
        export_onnx(example.model, tmp_path / "x.onnx", weights=weights)


def test_an_example_passes_its_checks(example: Example) -> None:
    results = run_checks(example.model)
    assert not [result for result in results if result.bad or result.status == "not reached"]
    found = Counter(result.status for result in results)
    messages = [result for result in results if result.status == "not applicable"]
    assert found == {
        "passed": len(results) - example.not_applicable,
        "not applicable": example.not_applicable,
    }, messages


def test_mixup_draws_from_the_generator_that_it_is_given() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES / "example-lion-mixup")
        mixup = importlib.import_module("example_lion_mixup.model").mixup
    images, labels = torch.rand(8, 1, 28, 28), torch.eye(8)
    blends = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        blends.append(mixup(images, labels, torch.Generator().manual_seed(0), 1.0)[0])
    assert torch.equal(*blends) and not torch.equal(blends[0], images)
    del sys.modules["example_lion_mixup"], sys.modules["example_lion_mixup.model"]
