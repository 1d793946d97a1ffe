"""The values that a dataclass's fields take: checked, and said in words.

A field's kind is its type; the range of a number stands in its metadata, once.
"""

import math
from dataclasses import Field, dataclass, fields
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Ends = Literal["both", "left", "neither"]


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
    # Exactly these types: of numpy's numbers JSON can hold some, and others only look alike.
    if "interval" not in field.metadata:
        return type(value) in kinds
    numbers = (int,) if int in kinds else (int, float)
    return type(value) in numbers and value in field.metadata["interval"]


def _kinds(field: "Field[Any]") -> tuple[Any, ...]:
    return get_args(field.type) or (field.type,)
