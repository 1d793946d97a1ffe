"""A state dict of any shape as named tensors, which a safetensors file can hold: no pickle."""

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_REST = "rest"  # beside the tensors, whose names are numbers


def packed(state: Mapping[Any, Any]) -> dict[str, Tensor]:
    """Return a tree of dicts, lists, tuples, tensors and what JSON knows as named tensors.

    Raises:
        ValueError: if something else is in it.
    """
    tensors: dict[str, Tensor] = {}
    rest = json.dumps(_without_tensors(state, tensors)).encode()
    return tensors | {_REST: torch.tensor(list(rest), dtype=torch.uint8)}


def unpacked(tensors: Mapping[str, Tensor]) -> Any:
    """Return what :func:`packed` took, tensors in the same places of memory.

    Raises:
        KeyError, ValueError: if they are no tensors of :func:`packed`.
    """
    return _with_tensors(json.loads(bytes(tensors[_REST].tolist())), tensors)


def _without_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    match value:
        case Tensor():
            name = str(len(tensors))
            tensors[name] = value
            # The layout decides how a product of matrices is rounded.
            return {"tensor": name, "strides": value.stride()}
        case Mapping():
            items = [[key, _without_tensors(each, tensors)] for key, each in value.items()]
            return {"dict": items}
        case list() | tuple():
            kind = "list" if isinstance(value, list) else "tuple"
            return {kind: [_without_tensors(each, tensors) for each in value]}
        case None | bool() | int() | float() | str():
            return value
    raise ValueError(
        f"its state holds a {type(value).__name__}, which no checkpoint can hold; train without one"
    )


def _with_tensors(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    match value:
        case {"tensor": name, "strides": strides}:
            tensor = tensors[name]
            return torch.empty_strided(tensor.shape, strides, dtype=tensor.dtype).copy_(tensor)
        case {"dict": items}:
            return {key: _with_tensors(each, tensors) for key, each in items}
        case {"list": each}:
            return [_with_tensors(one, tensors) for one in each]
        case {"tuple": each}:
            return tuple(_with_tensors(one, tensors) for one in each)
    return value
