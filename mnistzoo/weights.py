"""Weights in files: safetensors with their story out and in, plain PyTorch state dicts in."""

import hashlib
import io
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from mnistzoo.errors import MnistzooError
from mnistzoo.files import expanded, replacing

_STORY = "mnistzoo"
_MOST_BESIDES = 1_000_000  # bytes of names and metadata beside the tensors


class WeightsError(MnistzooError):
    """A weights file is damaged, hostile, or for another architecture."""


def save_weights(model: nn.Module, path: str | os.PathLike[str], story: Mapping[str, Any]) -> None:
    """Write a model's state dict as safetensors, whole or not at all.

    Args:
        model: whose weights to write.
        path: the file; one that is there is replaced.
        story: where the weights come from; anything that JSON can hold. It is kept in the file's
            metadata under ``mnistzoo``, and :func:`read_story` returns it.

    Raises:
        OSError: if the file cannot be written.
    """
    payload = to_bytes(model, story)
    with replacing(path) as stream:
        stream.write(payload)


def to_bytes(model: nn.Module, story: Mapping[str, Any]) -> bytes:
    """Return the content of the file that :func:`save_weights` writes."""
    state = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }
    return safetensors.torch.save(state, metadata={_STORY: json.dumps(story, sort_keys=True)})


def read_story(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what :func:`save_weights` was told; empty for a file that somebody else wrote.

    Raises:
        WeightsError: if it is no safetensors file.
        OSError: if it cannot be read.
    """
    path = _existing(path)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            story = json.loads((file.metadata() or {}).get(_STORY, "{}"))
    except (safetensors.SafetensorError, ValueError) as error:
        raise WeightsError(_damaged(path, error)) from error
    return story if isinstance(story, dict) else {}


def load_weights(model: nn.Module, path: str | os.PathLike[str], sha256: str | None = None) -> None:
    """Load a file into a model; the model is changed only if everything in the file fits.

    Args:
        model: whose names, shapes and dtypes the file must match exactly.
        path: a ``.safetensors`` file, or a PyTorch state dict ``.pt`` or ``.pth``, which is read
            with ``weights_only=True``, so no code in it runs.
        sha256: that the file must have; None: any.

    Raises:
        WeightsError: if the file is damaged, hostile, of another kind or for another architecture.
        OSError: if it cannot be read.
    """
    path = _existing(path)
    expected = model.state_dict()
    # Before any of it is read.
    size, most = path.stat().st_size, sum(tensor.nbytes for tensor in expected.values())
    if size > most + _MOST_BESIDES:
        raise WeightsError(
            f"{path} has {size:,} bytes, but the tensors of {type(model).__name__} only {most:,}; "
            "name the model that it was trained for"
        )
    content = path.read_bytes()  # once, so that what is loaded is what was verified
    if sha256 is not None:
        _verify_sha256(path, content, sha256)
    state = _read_state(path, content)
    if state.keys() != expected.keys():
        missing = _some(expected.keys() - state.keys())
        unexpected = _some(state.keys() - expected.keys())
        raise WeightsError(
            f"{path} is for another architecture than {type(model).__name__}: it lacks {missing} "
            f"and has {unexpected} besides; name the model that it was trained for"
        )
    for name, tensor in state.items():
        found, wanted = (f"{t.dtype} {tuple(t.shape)}" for t in (tensor, expected[name]))
        if found != wanted:
            raise WeightsError(
                f"{path} is for another architecture than {type(model).__name__}: {name} is "
                f"{found}, expected {wanted}; name the model that it was trained for"
            )
        # An infinity that the model itself begins with, as in an attention mask, is right.
        if (
            tensor.layout != torch.strided
            or not (tensor.isfinite() | (tensor == expected[name].cpu())).all()
        ):
            raise WeightsError(
                f"{path} has NaN, infinite or sparse values in {name}; train it again"
            )
    model.load_state_dict(state)


def _verify_sha256(path: Path, content: bytes, expected: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise WeightsError(
            f"{path} has SHA-256 {found}, but its plugin declares {expected}; install the plugin "
            "again, or declare this one if you made the file"
        )


def _read_state(path: Path, content: bytes) -> dict[str, Tensor]:
    try:
        match path.suffix:
            case ".safetensors":
                return safetensors.torch.load(content)
            case ".pt" | ".pth":
                with warnings.catch_warnings(action="ignore"):
                    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            case _:
                raise WeightsError(
                    f"{path} has an unknown kind of name; take .safetensors, .pt or .pth"
                )
    except (MnistzooError, OSError):
        raise
    except Exception as error:  # torch raises many kinds for a damaged or hostile file
        raise WeightsError(_damaged(path, error)) from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    ):
        raise WeightsError(f"{path} holds no state dict; save model.state_dict() into it")
    return dict(state)


def _existing(path: str | os.PathLike[str]) -> Path:
    path = expanded(path)
    if not path.is_file():
        raise FileNotFoundError(2, "there is no such weights file", str(path))
    return path


def _damaged(path: Path, error: Exception) -> str:
    reason = str(error).strip().partition("\n")[0].partition(". ")[0]
    return f"{path} is damaged or no weights file ({reason}); get or train it again"


def _some(names: set[str]) -> str:
    listed = ", ".join(sorted(names)[:3]) or "nothing"
    return listed if len(names) <= 3 else f"{listed} and {len(names) - 3} more"
