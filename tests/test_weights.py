import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mnistzoo.weights import WeightsError, load_weights, read_story, save_weights

STORY = {"model": "net", "seed": 3, "metrics": {"test_accuracy": 0.97}}


class Net(nn.Module):
    """Saved channels last, and with a buffer that is no float."""

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
    save_weights(model, path, STORY)
    return path


def test_weights_and_their_story_come_back(saved: Path) -> None:
    model = net(1)
    load_weights(model, saved)
    assert state(model) == state(net(0))
    assert read_story(saved) == STORY


def test_the_file_is_plain_safetensors_that_others_can_read(saved: Path) -> None:
    with safetensors.safe_open(saved, framework="pt") as file:
        assert set(file.keys()) == set(Net().state_dict())
        assert json.loads(file.metadata()["mnistzoo"]) == STORY


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
    for wrong in (net(1, hidden=5), nn.Linear(3, 4)):
        before = state(wrong)
        with pytest.raises(WeightsError, match="another architecture") as caught:
            load_weights(wrong, saved)
        assert str(saved) in str(caught.value)
        assert state(wrong) == before


@given(keep=st.floats(0, 0.999))
@settings(
    derandomize=True,
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_any_truncated_file_is_a_clear_error(tmp_path: Path, suffix: str, keep: float) -> None:
    path = tmp_path / f"cut{suffix}"
    if suffix == ".pt":
        torch.save(net(0).state_dict(), path)
    else:
        save_weights(net(0), path, STORY)
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


def test_a_whole_model_or_a_checkpoint_is_no_state_dict(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save({"epoch": 3, "model": net(0).state_dict()}, path)
    with pytest.raises(WeightsError, match="no state dict"):
        load_weights(Net(), path)


def test_an_unknown_kind_of_file_and_a_missing_one(tmp_path: Path) -> None:
    (tmp_path / "net.h5").touch()
    with pytest.raises(WeightsError, match=r"\.safetensors, \.pt or \.pth"):
        load_weights(Net(), tmp_path / "net.h5")
    with pytest.raises(FileNotFoundError):
        load_weights(Net(), tmp_path / "none.safetensors")


def test_a_file_of_somebody_else_has_no_story(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(net(0).state_dict(), tmp_path / "other.safetensors")
    assert read_story(tmp_path / "other.safetensors") == {}
