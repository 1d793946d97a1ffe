"""Whether an ONNX model makes string tensors, whose memory has no limit; needs no package for ONNX.

ONNX Runtime takes the memory of a tensor from an allocator that can have a limit, but not that of
the strings in it: 32 kB of file can repeat a string until no memory is left.
"""

from collections.abc import Iterator

_STRING = 8  # of TensorProto.DataType
# Which fields of a message hold which messages, as onnx.proto has them.
_INSIDE = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    "sparse tensor": {1: "tensor"},
}
_NAME, _INTEGER, _REFERENCE = 1, 3, 21  # fields of an attribute
_TYPE = 2  # field of a tensor
# Attributes whose strings go into an output. Those of others, such as the nodes_modes of trees and
# the activations of an LSTM, only configure an operator, or need a string tensor as input.
_GOING_OUT = {
    b"value_string",  # of Constant
    b"value_strings",
    b"values_strings",  # of LabelEncoder
    b"default_string",
    b"classes_strings",  # of its first version
    b"cats_strings",  # of CategoryMapper
    b"classlabels_strings",  # of all classifiers
}


def uses_strings(content: bytes) -> bool:
    """Say whether a model has a string tensor, or an operator that makes one.

    Raises:
        ValueError: if it is not a protobuf message.
    """
    waiting = [("model", memoryview(content))]
    while waiting:
        kind, message = waiting.pop()
        fields = list(_fields(message))
        if kind == "tensor" and _has_string(fields, _TYPE):
            return True
        if kind == "attribute" and _goes_out(fields):
            return True
        inside = _INSIDE.get(kind, {})
        waiting += [
            (inside[number], value)
            for number, value in fields
            if number in inside and isinstance(value, memoryview)
        ]
    return False


def _goes_out(fields: list[tuple[int, int | memoryview]]) -> bool:
    """Say whether an attribute casts to string, or may, or has strings that an operator outputs."""
    names = {
        bytes(value)
        for number, value in fields
        if number == _NAME and isinstance(value, memoryview)
    }
    casts = _has_string(fields, _INTEGER) or any(number == _REFERENCE for number, _ in fields)
    return bool(names & _GOING_OUT) or (b"to" in names and casts)


def _has_string(fields: list[tuple[int, int | memoryview]], field: int) -> bool:
    """Say whether a field has the type string in its lower 32 bits, as ONNX Runtime reads it."""
    return any(
        number == field and isinstance(value, int) and value % 2**32 == _STRING
        for number, value in fields
    )


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field; of a tag ONNX Runtime reads 32 bits."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        tag %= 2**32
        match tag & 7:
            case 0:  # the kinds of fields in a protobuf message
                value, place = _varint(message, place)
                yield tag >> 3, value
                continue
            case 1:
                length = 8
            case 2:
                length, place = _varint(message, place)
            case 5:
                length = 4
            case kind:
                raise ValueError(f"a field of kind {kind}")
        if place + length > len(message):
            raise ValueError("a field that goes beyond its end")
        yield tag >> 3, message[place : place + length]
        place += length


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """Return a number of 64 bits that is written seven a byte, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if place == len(message):
            break
        byte = message[place]
        value |= (byte & 127) << shift
        place += 1
        if byte < 128:
            return value % 2**64, place
    raise ValueError("a number without an end")
