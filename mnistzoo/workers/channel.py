"""Messages between this process and a worker: JSON and raw arrays, and nothing that can run."""

import json
import math
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistzoo.errors import MnistzooError

_MOST_FACTS = 2**26  # bytes of JSON: ten thousand registered models have 20 MB
_DTYPES = {"|u1", "<f4"}
_LENGTH = struct.Struct(">Q")

Message = tuple[dict[str, Any], list[NDArray[Any]]]


class ChannelError(MnistzooError):
    """What came through a channel is no message."""


class Channel:
    """One end of a connection; closing it ends the other's waiting.

    Args:
        connection: a stream.
        seconds: in which a whole message must have come, or gone; None: for ever.
    """

    def __init__(self, connection: socket.socket, seconds: float | None = None) -> None:
        self.connection, self._seconds = connection, seconds
        connection.settimeout(seconds)

    def send(self, facts: Mapping[str, Any], *arrays: NDArray[Any]) -> None:
        """Send a message.

        Args:
            facts: anything that JSON can hold.
            arrays: of dtype uint8 or float32.

        Raises:
            OSError: if the other end is closed.
        """
        kinds = [[each.dtype.newbyteorder("<").str, list(each.shape)] for each in arrays]
        text = json.dumps({"facts": dict(facts), "arrays": kinds}, allow_nan=False).encode()
        self.connection.sendall(_LENGTH.pack(len(text)) + text)
        for each in arrays:
            if each.size:
                self.connection.sendall(np.ascontiguousarray(each).data.cast("B"))

    def receive(self, most: int = 0) -> Message:
        """Wait for the next message.

        Args:
            most: bytes that its arrays may have in all.

        Raises:
            ChannelError: if it is malformed or too long.
            EOFError: if the other end is closed.
            TimeoutError: if it has not come within the channel's seconds.
            OSError: if the connection broke off.
        """
        deadline = None if self._seconds is None else time.monotonic() + self._seconds
        try:
            return self._received(most, deadline)
        finally:
            self.connection.settimeout(self._seconds)

    def _received(self, most: int, deadline: float | None) -> Message:
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size, deadline))
        if length > _MOST_FACTS:
            raise ChannelError(f"it answered with {length:,} bytes of facts")
        try:
            message = json.loads(
                bytes(self._exactly(length, deadline)), parse_constant=_finite, parse_float=_finite
            )
            facts, kinds = (
                dict(message["facts"]),
                [(str(dtype), tuple(map(_size, shape))) for dtype, shape in message["arrays"]],
            )
        except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
            raise ChannelError("it answered with something that is no message") from error
        if not {dtype for dtype, _ in kinds} <= _DTYPES:
            raise ChannelError("it answered with arrays of another type than was asked for")
        sizes = [math.prod(shape) * np.dtype(dtype).itemsize for dtype, shape in kinds]
        if sum(sizes) > most:
            raise ChannelError(f"it answered with {sum(sizes):,} bytes, at most {most:,} are taken")
        arrays = [
            np.frombuffer(self._exactly(size, deadline), dtype).reshape(shape)
            for size, (dtype, shape) in zip(sizes, kinds, strict=True)
        ]
        return facts, arrays

    def _exactly(self, size: int, deadline: float | None) -> bytearray:
        content = bytearray(size)
        view, had = memoryview(content), 0
        while had < size:
            if deadline is not None:
                if (left := deadline - time.monotonic()) <= 0:
                    raise TimeoutError
                self.connection.settimeout(left)
            if not (came := self.connection.recv_into(view[had:])):
                raise EOFError("the other end is closed")
            had += came
        return content


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no number of JSON")
    return number


def _size(number: object) -> int:
    if type(number) is not int or not 0 <= number < 2**32:
        raise ValueError(f"{number!r} is no size")
    return number
