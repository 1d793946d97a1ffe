"""Whether an ONNX file can make texts, which no limit on memory bounds; needs no package for ONNX.

ONNX Runtime takes the memory of a tensor from an allocator that can have a limit, but not that of
the texts in it: 32 kB of file can repeat a text until nothing is left.
"""

from collections.abc import Iterator

_STRING = 8  # the type of a tensor
# Which fields of a message hold which messages, as onnx.proto has them.
_INSIDE = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor"},
    "sparse tensor": {1: "tensor"},
}
_NAME, _INTEGER, _TEXTS = 1, 3, 9  # fields of an attribute
_TYPE = 2  # field of a tensor


def makes_strings(content: bytes) -> bool:
    """Say whether a file has a tensor of texts, or an operation that makes one.

    Raises:
        ValueError: if it is no protobuf message.
    """
    waiting = [("model", memoryview(content))]
    while waiting:
        kind, message = waiting.pop()
        fields = list(_fields(message))
        if kind == "tensor" and (_TYPE, _STRING) in fields:
            return True
        if kind == "attribute" and _is_of_strings(fields):
            return True
        inside = _INSIDE.get(kind, {})
        waiting += [
            (inside[number], value)
            for number, value in fields
            if number in inside and isinstance(value, memoryview)
        ]
    return False


def _is_of_strings(fields: list[tuple[int, int | memoryview]]) -> bool:
    """Say whether an attribute casts to texts, or has some that go into tensors."""
    names = {
        bytes(value)
        for number, value in fields
        if number == _NAME and isinstance(value, memoryview)
    }
    return (
        (b"to" in names and (_INTEGER, _STRING) in fields)
        or b"value_string" in names
        # Those of recurrent nets name functions.
        or (names != {b"activations"} and any(number == _TEXTS for number, _ in fields))
    )


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
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
    """Return a number that is written seven bits a byte, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if place == len(message):
            break
        byte = message[place]
        value |= (byte & 127) << shift
        place += 1
        if byte < 128:
            return value, place
    raise ValueError("a number without an end")
