import argparse
import json
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from damaged import archive
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mnistzoo.weights import WeightsError, load_weights, read_metadata, save_weights

METADATA = {"model": "net", "seed": 3, "metrics": {"test_accuracy": 0.97}}


class Net(nn.Module):
    """Saved channels last, and with a buffer that is not a float."""

    def __init__(self, hidden: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, hidden, 3)
        self.norm = nn.BatchNorm2d(hidden)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.conv(images))


def net(seed: int, hidden: int = 4) -> Net:
    torch.manual_seed(seed)
    return Net(hidden)


def state(model: nn.Module) -> dict[str, list[float]]:
    return {name: tensor.tolist() for name, tensor in model.state_dict().items()}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    model = net(0)
    model.conv.weight.data = model.conv.weight.data.to(memory_format=torch.channels_last)
    save_weights(model, path, METADATA)
    return path


def test_weights_and_their_story_come_back(saved: Path) -> None:
    model = net(1)
    load_weights(model, saved)
    assert state(model) == state(net(0))
    assert read_metadata(saved) == METADATA


def test_the_file_is_plain_safetensors_that_others_can_read(saved: Path) -> None:
    with safetensors.safe_open(saved, framework="pt") as file:
        assert set(file.keys()) == set(Net().state_dict())
        assert json.loads(file.metadata()["mnistzoo"]) == METADATA


def test_tied_weights_are_saved_under_both_names(tmp_path: Path) -> None:
    def tied(seed: int) -> nn.Sequential:
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        model[1].weight = model[0].weight
        return model

    save_weights(tied(0), tmp_path / "tied.safetensors", {})
    other = tied(1)
    load_weights(other, tmp_path / "tied.safetensors")
    assert state(other) == state(tied(0))


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_a_plain_pytorch_state_dict_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    torch.save(net(0).state_dict(), path)
    model = net(1)
    load_weights(model, path)
    assert state(model) == state(net(0))


def test_another_architecture_is_refused_and_changes_nothing(saved: Path) -> None:
    for wrong, sentence in (
        (net(1, hidden=5), "does not fit Net: conv.bias is float (4,) instead of float (5,), "),
        (
            nn.Linear(3, 4),
            "does not fit Linear: it lacks bias, weight, it has conv.bias, conv.weight, norm.bias "
            "and 4 more besides; name the model that it was trained for",
        ),
    ):
        before = state(wrong)
        with pytest.raises(WeightsError) as caught:
            load_weights(wrong, saved)
        assert f"{saved} {sentence}" in str(caught.value)
        assert state(wrong) == before


def checkpoint(key: str) -> dict[str, Any]:
    """Return what a training script saves: more than three times the model's tensors."""
    model = net(0)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.zeros(2, 3, 9, 9)).sum().backward()
    optimizer.step()
    return {"epoch": 3, key: net(0).state_dict(), "optimizer": optimizer.state_dict()}


def named(prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in net(0).state_dict().items()}


def without_counter() -> dict[str, Tensor]:
    names = net(0).state_dict().items()
    return {name: tensor for name, tensor in names if "num_batches" not in name}


WRAPPED: dict[str, Callable[[], Any]] = {
    "data parallel": lambda: named("module."),
    "compiled": lambda: named("_orig_mod."),
    "compiled, data parallel": lambda: named("module._orig_mod."),
    "a compiled layer": lambda: {
        name.replace("conv.", "conv._orig_mod."): each for name, each in named("").items()
    },
    "Lightning": lambda: {"state_dict": named("model."), "hyper_parameters": {"lr": 0.1}},
    "Lightning with a weighted loss": lambda: {
        "state_dict": named("model.") | {"criterion.weight": torch.ones(10)}
    },
    "averaged": lambda: named("module.") | {"n_averaged": torch.tensor(3)},
    "under another key": lambda: {"network": named(""), "epoch": 3},
    "state_dict": lambda: checkpoint("state_dict"),
    "model_state_dict": lambda: checkpoint("model_state_dict"),
    "model": lambda: checkpoint("model"),
    "without num_batches_tracked": without_counter,
    "an ordered dict": lambda: net(0).state_dict(),
}


@pytest.mark.parametrize("wrapping", WRAPPED)
def test_weights_of_the_right_model_load_in_their_usual_wrappings(
    wrapping: str, tmp_path: Path
) -> None:
    torch.save(WRAPPED[wrapping](), tmp_path / "net.pt")
    model = net(1)
    load_weights(model, tmp_path / "net.pt")
    assert state(model) == state(net(0))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_another_precision_become_the_models(
    dtype: torch.dtype, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"net{suffix}"
    if suffix == ".pt":
        torch.save(net(0).to(dtype).state_dict(), path)
    else:
        save_weights(net(0).to(dtype), path, {})
    model = net(1)
    load_weights(model, path)
    assert model.conv.weight.dtype == torch.float32
    assert state(model) == state(net(0).to(dtype).float())


def test_an_integer_is_no_float_and_a_number_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save(net(0).state_dict() | {"norm.bias": torch.zeros(4, dtype=torch.int64)}, path)
    with pytest.raises(WeightsError, match=r"norm\.bias is int64 \(4,\) instead of float \(4,\)"):
        load_weights(net(1), path)
    torch.save(
        net(0).state_dict() | {"norm.bias": torch.full((4,), 1e300, dtype=torch.float64)}, path
    )
    with pytest.raises(WeightsError, match=r"infinite .* in norm\.bias"):
        load_weights(net(1), path)


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (net(0), r"holds a whole Python object \(.*\.Net\), and to load that would run code"),
        (
            {"state_dict": net(0).state_dict(), "arguments": argparse.Namespace(lr=0.1)},
            r"a whole Python object \(argparse\.Namespace\)",
        ),
        ({"best": net(0).state_dict(), "last": net(0).state_dict()}, "but a dict of best, last"),
        ({1: torch.zeros(2)}, "holds no state dict but a dict of 1"),
        ([1, 2], "holds no state dict but a list"),
    ],
)
def test_what_holds_no_state_dict_says_what_it_holds_and_how_to_save_one(
    held: object, words: str, tmp_path: Path
) -> None:
    torch.save(held, tmp_path / "net.pt")
    with pytest.raises(WeightsError, match=words) as caught:
        load_weights(Net(), tmp_path / "net.pt")
    assert "torch.save(model.state_dict(), 'weights.pt') saves the weights" in str(caught.value)


def test_a_torchscript_program_is_no_state_dict(tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "net.pt")
    with pytest.raises(WeightsError, match="holds a TorchScript program"):
        load_weights(nn.Linear(2, 2), tmp_path / "net.pt")


@given(keep=st.floats(0, 0.999))
@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_any_truncated_file_is_a_clear_error(tmp_path: Path, suffix: str, keep: float) -> None:
    path = tmp_path / f"cut{suffix}"
    if suffix == ".pt":
        torch.save(net(0).state_dict(), path)
    else:
        save_weights(net(0), path, METADATA)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    model = net(1)
    with pytest.raises(WeightsError, match="damaged"):
        load_weights(model, path)
    assert state(model) == state(net(1))


@pytest.mark.parametrize("spoil", [lambda t: t * torch.nan, lambda t: t.to_sparse()])
def test_values_that_no_model_can_use_change_nothing(
    tmp_path: Path, spoil: Callable[[Tensor], Tensor]
) -> None:
    state_dict = net(0).state_dict()
    state_dict["norm.weight"] = spoil(state_dict["norm.weight"])
    torch.save(state_dict, tmp_path / "spoilt.pt")
    model = net(1)
    with pytest.raises(WeightsError, match=r"spoilt\.pt has NaN.*norm\.weight"):
        load_weights(model, tmp_path / "spoilt.pt")
    assert state(model) == state(net(1))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_bytes_that_are_no_weights_are_a_clear_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"noise{suffix}"
    path.write_bytes(b"\xff" * 4096)
    with pytest.raises(WeightsError, match="damaged"):
        load_weights(Net(), path)


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def test_a_file_far_larger_than_the_model_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as stream:
        stream.truncate(10**12)  # sparse: no machine could read it
    with pytest.raises(WeightsError, match="1,000,000,000,000 bytes"):
        load_weights(Net(), path)


def binary(number: int) -> bytes:
    """Return the pickle of a number of up to 255 bytes."""
    content = number.to_bytes(8, "little")
    return b"\x8a" + bytes([len(content)]) + content


def call(name: bytes, *arguments: bytes, by: bytes = b"R") -> bytes:
    module, _, function = name.rpartition(b".")
    return b"c%b\n%b\n(%bt%b" % (module, function, b"".join(arguments), by)


STORAGE = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ"
PLACES = b"K\0" + binary(2 * 10**9) + b"\x85K\0\x85"
# A tensor of two billion elements that are all the first of its storage.
REPEATED = call(
    b"torch._utils._rebuild_tensor_v2", STORAGE, PLACES, b"\x89ccollections\nOrderedDict\n)R"
)
LATIN = b"X\x06\0\0\0latin1"
TEXT, HEX = b"X\x02\0\0\0ab", b"X\x03\0\0\0hex"
BOMBS = {
    "bytearray": call(b"builtins.bytearray", binary(2**40)),
    "bytearray of Python 2": call(b"__builtin__.bytearray", binary(2**40)),
    "new bytearray": call(b"builtins.bytearray", binary(2**40), by=b"\x81"),
    "copied tensor": call(
        b"torch._utils._rebuild_device_tensor_from_cpu_tensor", REPEATED, b"NX\3\0\0\0cpu\x89"
    ),
    "copied parameter": call(
        b"torch._utils._rebuild_device_tensor_from_cpu_tensor",
        call(b"torch._utils._rebuild_parameter", REPEATED, b"\x89N"),
        b"NX\3\0\0\0cpu\x89",
    ),
    "tensor made large": call(
        b"torch._utils._rebuild_device_tensor_from_cpu_tensor",
        b"ctorch\nFloatTensor\n)R(" + STORAGE + PLACES + b"tb",
        b"NX\3\0\0\0cpu\x89",
    ),
    "quantized tensor": call(b"torch._utils._rebuild_qtensor", STORAGE, PLACES, b"N\x89N"),
    "sparse tensor": call(
        b"torch._utils._rebuild_sparse_tensor", b"N(" + REPEATED + REPEATED + b"K\1\x85N" + b"t"
    ),
    "nested tensor": call(b"torch._utils._rebuild_nested_tensor", REPEATED * 4),
    "many sizes": b"("
    + b"K\1" * 100
    + b"tq\0"
    + call(b"torch._utils._rebuild_tensor", b"NNh\0N") * 1000,
    "set": call(b"builtins.set", REPEATED),
    "Counter": call(b"collections.Counter", REPEATED),
    "Counter of Python 2": call(b"UserDict.Counter", REPEATED),
    "tensor of a size": call(b"torch.FloatTensor", binary(2**40)),
    "codecs": b"c_codecs\nencode\n(" * 40 + TEXT + LATIN + b"tR" + (HEX + b"tR") * 39,
    "many sets": b"]q\0(" + b"K\1" * 100 + b"e" + call(b"builtins.set", b"h\0") * 1000,
    "keys": b"K\1\x85q\0" + b"h\0h\0\x86q\0" * 50 + b"}h\0K\1s",
    "long keys": b"(" + b"K\1" * 100 + b"tq\0}" + b"h\0K\1s" * 1000,
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_asks_for_more_than_its_size_is_refused(
    bomb: str, zipped: bool, tmp_path: Path
) -> None:
    path, pickled = tmp_path / "bomb.pth", b"\x80\x02" + BOMBS[bomb] + b"."
    path.write_bytes(archive({"data.pkl": pickled, "version": b"3\n"}) if zipped else pickled)
    with pytest.raises(WeightsError, match="may take any amount of memory or time"):
        load_weights(Net(), path)


class FromXla:
    """A tensor as ``torch.save`` writes those of devices whose storage it cannot read."""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        data = torch.rand(10, 10)
        made_by = torch._utils._rebuild_device_tensor_from_cpu_tensor
        return made_by, (data, data.dtype, "cpu", False)


@pytest.mark.filterwarnings("ignore:.*quant")
def test_what_a_training_script_may_keep_is_no_reason_to_refuse_its_weights(
    tmp_path: Path,
) -> None:
    model = net(0)
    optimizer = torch.optim.Adam(model.parameters())
    kept = {
        "model": model.state_dict(),
        "scheduler": torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5, 5]).state_dict(),
        "seen": {1, 2},
        "random": (bytearray(b"state"), b"bytes", torch.get_rng_state(), complex(1, 2)),
        "by place": {(0, (1, 2)): torch.ones(1), None: torch.Size([2])},
        "mask": torch.ones(1).expand(1000, 1000),
        "overlapping": torch.rand(1, 30, 30).unfold(1, 3, 1).unfold(2, 3, 1),
        "sparse": torch.eye(10).to_sparse(),
        "quantized": torch.quantize_per_channel(
            torch.rand(64, 64), torch.ones(64), torch.zeros(64), 0, torch.quint4x2
        ),
        "from another device": FromXla(),
    }
    for zipped in (True, False):
        torch.save(kept, tmp_path / "all.pt", _use_new_zipfile_serialization=zipped)
        other = net(1)
        load_weights(other, tmp_path / "all.pt")
        assert state(other) == state(model)


def test_members_that_unpack_to_more_than_the_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save(net(0).state_dict() | {"more": torch.zeros(1_000_000)}, path)
    with zipfile.ZipFile(path) as file:
        members = {
            name.partition("/")[2]: file.read(name) for name in file.namelist() if "/" in name
        }
    path.write_bytes(archive(members, zipfile.ZIP_DEFLATED))
    assert path.stat().st_size < 100_000
    with pytest.raises(WeightsError, match="its members are compressed"):
        load_weights(Net(), path)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("kind", ["meta", "nested"])
def test_tensors_without_values_or_shape_are_refused(kind: str, tmp_path: Path) -> None:
    values = torch.zeros(4)
    values = values.to("meta") if kind == "meta" else torch.nested.nested_tensor([values])
    torch.save(net(0).state_dict() | {"norm.bias": values}, tmp_path / "net.pt")
    with pytest.raises(WeightsError, match=r"norm\.bias"):
        load_weights(Net(), tmp_path / "net.pt")


def test_metadata_nested_too_deep_is_reported_as_damage(tmp_path: Path) -> None:
    path = tmp_path / "deep.safetensors"
    deep = {"mnistzoo": "[" * 100_000 + "]" * 100_000}
    safetensors.torch.save_file(net(0).state_dict(), path, deep)
    with pytest.raises(WeightsError, match="damaged"):
        read_metadata(path)


def test_threads_that_load_leave_the_filters_of_warnings_alone(tmp_path: Path) -> None:
    torch.save(net(0).state_dict(), tmp_path / "net.pt")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda seed: load_weights(net(seed), tmp_path / "net.pt"), range(200)))
    assert warnings.filters == before


def test_code_in_a_pickle_does_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    path = tmp_path / "hostile.pt"
    torch.save({"conv.weight": Hostile(mark)}, path)
    with pytest.raises(WeightsError):
        load_weights(Net(), path)
    path.write_bytes(pickle.dumps(Hostile(mark)))
    with pytest.raises(WeightsError):
        load_weights(Net(), path)
    assert not mark.exists()


def test_an_unknown_kind_of_file_and_a_missing_one(tmp_path: Path) -> None:
    (tmp_path / "net.h5").touch()
    with pytest.raises(WeightsError, match=r"\.safetensors, \.pt or \.pth"):
        load_weights(Net(), tmp_path / "net.h5")
    with pytest.raises(FileNotFoundError):
        load_weights(Net(), tmp_path / "none.safetensors")


def test_a_file_of_somebody_else_has_no_metadata(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(net(0).state_dict(), tmp_path / "other.safetensors")
    assert read_metadata(tmp_path / "other.safetensors") == {}
