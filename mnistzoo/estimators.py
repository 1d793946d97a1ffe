"""What a classifier that is not a torch module has learned, as arrays in a safetensors file."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from mnistzoo.errors import MnistzooError
from mnistzoo.packing import packed, unpacked

MOST_BYTES = 500_000_000
_REST_KEY = "mnistzoo-state"  # in the metadata: what is not an array


class StateError(MnistzooError):
    """What a classifier has learned cannot be saved, or is none of its own."""


def state_of(model: Any) -> dict[str, Any]:
    """Return what a classifier that is not a module has learned, as a tree of arrays.

    That of its ``state_dict()``, or where it has none its attributes, and those of the estimators
    among them. What an estimator was created with is left out where it is neither an array nor
    a plain value, since its factory makes it again.
    """
    if hasattr(model, "state_dict") and hasattr(model, "load_state_dict"):
        return dict(model.state_dict())
    given = model.get_params(deep=False) if hasattr(model, "get_params") else {}
    return {
        name: _state(value)
        for name, value in vars(model).items()
        if name not in given or _plain(value)
    }


def restore(model: Any, state: Mapping[str, Any]) -> None:
    """Give a classifier that was created as the other was what :func:`state_of` returned of it."""
    if hasattr(model, "state_dict") and hasattr(model, "load_state_dict"):
        model.load_state_dict(state)
        return
    for name, value in state.items():
        if name.startswith("__") or callable(getattr(type(model), name, None)):
            raise StateError(f"{name} does not name anything that a classifier learns")
        setattr(model, name, _restored(vars(model).get(name), value))


def _nested(value: object) -> bool:
    return hasattr(value, "get_params") and not isinstance(value, type)


def _plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(map(_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    return _nested(value) or isinstance(
        value, bool | int | float | str | np.generic | np.ndarray | None
    )


def _state(value: Any) -> Any:
    if _nested(value):
        return state_of(value)
    if isinstance(value, list | tuple):
        return type(value)(map(_state, value)) if type(value) in (list, tuple) else value
    return value


def _restored(now: Any, value: Any) -> Any:
    if _nested(now) and isinstance(value, Mapping):
        restore(now, value)
        return now
    if isinstance(now, list | tuple) and isinstance(value, list | tuple) and len(now) == len(value):
        return type(now)(map(_restored, now, value))
    return value


def arrays_of(model: Any) -> dict[str, NDArray[Any]]:
    """Return the arrays that a classifier has learned, by their places in it."""
    return _packed(model)[0]


def to_bytes(model: Any, metadata: Mapping[str, str]) -> bytes:
    """Return a safetensors file with what a classifier has learned.

    Raises:
        StateError: if some of it is neither an array nor a plain value.
    """
    arrays, rest = _packed(model)
    return safetensors.numpy.save(arrays, dict(metadata) | {_REST_KEY: rest})


def from_bytes(model: Any, content: bytes) -> None:
    """Give a new classifier what :func:`to_bytes` took from another; no code in it runs.

    A file without its JSON is read as arrays by the names of attributes.

    Raises:
        StateError: if it is none for such a classifier.
    """
    try:
        arrays = safetensors.numpy.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        rest = header.get("__metadata__", {}).get(_REST_KEY)
        restore(model, arrays if rest is None else unpacked(arrays, rest))
    except MnistzooError:
        raise
    except Exception as error:
        raise StateError(
            f"it does not fit {type(model).__name__} ({type(error).__name__}: {error})"
        ) from error


def _packed(model: Any) -> tuple[dict[str, NDArray[Any]], str]:
    try:
        arrays, rest = packed(state_of(model))
    except ValueError as error:
        raise StateError(
            f"what {type(model).__name__} has learned cannot be saved without a pickle: {error}; "
            "give it state_dict() and load_state_dict() of NumPy arrays"
        ) from error
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}, rest
