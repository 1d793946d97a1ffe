"""The values that a dataclass's fields take: checked, and said in words.

A field's kind is its type; the range of a number stands in its metadata, once.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, fields
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Ends = Literal["both", "left", "neither"]

MODEL_NAME = re.compile(r"[a-z][a-z0-9_]*")
DATASET_NAME = re.compile(r"[a-z][a-z0-9_-]*")

# Where an object lies that is imported on first use.
MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, slots=True)
class Interval:
    """The finite numbers between two ends; ``closed`` says which of the ends belong to it."""

    low: float
    high: float = math.inf
    closed: Ends = "both"

    def __contains__(self, value: float) -> bool:
        above = self.low < value if self.closed == "neither" else self.low <= value
        below = value <= self.high if self.closed == "both" else value < self.high
        return above and below and value < math.inf

    def __str__(self) -> str:
        if self.closed == "both" and self.high < math.inf:
            return f"from {self.low} to {_shown(self.high)}"
        start = f"above {self.low}" if self.closed == "neither" else f"from {self.low} upwards"
        if self.high == math.inf:
            return start
        return f"from {self.low} to below {self.high}"


def _shown(number: float) -> str:
    bits = int(number).bit_length()
    return f"2**{bits} - 1" if bits > 30 and number == 2**bits - 1 else str(number)


def within(low: float, high: float = math.inf, closed: Ends = "both") -> dict[str, Any]:
    """Return the metadata of a field whose numbers lie in this :class:`Interval`."""
    return {"interval": Interval(low, high, closed)}


def path(*names: str) -> dict[str, Any]:
    """Return the metadata of a field of text: a path ``"package.module:callable"``, or a name.

    Args:
        names: that are known without a path.
    """
    return {"names": names}


def arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of keyword arguments, with tuples for lists: JSON makes no difference.

    Raises:
        ValueError: if a name is none of Python's, or a value none that JSON can hold.
    """
    return {name: _argument(name, value) for name, value in values.items()}


def _argument(name: str, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_argument(name, each) for each in value)
    if not (isinstance(name, str) and name.isidentifier()):
        raise ValueError(f"the argument {name!r} must be named as Python's keywords are")
    if not (value is None or isinstance(value, bool | int | float | str)):
        raise ValueError(
            f"the argument {name} is {value!r}, it must be a number, a text, True, False, None or "
            "a list of these"
        )
    return value


def flat_name(field: "Field[Any]") -> str:
    """Return what a field is called where the groups of a dataclass are shown in one level."""
    return field.metadata.get("flat", field.name)


def check(instance: "DataclassInstance") -> None:
    """Refuse a value of another kind than its field's, or outside its range.

    Raises:
        ValueError: that names field, value and what is expected.
    """
    for field in fields(instance):
        value = getattr(instance, field.name)
        if not _fits(value, field):
            raise ValueError(f"{flat_name(field)} is {value!r}, it must be {expected(field)}")


def expected(field: "Field[Any]") -> str:
    """Say in words which values a field takes, such as "a number from 0 to 180"."""
    kinds = _kinds(field)
    if get_origin(field.type) is Literal:
        return f"one of {', '.join(map(repr, kinds))}"
    if "names" in field.metadata:
        known = ", ".join(map(repr, field.metadata["names"]))
        said = [*([f"one of {known}"] if known else []), "a path 'package.module:callable'"]
        return " or ".join([*said, "None"] if NoneType in kinds else said)
    if kinds == (Mapping,):
        return "keyword arguments by name"
    words = {int: "a whole number", float: "a number", bool: "True or False", str: "a name"}
    said = [words.get(kind, f"of type {kind.__name__}") for kind in kinds if kind is not NoneType]
    if "interval" in field.metadata:
        said[0] += f" {field.metadata['interval']}"
    return " or ".join([*said, "None"] if NoneType in kinds else said)


def _fits(value: object, field: "Field[Any]") -> bool:
    kinds = _kinds(field)
    if get_origin(field.type) is Literal:
        return value in kinds
    if value is None or isinstance(value, bool):
        return type(value) in kinds
    if "names" in field.metadata:
        return isinstance(value, str) and (
            value in field.metadata["names"] or PATH.fullmatch(value) is not None
        )
    # Exactly these types: of numpy's numbers JSON can hold some, and others only look alike.
    if "interval" not in field.metadata:
        scalar = isinstance(value, str | int | float)
        return type(value) in kinds if scalar else isinstance(value, kinds)
    numbers = (int,) if int in kinds else (int, float)
    return type(value) in numbers and value in field.metadata["interval"]


def _kinds(field: "Field[Any]") -> tuple[Any, ...]:
    if get_origin(field.type) is Mapping:
        return (Mapping,)
    return get_args(field.type) or (field.type,)


def is_line(text: object) -> bool:
    """Say whether it is a text without line breaks and control characters."""
    # Exactly: a class of the plugin's own may answer differently each time.
    return type(text) is str and text.isprintable()


def require(condition: bool, message: str) -> None:
    """Raise ValueError with the message if the condition does not hold."""
    if not condition:
        raise ValueError(message)
