"""Weights in files: safetensors with their metadata, plain PyTorch state dicts in."""

import hashlib
import io
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from mnistzoo import estimators
from mnistzoo.classifier import is_module
from mnistzoo.errors import MnistzooError, one_line
from mnistzoo.files import expanded, replacing
from mnistzoo.modules import unwrapped
from mnistzoo.provenance import Provenance
from mnistzoo.torch_files import BombError, refuse_bombs
from mnistzoo.warning_filters import warnings_kept_back

_METADATA_KEY = "mnistzoo"
_MOST_BESIDES = 1_000_000  # bytes of names and metadata beside the tensors
_MOST_TIMES = 8  # the model: a checkpoint has the optimizer's averages too, perhaps all in float64
_WRAPPINGS = ("state_dict", "model_state_dict", "model", "module", "net", "weights")
_HOW_TO_SAVE = (
    "where it was trained, torch.save(model.state_dict(), 'weights.pt') saves the weights"
)

StateDict = dict[str, Tensor]


class WeightsError(MnistzooError):
    """A weights file is damaged, hostile, or for another architecture."""


def save_weights(
    model: Any, path: str | os.PathLike[str], metadata: Provenance | Mapping[str, Any]
) -> None:
    """Write a model's state dict as safetensors, whole or not at all.

    Args:
        model: whose weights to write: a module, or another classifier with what it has learned.
        path: the file; one that is there is replaced.
        metadata: where the weights come from, anything that JSON can hold. :func:`read_metadata`
            returns it; in the file it stands under ``mnistzoo``.

    Raises:
        OSError: if the file cannot be written.
        StateError: if what a classifier has learned is not all arrays.
    """
    payload = to_bytes(model, metadata)
    with replacing(path) as stream:
        stream.write(payload)


def to_bytes(model: Any, metadata: Provenance | Mapping[str, Any]) -> bytes:
    """Return the content of the file that :func:`save_weights` writes."""
    told = metadata.to_dict() if isinstance(metadata, Provenance) else metadata
    # Other libraries refuse a file that does not say whose tensors it holds.
    facts = {"format": "pt", _METADATA_KEY: json.dumps(told, sort_keys=True)}
    if isinstance(model, StoredWeights):
        return model.to_bytes(facts[_METADATA_KEY])
    if not is_module(model):
        return estimators.to_bytes(model, facts | {"format": "np"})
    state = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in unwrapped(model).state_dict().items()
    }
    return safetensors.torch.save(state, metadata=facts)


@dataclass(frozen=True)
class StoredWeights:
    """The weights of a model whose code this process does not run: the content of their file."""

    content: bytes

    def __post_init__(self) -> None:
        """Refuse what is not a safetensors file.

        Raises:
            SafetensorError: if it is none.
        """
        safetensors.torch.load(self.content)

    def to_bytes(self, told: str) -> bytes:
        """Return the content with another text of metadata under ``mnistzoo``."""
        length = int.from_bytes(self.content[:8], "little")
        header = json.loads(self.content[8 : 8 + length])
        metadata = header.setdefault("__metadata__", {})
        if metadata.get(_METADATA_KEY) == told:
            return self.content
        metadata[_METADATA_KEY] = told
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text + self.content[8 + length :]


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what :func:`save_weights` was told; empty for a file that somebody else wrote.

    Raises:
        WeightsError: if it is not a safetensors file.
        OSError: if it cannot be read.
    """
    path = _existing(path)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = json.loads((file.metadata() or {}).get(_METADATA_KEY, "{}"))
    except (safetensors.SafetensorError, ValueError, RecursionError) as error:
        raise WeightsError(_damaged(path, error)) from error
    return metadata if isinstance(metadata, dict) else {}


def load_weights(model: Any, path: str | os.PathLike[str], sha256: str | None = None) -> None:
    """Load a file into a model; the model is changed only if everything in the file fits.

    A training script's file counts as what it holds: the state dict of a checkpoint, names with
    ``module.`` or another prefix of a wrapper before them, floats of another precision. Batch
    norm's ``num_batches_tracked``, which old files lack, is then 0.

    Args:
        model: whose names and shapes the file must match; or another classifier, new.
        path: a ``.safetensors`` file, or a PyTorch state dict ``.pt`` or ``.pth``, which is read
            with ``weights_only=True``, so no code in it runs.
        sha256: that the file must have; None: any.

    Raises:
        WeightsError: if the file is damaged, hostile, of another kind or for another architecture.
        OSError: if it cannot be read.
    """
    path = _existing(path)
    if not is_module(model):
        _load_state(model, path, sha256)
        return
    model = unwrapped(model)
    expected = model.state_dict()
    # Before any of it is read.
    size, own = path.stat().st_size, sum(tensor.nbytes for tensor in expected.values())
    if size > _MOST_TIMES * own + _MOST_BESIDES:
        raise WeightsError(
            f"{path} has {size:,} bytes, but the tensors of {type(model).__name__} only {own:,}; "
            "name the model that it was trained for"
        )
    content = path.read_bytes()  # once, so that what is loaded is what was verified
    if sha256 is not None:
        _verify_sha256(path, content, sha256)
    state = _with_names_of(expected, _read_state(path, content))
    if differences := _differences(state, expected):
        # With the same names it may be the right model, for another number of classes.
        and_data = ", or the data set," if state.keys() == expected.keys() else ""
        raise WeightsError(
            f"{path} does not fit {type(model).__name__}: {differences}; name the model{and_data} "
            "that it was trained for"
        )
    for name, tensor in state.items():
        if tensor.is_meta:
            raise WeightsError(f"{path} has no values in {name}, which lies on the meta device")
        state[name] = tensor = tensor.to(expected[name].dtype)
        # An infinity that the model itself begins with, as in an attention mask, is right.
        if (
            tensor.layout != torch.strided
            or not (tensor.isfinite() | (tensor == expected[name].cpu())).all()
        ):
            raise WeightsError(
                f"{path} has NaN, infinite or sparse values in {name}; train it again"
            )
    model.load_state_dict(state)


def read_onnx(path: str | os.PathLike[str], sha256: str | None = None) -> bytes:
    """Return the content of an ONNX file, of bounded size.

    Raises:
        WeightsError: if it is too large, or has another checksum.
        OSError: if it cannot be read.
    """
    return _bounded(_existing(path), sha256)


def _bounded(path: Path, sha256: str | None) -> bytes:
    size = path.stat().st_size
    if size > estimators.MOST_BYTES:
        raise WeightsError(
            f"{path} has {size:,} bytes, more than the {estimators.MOST_BYTES:,} that are read; "
            "name a smaller one"
        )
    content = path.read_bytes()
    if sha256 is not None:
        _verify_sha256(path, content, sha256)
    return content


def _load_state(model: Any, path: Path, sha256: str | None) -> None:
    """Load what a classifier that is not a module has learned."""
    if path.suffix != ".safetensors":
        raise WeightsError(f"{path} is not a .safetensors file, which {type(model).__name__} needs")
    content = _bounded(path, sha256)
    try:
        estimators.from_bytes(model, content)
    except estimators.StateError as error:
        raise WeightsError(f"{path}: {error}; name the model that it was trained for") from error


def _with_names_of(expected: StateDict, state: StateDict) -> StateDict:
    """Return the state with the names of the expected one, as far as wrappers changed them."""
    state = {name.replace("_orig_mod.", ""): tensor for name, tensor in state.items()}
    needed = {name for name in expected if not name.endswith("num_batches_tracked")}
    if not needed <= state.keys():
        # Below a wrapper's prefix, beside what else the wrapper holds (a loss, a counter).
        prefixes = {
            name.removesuffix(last)
            for last in list(needed)[:1]
            for name in state
            if name.endswith(f".{last}")
        }
        fitting = [each for each in prefixes if {each + name for name in needed} <= state.keys()]
        if len(fitting) == 1:
            (prefix,) = fitting
            state = {
                name.removeprefix(prefix): tensor
                for name, tensor in state.items()
                if name.startswith(prefix)
            }
    counters = {name for name in expected if name.endswith("num_batches_tracked")}
    if not counters & state.keys():  # a file of PyTorch before 0.4.1
        state |= {name: torch.zeros_like(expected[name], device="cpu") for name in counters}
    return state


def _differences(state: StateDict, expected: StateDict) -> str:
    """Return in words what of the state does not fit; empty if all does."""
    found = []
    if missing := expected.keys() - state.keys():
        found.append(f"it lacks {_some(missing)}")
    if unexpected := state.keys() - expected.keys():
        found.append(f"it has {_some(unexpected)} besides")
    if others := {
        f"{name} is {_kind(tensor)} instead of {_kind(expected[name])}"
        for name, tensor in state.items()
        if name in expected and _kind(tensor) != _kind(expected[name])
    }:
        found.append(_some(others))
    return ", ".join(found)


def _kind(tensor: Tensor) -> str:
    """Return dtype and shape; floats are all of one kind, since they can be converted."""
    if tensor.is_nested:  # it has no shape
        return "nested"
    dtype = "float" if tensor.is_floating_point() else str(tensor.dtype).removeprefix("torch.")
    return f"{dtype} {tuple(tensor.shape)}"


def _verify_sha256(path: Path, content: bytes, expected: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise WeightsError(
            f"{path} has SHA-256 {found}, but its plugin declares {expected}; install the plugin "
            "again, or declare this one if you made the file"
        )


def _read_state(path: Path, content: bytes) -> StateDict:
    try:
        match path.suffix:
            case ".safetensors":
                return safetensors.torch.load(content)
            case ".pt" | ".pth":
                refuse_bombs(content)
                with warnings_kept_back():
                    found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            case _:
                raise WeightsError(
                    f"{path} has an unknown kind of name; take .safetensors, .pt or .pth"
                )
    except BombError as error:
        raise WeightsError(
            f"{path} may take any amount of memory or time ({error}); {_HOW_TO_SAVE}"
        ) from error
    except (MnistzooError, OSError):
        raise
    except Exception as error:  # torch raises many kinds for a damaged or hostile file
        if objects := _objects(str(error)):
            raise WeightsError(
                f"{path} holds {objects}, and to load that would run code; {_HOW_TO_SAVE}"
            ) from error
        raise WeightsError(_damaged(path, error)) from error
    state = found
    if isinstance(found, dict) and not _is_state(found):
        inside = [each for each in found.values() if _is_state(each) and each]
        by_name = [found[key] for key in _WRAPPINGS if key in found]
        state = next(iter(by_name or inside), found) if by_name or len(inside) == 1 else found
    if not _is_state(state):
        held = (
            f"a dict of {_some({_key(each) for each in found})}"
            if isinstance(found, dict)
            else (f"a {type(found).__name__}")
        )
        raise WeightsError(f"{path} holds no state dict but {held}; {_HOW_TO_SAVE}")
    return dict(state)


def _is_state(found: object) -> TypeGuard[Mapping[str, Tensor]]:
    return isinstance(found, Mapping) and all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in found.items()
    )


def _key(key: object) -> str:
    """Return a key as a text; a tensor or storage would take long to write out."""
    return str(key) if isinstance(key, str | bytes | int) else type(key).__name__


def _objects(refusal: str) -> str:
    """Return what torch refuses to load as mere weights; empty where that is not the reason."""
    if "TorchScript" in refusal:
        return "a TorchScript program"
    if name := re.search(r"Unsupported (?:global: GLOBAL|class) ([\w.]+)", refusal):
        return f"a whole Python object ({name[1]})"
    return ""


def _existing(path: str | os.PathLike[str]) -> Path:
    path = expanded(path)
    if not path.is_file():
        raise FileNotFoundError(2, "there is no such weights file", str(path))
    return path


def _damaged(path: Path, error: Exception) -> str:
    reason = one_line(str(error).strip().partition("\n")[0].partition(". ")[0])
    return f"{path} is damaged or no weights file ({reason}); get or train it again"


def _some(names: set[str]) -> str:
    listed = one_line(", ".join(sorted(names)[:3])) or "nothing"
    return listed if len(names) <= 3 else f"{listed} and {len(names) - 3} more"
