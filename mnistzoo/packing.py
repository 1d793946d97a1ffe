"""Trees of arrays, such as a state dict, as named arrays and JSON: no pickle."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


def packed(tree: Mapping[Any, Any]) -> tuple[dict[str, Any], str]:
    """Take a tree of dicts, lists, tuples, arrays and what JSON knows apart.

    Returns:
        The arrays, NumPy's or torch's, by their places in the tree with dots between; and the rest
        of the tree as JSON.

    Raises:
        ValueError: that names what else is in the tree.
    """
    arrays: dict[str, Any] = {}
    return arrays, json.dumps(_rest(tree, (), arrays))


def unpacked(arrays: Mapping[str, Any], rest: str) -> Any:
    """Return the tree that :func:`packed` took apart, torch's tensors with their strides.

    Raises:
        KeyError, ValueError: if the two do not belong together.
    """
    return _whole(json.loads(rest), arrays)


def _rest(value: Any, place: tuple[str, ...], arrays: dict[str, Any]) -> Any:
    if isinstance(value, Mapping):
        return {
            "dict": [[key, _rest(each, (*place, str(key)), arrays)] for key, each in value.items()]
        }
    if isinstance(value, list | tuple):
        items = [_rest(each, (*place, str(i)), arrays) for i, each in enumerate(value)]
        return {"list" if isinstance(value, list) else "tuple": items}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    name = ".".join(place)
    if hasattr(value, "dtype") and hasattr(value, "shape") and str(value.dtype) != "object":
        if name in arrays:
            raise ValueError(f"two arrays are named {name}")
        arrays[name] = value
        # A tensor's layout decides how a product of matrices is rounded.
        return {"array": name, "strides": value.stride() if hasattr(value, "stride") else None}
    raise ValueError(
        f"{name} is a {type(value).__name__}, which is neither an array nor a plain value"
    )


def _whole(value: Any, arrays: Mapping[str, Any]) -> Any:
    match value:
        case {"dict": items}:
            return {key: _whole(each, arrays) for key, each in items}
        case {"list": items}:
            return [_whole(each, arrays) for each in items]
        case {"tuple": items}:
            return tuple(_whole(each, arrays) for each in items)
        case {"array": name, "strides": None}:
            return arrays[name]
        case {"array": name, "strides": strides}:
            return _strided(arrays[name], strides)
    return value


def _strided(tensor: "Tensor", strides: list[int]) -> "Tensor":
    import torch

    return torch.empty_strided(tensor.shape, strides, dtype=tensor.dtype).copy_(tensor)
