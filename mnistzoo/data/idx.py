"""The IDX format: arrays of any dimension behind a short big-endian header.

Layout (LeCun, Cortes, Burges, http://yann.lecun.com/exdb/mnist/): two zero bytes, one byte for the
type, one for the number of dimensions, each dimension as a 32-bit unsigned integer, then the
elements in row-major order. All numbers are big-endian.
"""

import gzip
import io
import math
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mnistzoo.data.foreign import conversion
from mnistzoo.errors import MnistzooError
from mnistzoo.files import expanded, replacing

_DTYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype("u1"),
    0x09: np.dtype("i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_MAX_NUMPY_DIMENSIONS = 64
_GZIP_MAGIC = b"\x1f\x8b"
# A deflate stream unpacks to at most 1,032 times its size (zlib's technical notes).
_MAX_DEFLATE_RATIO = 1032
_MAX_UNPACKED = 2**30
_PIECE = 2**16
_MOST_MEMBERS = 10_000  # of a gzip file; bgzip makes one of 64 KiB
_LONGEST_HEADER = 4 + 4 * 255


class IdxError(MnistzooError, ValueError):
    """A file is not a valid IDX file; names the file, what was found and what was expected."""


def read_idx(path: str | os.PathLike[str], *, max_unpacked: int = _MAX_UNPACKED) -> NDArray[Any]:
    """Read an IDX file, plain or gzipped; which of the two is decided by its first bytes.

    A plain file is memory-mapped, not copied, so it must not be truncated while the array lives.
    The array is read-only and keeps the file's big-endian byte order.

    Args:
        path: the file.
        max_unpacked: the most bytes that a gzipped file may unpack to, against gzip bombs.

    Returns:
        An array with the file's shape; dtype uint8, int8, or big-endian int16, int32, float32 or
        float64.

    Raises:
        IdxError: if the file is malformed; nothing of the claimed size was allocated by then.
        OSError: if the file cannot be read.
    """
    path = expanded(path)
    with path.open("rb") as stream:
        gzipped = stream.read(2) == _GZIP_MAGIC
        stream.seek(0)
        if gzipped:
            packed_size = os.fstat(stream.fileno()).st_size
            return _read_gzipped(path, stream, packed_size, max_unpacked)
        dtype, shape, offset = _read_header(path, stream)
        found = os.fstat(stream.fileno()).st_size - offset
        _check_length(path, dtype, shape, found)
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        return np.ndarray(shape, dtype, buffer=mapped, offset=offset)


def parse_idx(content: bytes, name: str) -> NDArray[Any]:
    """Return the array that the bytes of an IDX file hold, plain or gzipped; see :func:`read_idx`.

    Args:
        content: of the file.
        name: stands in messages.

    Raises:
        IdxError: if they are malformed.
    """
    path, stream = Path(name), io.BytesIO(content)
    if content.startswith(_GZIP_MAGIC):
        return _read_gzipped(path, stream, len(content), _MAX_UNPACKED)
    dtype, shape, offset = _read_header(path, stream)
    _check_length(path, dtype, shape, len(content) - offset)
    return np.ndarray(shape, dtype, buffer=content, offset=offset)


def write_idx(path: str | os.PathLike[str], array: NDArray[Any], *, compress: bool = False) -> None:
    """Write an array as an IDX file, whole or not at all.

    Args:
        path: the file; one that is there is replaced.
        array: of dtype uint8, int8, int16, int32, float32 or float64, in any byte order.
        compress: gzip it; the same array gives the same bytes each time.

    Raises:
        IdxError: if the format has no such type or cannot hold such a dimension.
        OSError: if the file cannot be written.
    """
    payload = idx_bytes(array)
    with replacing(path) as stream:
        stream.write(gzip.compress(payload, mtime=0) if compress else payload)


def idx_bytes(array: NDArray[Any]) -> bytes:
    """Return the bytes of the plain IDX file that holds ``array``.

    Raises:
        IdxError: if the format has no such type or cannot hold such a dimension.
    """
    array = np.asarray(array)
    dtype = array.dtype.newbyteorder(">")
    code = next((code for code, known in _DTYPES.items() if known == dtype), None)
    if code is None:
        raise IdxError(
            f"IDX has no type for dtype {array.dtype}; convert the array to uint8, int8, int16, "
            "int32, float32 or float64"
        )
    if any(length >= 2**32 for length in array.shape):
        raise IdxError(f"IDX cannot hold shape {array.shape}: a dimension exceeds 2**32 - 1")
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + array.astype(dtype, copy=False).tobytes()


def _read_header(path: Path, stream: IO[bytes]) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    magic = stream.read(4)
    if len(magic) < 4:
        raise IdxError(f"{path} is truncated: {len(magic)} bytes, where a header has at least 4")
    if magic[:2] == _GZIP_MAGIC:  # a plain stream would not have been read as one
        raise IdxError(f"{path} is gzipped twice; unzip it once with gunzip")
    if magic[:2] != b"\0\0":
        hint = f"; {line}" if (line := conversion(path)) else ""
        raise IdxError(
            f"{path} is not an IDX file: it starts with bytes {magic[:2].hex(' ')}, expected 00 00 "
            f"(or 1f 8b, a gzip stream){hint}"
        )
    code, ndim = magic[2], magic[3]
    if code not in _DTYPES:
        known = ", ".join(f"0x{known:02x}" for known in _DTYPES)
        raise IdxError(f"{path} has the unknown IDX type 0x{code:02x}, expected one of {known}")
    if ndim > _MAX_NUMPY_DIMENSIONS:
        raise IdxError(
            f"{path} has {ndim} dimensions, expected at most {_MAX_NUMPY_DIMENSIONS}, numpy's limit"
        )
    sizes = stream.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise IdxError(
            f"{path} is truncated: its header ends after {4 + len(sizes)} bytes, expected "
            f"{4 + 4 * ndim} for {ndim} dimensions"
        )
    return _DTYPES[code], struct.unpack(f">{ndim}I", sizes), 4 + 4 * ndim


def _check_length(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], found: int) -> None:
    expected = math.prod(shape) * dtype.itemsize
    if found != expected:
        fault = "is truncated" if found < expected else "has trailing bytes"
        raise IdxError(
            f"{path} {fault}: {found} bytes follow the header, expected {expected} for shape "
            f"{shape} of {dtype.name}"
        )
    if math.prod(size for size in shape if size) * dtype.itemsize > np.iinfo(np.intp).max:
        raise IdxError(f"{path} claims shape {shape}, expected one that numpy can address")


def _read_gzipped(
    path: Path, stream: IO[bytes], packed_size: int, max_unpacked: int
) -> NDArray[Any]:
    pieces, start = _unzipped(stream), b""
    try:
        while len(start) < _LONGEST_HEADER and (piece := next(pieces, b"")):
            start += piece
        dtype, shape, offset = _read_header(path, io.BytesIO(start))
        expected = math.prod(shape) * dtype.itemsize
        if expected > packed_size * _MAX_DEFLATE_RATIO:
            raise IdxError(
                f"{path} claims shape {shape} of {dtype.name}, {expected} bytes, expected at "
                f"most {packed_size * _MAX_DEFLATE_RATIO} in a gzip file of {packed_size} bytes"
            )
        if expected > max_unpacked:
            raise IdxError(
                f"{path} would unpack to {expected} bytes, expected at most {max_unpacked}; "
                "pass a higher max_unpacked, or unzip the file first"
            )
        # Piecewise, since what the header claims may be far more than there is. The last piece
        # makes zlib check the CRC.
        payload = bytearray(start[offset:])
        while len(payload) <= expected and (piece := next(pieces, b"")):
            payload += piece
    except (EOFError, zlib.error) as error:
        raise IdxError(f"{path} is a broken gzip stream ({error}), expected a whole one") from error
    _check_length(path, dtype, shape, len(payload))
    return np.frombuffer(memoryview(payload).toreadonly(), dtype).reshape(shape)


def _unzipped(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield what a gzip stream holds, piece by piece, none of them empty.

    Python's gzip reads the file name in a member's header byte by byte: 22 seconds for 50 MB.

    Raises:
        EOFError: if the stream ends early.
        zlib.error: if it is not a gzip stream, or its CRC is wrong.
    """
    packed = b""
    for _ in range(_MOST_MEMBERS):
        packed = packed or stream.read(_PIECE)
        if not packed:
            return
        member = zlib.decompressobj(wbits=31)  # gzip's header and CRC
        while not member.eof:
            piece = member.decompress(packed, _PIECE)
            packed = member.unconsumed_tail
            if piece:
                yield piece
            elif not (packed or member.eof or (packed := stream.read(_PIECE))):
                raise EOFError("it ends early")
        packed = member.unused_data
        while packed and not (packed := packed.lstrip(b"\0")):  # padding
            packed = stream.read(_PIECE)
    raise zlib.error(f"it has {_MOST_MEMBERS} members or more")
