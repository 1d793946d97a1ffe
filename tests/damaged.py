"""Kinds of files that the zoo reads: sound ones to be damaged, and what reads them."""

import functools
import gzip
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from PIL import Image
from torch import nn

from mnistzoo import load_dataset, load_weights
from mnistzoo.data.idx import idx_bytes, parse_idx
from mnistzoo.inputs import as_input
from mnistzoo.pictures import decode, read_picture
from mnistzoo.weights import read_metadata

MOST_MEMORY = 250_000_000  # bytes beyond what the process had
_A_LARGE_PICTURE = 370_000_000  # a WebP's decoder takes 4 bytes for each of up to 89 million pixels
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")

TEST = load_dataset("mnist-10k").test


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        share: of all cases.
        samples: returns sound ones.
        read: what the zoo does with one.
        packed: makes a file of what was mutated.
        memory: bytes that it may take.
    """

    share: float
    samples: Callable[[], Sequence[bytes]]
    read: Callable[[bytes], object]
    packed: Callable[[bytes], bytes] = bytes
    memory: int = MOST_MEMORY


@functools.cache
def _model() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 10), nn.BatchNorm1d(10))


def archive(members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return a file as torch.save writes it, or would if it compressed its members."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as file:
        for name, content in members.items():
            file.writestr(f"archive/{name}", content)
    return packed.getvalue()


def members(content: bytes) -> dict[str, bytes]:
    """Return what is in a file that torch.save wrote, by the names that :func:`archive` takes."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {name.partition("/")[2]: file.read(name) for name in file.namelist()}


def _idx() -> list[bytes]:
    plain = [idx_bytes(TEST.images[:3]), idx_bytes(TEST.labels[:50])]
    return [*plain, *(gzip.compress(each, mtime=0) for each in plain)]


def _safetensors() -> list[bytes]:
    told = {"mnistzoo": json.dumps({"model": "linear", "metrics": {"test_accuracy": 0.9}})}
    return [safetensors.torch.save(_model().state_dict(), told)]


def _pytorch() -> list[bytes]:
    """Return files of both forms of torch.save: of weights, and of all that a script may keep."""
    model = _model()
    optimizer = torch.optim.Adam(model.parameters())
    steps = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5, 5])
    model(torch.rand(4, 16)).sum().backward()
    optimizer.step()
    everything = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": steps.state_dict(),  # it has a Counter
        "seen": {1, 2},
        "random": bytearray(b"state"),
    }
    written = []
    for content in (model.state_dict(), everything):
        for zipped in (True, False):
            stream = io.BytesIO()
            torch.save(content, stream, _use_new_zipfile_serialization=zipped)
            written.append(stream.getvalue())
    return written


def _pickles() -> list[bytes]:
    return [members(each)["data.pkl"] for each in _pytorch() if each.startswith(b"PK")]


def _around(pickled: bytes) -> bytes:
    return archive({**_members(), "data.pkl": pickled})


@functools.cache
def _members() -> dict[str, bytes]:
    return members(samples_of("pytorch")[2])  # with everything that a script may keep


def _pictures() -> list[bytes]:
    image = Image.fromarray(255 - TEST.images[0]).resize((56, 56)).convert("RGB")
    written = []
    for name in _FORMATS:
        stream = io.BytesIO()
        image.save(stream, name, **({"progressive": True} if name == "JPEG" else {}))
        written.append(stream.getvalue())
    return written


def _onnx() -> list[bytes]:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = torch.rand(10, 1, 28, 28).numpy()
    nodes = [
        helper.make_node("Conv", ["image", "weight"], ["convolved"], kernel_shape=[28, 28]),
        helper.make_node("Relu", ["convolved"], ["positive"]),
        helper.make_node("Flatten", ["positive"], ["logits"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(weight, "weight")],
    )
    opsets = [helper.make_opsetid("", 17)]
    samples = []
    for labels in (json.dumps(list("0123456789")), "[" * 200_000):
        made: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        helper.set_model_props(made, {"model": "made", "labels": labels})
        samples.append(made.SerializeToString())
    return samples


def _load_weights(suffix: str) -> Callable[[bytes], None]:
    def load(content: bytes) -> None:
        path = Path(f"weights{suffix}")
        path.write_bytes(content)
        if suffix == ".safetensors":
            read_metadata(path)
        load_weights(_model(), path)

    return load


def _predict(content: bytes) -> None:
    from mnistzoo import Predictor

    Predictor(content).logits(as_input(TEST.images[:3]))


KINDS: Mapping[str, Kind] = {
    "idx": Kind(0.3, _idx, lambda content: parse_idx(content, "the file")),
    "safetensors": Kind(0.2, _safetensors, _load_weights(".safetensors")),
    "pytorch": Kind(0.13, _pytorch, _load_weights(".pth")),
    "pickle": Kind(0.12, _pickles, _load_weights(".pth"), _around),
    "picture": Kind(0.2, _pictures, decode, memory=_A_LARGE_PICTURE),
    # The same, and what is found on it.
    "digit": Kind(0.02, _pictures, read_picture, memory=_A_LARGE_PICTURE),
    # The trial of a file may take 1 GiB.
    "onnx": Kind(0.03, _onnx, _predict, memory=MOST_MEMORY + 2**30),
}


@functools.cache
def samples_of(name: str) -> Sequence[bytes]:
    torch.manual_seed(0)
    return KINDS[name].samples()
