"""ONNX files agree with PyTorch, or are not written."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from disks import Disk
from numpy.typing import NDArray

from mnistzoo import (
    MnistzooError,
    ModelSpec,
    Predictor,
    create_model,
    export_onnx,
    get_spec,
    load_dataset,
    load_model,
    train,
)
from mnistzoo.export import ExportError
from mnistzoo.inference import predict_logits

Models = Callable[..., tuple[str, Path]]

TEST = load_dataset("mnist-10k").test

# Nearest mean of the training images as a linear layer: 82 % without any training.
_CODE = '''\
import torch
from torch import nn
from torch.nn import functional as F
from mnistzoo import load_dataset


def nearest_mean():
    train = load_dataset("mnist-10k").train
    images = torch.tensor(train.images).flatten(1) / 255
    labels = torch.tensor(train.labels)
    means = torch.stack([images[labels == digit].mean(0) for digit in range(10)])
    linear = nn.Linear(784, 10)
    with torch.no_grad():
        linear.weight.copy_(means)
        linear.bias.copy_(-means.square().sum(1) / 2)
    return linear


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nearest_mean()

    def forward(self, images):
        return self.linear(images.flatten(1))


class OtherInOnnx(Wrapped):
    def forward(self, images):
        logits = super().forward(images)
        return logits.flip(1) if torch.compiler.is_exporting() else logits


class FixedBatch(Wrapped):
    def forward(self, images):
        return self.linear(images.reshape(len(images), 784))


class TwoImages(Wrapped):
    def forward(self, images):
        return self.linear(images.reshape(2, 784))


class DependsOnBatch(Wrapped):
    def forward(self, images):
        logits = super().forward(images)
        return logits - logits.mean(0)


class Tuple(Wrapped):
    def forward(self, images):
        return super().forward(images), images


class Infinite(Wrapped):
    def forward(self, images):
        return super().forward(images) / 0


class Bessel(Wrapped):
    def forward(self, images):
        return torch.special.bessel_j0(super().forward(images))


class Outlier(Wrapped):
    """One feature of a million beside the others: a scale for both leaves nothing of the others."""

    def forward(self, images):
        features = F.pad(super().forward(images), (0, 1), value=1e6)
        return F.linear(features, torch.eye(10, 11))


class Normalised(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.BatchNorm2d(1)
        self.conv = nn.Conv2d(1, 4, 3)
        self.second = nn.BatchNorm2d(4)
        self.head = nn.Linear(4 * 26 * 26, 10)
        self.last = nn.BatchNorm1d(10)
        for norm in (self.first, self.second, self.last):
            nn.init.uniform_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.uniform_(norm.weight)

    def forward(self, images):
        features = F.relu(self.second(self.conv(self.first(images).relu())))
        return self.last(self.head(features.flatten(1)).relu())
'''


@pytest.fixture
def model(
    tmp_path: Path, register: Callable[..., None], linear_spec: Callable[..., ModelSpec]
) -> Iterator[Models]:
    """Return ``model(factory)``: the name of a registered model of ``_CODE``, and its weights."""

    def registering(factory: str, num_params: int = 7850) -> tuple[str, Path]:
        # Another name for each test: Python would keep the module of the one before.
        module = "models_" + hashlib.sha256(str(tmp_path).encode()).hexdigest()[:8]
        (tmp_path / f"{module}.py").write_text(_CODE)
        name = factory.lower()
        register(
            linear_spec(name, factory=f"{module}:{factory}", num_params=num_params, weights=None)
        )
        torch.manual_seed(0)
        torch.save(create_model(name).state_dict(), tmp_path / "weights.pt")
        return name, tmp_path / "weights.pt"

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        yield registering


def reference(name: str, weights: Path | None = None) -> NDArray[np.float32]:
    images = TEST.tensors()[0]
    return predict_logits(load_model(name, weights), images).numpy()


def test_the_file_predicts_what_pytorch_predicts(model: Models, tmp_path: Path) -> None:
    name, weights = model("Wrapped")
    export = export_onnx(name, tmp_path / "model.onnx", weights=weights)
    expected = reference(name, weights)
    predictor = Predictor(tmp_path / "model.onnx")
    inputs = (TEST.images[:, None] / 255).astype(np.float32)
    for size in (1, 3, 1000, 10_000):
        logits = predictor.logits(inputs[:size])
        assert np.abs(logits - expected[:size]).max() < 1e-4
    assert export.fp32.max_difference < 1e-4 and export.fp32.changed == 0
    assert export.fp32.accuracy == (expected.argmax(1) == TEST.labels).mean() > 0.8
    assert export.fp32.file_bytes == (tmp_path / "model.onnx").stat().st_size
    assert export.int8 is None


def test_the_file_is_one_valid_file_that_says_what_it_is(
    tmp_path: Path, register: Callable[..., None], linear_spec: Callable[..., ModelSpec]
) -> None:
    weights = linear_spec("any").weights
    assert weights is not None
    weights = dataclasses.replace(weights, temperature=0.2, threshold=0.875)
    register(linear_spec("linear", license="MIT", weights=weights), plugin="own")
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch)
        export_onnx("linear", tmp_path / "linear.onnx")
    disk.require_safe("linear.onnx")
    assert os.listdir(tmp_path) == ["linear.onnx"]
    proto = onnx.load(tmp_path / "linear.onnx", load_external_data=False)
    onnx.checker.check_model(proto, full_check=True)
    assert b".py" not in proto.SerializeToString()  # nothing of the folders where it was made
    (image,), (logits,) = proto.graph.input, proto.graph.output
    assert (image.name, logits.name) == ("image", "logits")
    shape = image.type.tensor_type.shape.dim
    assert shape[0].dim_param and [size.dim_value for size in shape[1:]] == [1, 28, 28]
    facts = {each.key: each.value for each in proto.metadata_props}
    assert (facts["model"], facts["plugin"], facts["license"]) == ("linear", "own", "MIT")
    assert json.loads(facts["labels"]) == [str(digit) for digit in range(10)]
    assert json.loads(facts["declared_metrics"]) == {"test_accuracy": 0.1135}
    assert float(facts["test_accuracy"]) == 0.1135
    assert (facts["temperature"], facts["threshold"]) == ("0.2", "0.875")
    shipped = dict(load_dataset("mnist-10k").checksums)
    checksums = json.loads(facts["test_data"])
    assert len(checksums) == 2 and checksums.items() <= shipped.items()


def test_where_the_weights_come_from_goes_into_the_file_and_comes_back(
    register: Callable[..., None], linear_spec: Callable[..., ModelSpec], tmp_path: Path
) -> None:
    declared = linear_spec("any").weights
    assert declared is not None
    declared = dataclasses.replace(declared, temperature=0.2, threshold=0.875)
    register(linear_spec("linear", weights=declared), plugin="own")
    result = train("linear", load_dataset("mnist-10k"), epochs=1)
    weights = result.save(tmp_path / "linear.safetensors")
    for int8 in (False, True):
        export_onnx("linear", tmp_path / "m.onnx", weights=weights, int8=int8, force=True)
        assert Predictor(tmp_path / "m.onnx").provenance == result.provenance
    torch.save(result.model.state_dict(), tmp_path / "linear.pt")
    export_onnx("linear", tmp_path / "m.onnx", weights=tmp_path / "linear.pt")
    found = Predictor(tmp_path / "m.onnx")
    assert found.provenance is None and found.calibration is None  # the plugin's is of its weights

    told = result.provenance.to_dict()
    proto = onnx.load(tmp_path / "m.onnx")
    entry = proto.metadata_props.add(key="provenance")
    entry.value = json.dumps(told | {"dataset": "\x1b[31mred", "further": 1})
    read = Predictor(proto.SerializeToString()).provenance
    assert read == dataclasses.replace(result.provenance, dataset="?[31mred")
    for damaged, says in (
        ("{", "not the JSON"),
        ("[1]", "not the JSON"),
        ("[" * 5_000, "not the JSON"),
        ('{"model": ' * 5_000, "not the JSON"),
        (json.dumps({"model": "x" * 100_000}), r"100,013 characters"),
        (json.dumps({"model": "x"}), "no environment, epochs_completed"),
        (json.dumps(told | {"seed": "1", "final": 1}), "wrong kind in final, seed"),
    ):
        entry.value = damaged
        with pytest.raises(MnistzooError, match=says):
            Predictor(proto.SerializeToString()).provenance  # noqa: B018


def test_no_batch_norm_is_left(model: Models, tmp_path: Path) -> None:
    """One folds into the convolution before it, the others become a product and a sum."""
    name, weights = model("Normalised", 27_120)
    export = export_onnx(name, tmp_path / "model.onnx", weights=weights)
    nodes = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert "BatchNormalization" not in nodes
    assert (nodes.count("Conv"), nodes.count("Mul")) == (1, 2)
    assert export.fp32.changed == 0


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        (
            "OtherInOnnx",
            r"disagrees with PyTorch on 10000 test images \(0, 1, .*nothing was written",
        ),
        ("FixedBatch", r"its forward\(\) fixes the number of images"),
        ("TwoImages", r"its forward\(\) fixes the number of images"),
        ("DependsOnBatch", r"other logits in a batch of 1 than of 100;"),
        ("Tuple", r"gives no logits under PyTorch itself"),
        ("Infinite", r"some logits are NaN or infinite"),
        ("Bessel", r"ONNX has nothing for its operation prims\.bessel_j0"),
    ],
)
def test_what_cannot_be_exported_faithfully_is_not_written(
    model: Models, tmp_path: Path, factory: str, sentence: str
) -> None:
    name, weights = model(factory)
    path = tmp_path / "out" / "model.onnx"
    path.parent.mkdir()
    path.write_text("what was there before")
    with pytest.raises(MnistzooError, match=sentence):
        export_onnx(name, path, weights=weights)
    assert path.read_text() == "what was there before"
    assert os.listdir(path.parent) == ["model.onnx"]


def test_a_model_that_declares_why_it_cannot_be_exported_gives_that_reason(
    model: Models, register: Callable[..., None], tmp_path: Path
) -> None:
    name, weights = model("Bessel")
    spec = get_spec(name)
    declared = dataclasses.replace(spec, expected_failures={"onnx": "ONNX has no Bessel functions"})
    register(declared)
    with pytest.raises(ExportError) as caught:
        export_onnx(name, tmp_path / "model.onnx", weights=weights)
    assert str(caught.value) == f"model {name!r} cannot be exported: ONNX has no Bessel functions"
    assert not (tmp_path / "model.onnx").exists()


def test_int8_is_smaller_and_as_accurate(model: Models, tmp_path: Path) -> None:
    name, weights = model("Wrapped")
    export = export_onnx(name, tmp_path / "model.onnx", weights=weights, int8=True)
    assert export.int8 is not None
    assert export.int8.file_bytes < export.fp32.file_bytes / 2
    assert abs(export.int8.accuracy - export.fp32.accuracy) <= 0.001
    proto = onnx.load(tmp_path / "model.onnx")
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in proto.graph.node}
    facts = Predictor(tmp_path / "model.onnx").metadata
    assert float(facts["test_accuracy"]) == export.int8.accuracy
    assert "int8" in facts["precision"]


def test_int8_is_refused_where_it_costs_accuracy_unless_forced(
    model: Models, tmp_path: Path
) -> None:
    name, weights = model("Outlier")
    path = tmp_path / "model.onnx"
    with pytest.raises(ExportError, match=r"falls from 8\d\.\d\d to .* --force writes it"):
        export_onnx(name, path, weights=weights, int8=True)
    assert not path.exists()
    export = export_onnx(name, path, weights=weights, int8=True, force=True)
    assert export.int8 is not None and export.int8.accuracy < export.fp32.accuracy - 0.001
    assert path.exists()


def test_a_folder_that_is_not_there_is_found_before_any_work(
    register: Callable[..., None], linear_spec: Callable[..., ModelSpec], tmp_path: Path
) -> None:
    register(linear_spec("linear"))
    with pytest.raises(OSError, match="nowhere"):
        export_onnx("linear", tmp_path / "nowhere" / "model.onnx")
