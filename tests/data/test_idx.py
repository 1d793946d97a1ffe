"""The IDX format: round trips, and every way a file can be malformed."""

import gzip
import itertools
import math
import random
import re
import struct
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from mnistzoo import MnistzooError
from mnistzoo.data import IdxError, load_dataset, read_idx, write_idx
from mnistzoo.data.idx import idx_bytes

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
PETABYTES = (2**31, 2**22)
LABELS = load_dataset("mnist-10k").test.labels[:200]

shapes = hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)
dtypes = st.tuples(st.sampled_from("<>"), st.sampled_from(list(CODES))).map("".join)
arrays: st.SearchStrategy[NDArray[Any]] = dtypes.flatmap(lambda dtype: hnp.arrays(dtype, shapes))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("idx") / "some-idx"


def header(*shape: int, code: int = 0x08) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, code, len(shape), *shape)


def packed(content: bytes, compress: bool) -> bytes:
    return gzip.compress(content, mtime=0) if compress else content


def assert_refused(path: Path, content: bytes, reason: str = "", **options: int) -> None:
    path.write_bytes(content)
    with pytest.raises(IdxError, match=f"{re.escape(str(path))}.*{reason}"):
        read_idx(path, **options)


def peak_while_refusing(path: Path, content: bytes, reason: str, **options: int) -> int:
    tracemalloc.start()
    try:
        assert_refused(path, content, reason, **options)
        return tracemalloc.get_traced_memory()[1] - len(content)
    finally:
        tracemalloc.stop()


def read_unless_refused(path: Path) -> NDArray[Any] | None:
    try:
        return read_idx(path)
    except IdxError as error:
        if str(path) not in str(error):
            raise
        return None


# What is written is read.


@given(array=arrays, compress=st.booleans())
def test_what_is_written_is_read(path: Path, array: NDArray[Any], compress: bool) -> None:
    write_idx(path, array, compress=compress)
    back = read_idx(path)
    assert back.dtype == array.dtype.newbyteorder(">")
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)
    assert not back.flags.writeable


@given(array=arrays)
def test_the_file_is_the_header_then_big_endian_elements(path: Path, array: NDArray[Any]) -> None:
    write_idx(path, array)
    elements = array.astype(array.dtype.newbyteorder(">")).tobytes()
    code = CODES[array.dtype.str[1:]]
    assert path.read_bytes() == header(*array.shape, code=code) + elements


def test_an_array_in_any_memory_order_is_written_row_by_row(path: Path) -> None:
    images = load_dataset("mnist-10k").test.images[:5]
    write_idx(path, images.T[::-1])
    np.testing.assert_array_equal(read_idx(path), images.T[::-1])


@pytest.mark.parametrize(("name", "compress"), [("gzipped-idx", True), ("plain-idx.gz", False)])
def test_the_content_decides_what_is_gzipped_not_the_name(
    tmp_path: Path, name: str, compress: bool
) -> None:
    labels = load_dataset("mnist-10k").test.labels
    write_idx(tmp_path / name, labels, compress=compress)
    assert (tmp_path / name).read_bytes().startswith(b"\x1f\x8b") is compress
    np.testing.assert_array_equal(read_idx(tmp_path / name), labels)


def test_the_same_array_gives_the_same_gzip_bytes(tmp_path: Path) -> None:
    labels = load_dataset("mnist-10k").test.labels
    for name in ("one", "other"):
        write_idx(tmp_path / name, labels, compress=True)
    content = (tmp_path / "one").read_bytes()
    assert content == (tmp_path / "other").read_bytes()
    assert content[3] == 0, "a name in the gzip header"
    assert content[4:8] == bytes(4), "a time in the gzip header"


def test_a_plain_file_is_mapped_not_copied(path: Path) -> None:
    write_idx(path, np.zeros((3, 4), np.uint8))
    array = read_idx(path)
    with path.open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\x07")
    assert array[2, 3] == 7


def test_a_huge_plain_file_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "sparse-idx"
    with path.open("wb") as stream:
        stream.write(header(2**16, 2**20))
        stream.truncate(stream.tell() + 2**36)
    tracemalloc.start()
    try:
        array = read_idx(path)
        assert array.shape == (2**16, 2**20)
        assert array[-1, -1] == 0
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("compress", [False, True])
def test_an_array_cannot_be_made_writeable(path: Path, compress: bool) -> None:
    write_idx(path, np.zeros(3, np.uint8), compress=compress)
    with pytest.raises(ValueError, match="WRITEABLE"):
        read_idx(path).setflags(write=True)


@pytest.mark.parametrize("compress", [False, True])
def test_as_many_dimensions_as_numpy_has_are_read(path: Path, compress: bool) -> None:
    path.write_bytes(packed(header(*[1] * 64) + b"\x07", compress))
    array = read_idx(path)
    assert (array.ndim, array.item()) == (64, 7)


def test_a_gzip_file_may_unpack_to_exactly_max_unpacked(path: Path) -> None:
    write_idx(path, np.zeros(1000, np.float64), compress=True)
    assert len(read_idx(path, max_unpacked=8000)) == 1000


# What cannot be written.


@pytest.mark.parametrize("dtype", ["?", "i8", "u8", "u2", "u4", "f2", "c8", "c16", "S3", "O"])
def test_a_dtype_without_an_idx_type_is_refused_and_the_file_stays(
    tmp_path: Path, dtype: str
) -> None:
    path = tmp_path / "some-idx"
    path.write_bytes(b"old")
    with pytest.raises(IdxError, match="convert the array to uint8"):
        write_idx(path, np.zeros(3, dtype))
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["some-idx"]


def test_a_dimension_past_32_bits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IdxError, match="dimension exceeds"):
        write_idx(tmp_path / "some-idx", np.empty((2**32, 0), np.uint8))
    assert list(tmp_path.iterdir()) == []


# What is not a valid file.


def test_an_idx_error_is_a_mnistzoo_error_and_a_value_error() -> None:
    assert issubclass(IdxError, MnistzooError) and issubclass(IdxError, ValueError)


def test_an_empty_file_is_refused(path: Path) -> None:
    assert_refused(path, b"", "truncated")


def test_a_missing_file_and_a_directory_raise_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "missing")
    with pytest.raises(IsADirectoryError):
        read_idx(tmp_path)


@given(array=arrays, compress=st.booleans(), data=st.data())
def test_any_truncation_is_refused(
    path: Path, array: NDArray[Any], compress: bool, data: st.DataObject
) -> None:
    content = packed(idx_bytes(array), compress)
    assert_refused(path, content[: data.draw(st.integers(0, len(content) - 1))])


@given(array=arrays, compress=st.booleans(), extra=st.binary(min_size=1))
def test_any_trailing_bytes_are_refused(
    path: Path, array: NDArray[Any], compress: bool, extra: bytes
) -> None:
    assert_refused(path, packed(idx_bytes(array) + extra, compress), "trailing bytes")


@given(array=arrays, extra=st.binary(min_size=1))
def test_bytes_after_the_gzip_stream_are_refused(
    path: Path, array: NDArray[Any], extra: bytes
) -> None:
    assume(extra[0] != 0)  # gzip pads with zeros
    assert_refused(path, packed(idx_bytes(array), True) + extra)


@given(array=arrays, compress=st.booleans(), magic=st.binary(min_size=2, max_size=2))
@example(array=np.zeros(3, np.uint8), compress=False, magic=b"\x1f\x8b")
def test_a_wrong_magic_is_refused(
    path: Path, array: NDArray[Any], compress: bool, magic: bytes
) -> None:
    assume(magic != b"\0\0")
    assert_refused(path, packed(magic + idx_bytes(array)[2:], compress))


@given(code=st.integers(0, 255).filter(lambda code: code not in CODES.values()), gz=st.booleans())
def test_an_unknown_type_is_refused_and_named(path: Path, code: int, gz: bool) -> None:
    assert_refused(path, packed(header(1, code=code) + bytes(8), gz), f"type 0x{code:02x}")


@given(array=arrays, compress=st.booleans(), shape=st.lists(st.integers(0, 2**32 - 1), max_size=5))
def test_dimensions_that_disagree_with_the_length_are_refused(
    path: Path, array: NDArray[Any], compress: bool, shape: list[int]
) -> None:
    assume(math.prod(shape) != array.size)
    content = idx_bytes(array)
    elements = content[4 + 4 * array.ndim :]
    assert_refused(path, packed(header(*shape, code=content[2]) + elements, compress))


@given(ndim=st.integers(65, 255), compress=st.booleans())
def test_more_dimensions_than_numpy_has_are_refused(path: Path, ndim: int, compress: bool) -> None:
    assert_refused(path, packed(header(*[1] * ndim) + b"\0", compress), f"{ndim} dimensions")


@pytest.mark.parametrize("compress", [False, True])
def test_an_empty_array_of_a_size_past_numpy_is_refused(path: Path, compress: bool) -> None:
    assert_refused(path, packed(header(0, 2**32 - 1, 2**32 - 1), compress), "numpy can address")


@pytest.mark.parametrize("compress", [False, True])
def test_a_header_that_claims_petabytes_is_refused_without_allocation(
    path: Path, compress: bool
) -> None:
    content = packed(header(*PETABYTES) + bytes(1000), compress)
    assert peak_while_refusing(path, content, str(2**53), max_unpacked=2**60) < 2**20


def test_a_gzip_header_that_claims_a_possible_length_allocates_only_what_is_there(
    path: Path,
) -> None:
    content = packed(header(50_000_000) + random.Random(0).randbytes(100_000), True)
    assert peak_while_refusing(path, content, "truncated") < 2**22


def test_a_gzip_bomb_is_unpacked_no_further_than_its_header_says(path: Path) -> None:
    content = packed(header(10) + bytes(2**25), True)
    assert len(content) < 2**16
    assert peak_while_refusing(path, content, "trailing bytes") < 2**20


def test_an_honest_gzip_bomb_is_refused_without_allocation(path: Path) -> None:
    content = packed(header(2**25) + bytes(2**25), True)
    peak = peak_while_refusing(path, content, "pass a higher max_unpacked", max_unpacked=2**20)
    assert peak < 2**20


def test_the_limit_on_gzip_files_does_not_bind_plain_ones(path: Path) -> None:
    write_idx(path, np.zeros(1000, np.uint8))
    assert len(read_idx(path, max_unpacked=1)) == 1000


@given(position=st.integers(0, 10**6), mask=st.integers(1, 255))
@settings(max_examples=300)
def test_a_corrupt_byte_in_a_gzip_file_never_changes_the_array(
    path: Path, position: int, mask: int
) -> None:
    content = bytearray(packed(idx_bytes(LABELS), True))
    content[position % len(content)] ^= mask
    path.write_bytes(content)
    array = read_unless_refused(path)
    assert array is None or np.array_equal(array, LABELS)


@given(
    start=st.sampled_from([b"", b"\0\0", b"\0\0\x08\x01\0\0\0", b"\0\0\x0b\x02", b"\x1f\x8b\x08"]),
    rest=st.binary(),
    compress=st.booleans(),
)
@settings(max_examples=300)
def test_random_bytes_are_read_faithfully_or_refused(
    path: Path, start: bytes, rest: bytes, compress: bool
) -> None:
    path.write_bytes(packed(start + rest, compress))
    array = read_unless_refused(path)
    assert array is None or idx_bytes(array) == start + rest


def gzipped(content: bytes, name: bytes = b"") -> bytes:
    """Return a gzip stream with a file name in its header."""
    plain = gzip.compress(content, mtime=0)
    return plain[:3] + b"\x08" + plain[4:10] + name + b"\0" + plain[10:]


def test_members_of_a_gzip_file_are_joined_and_their_names_passed_over(path: Path) -> None:
    content = idx_bytes(LABELS)
    cuts = (0, 3, 7, len(content))
    members = [gzipped(content[a:b], b"labels") for a, b in itertools.pairwise(cuts)]
    path.write_bytes((b"\0" * 100_000).join(members) + b"\0" * 5)
    assert np.array_equal(read_idx(path), LABELS)


def test_a_long_name_in_a_gzip_header_takes_no_python_for_each_byte(path: Path) -> None:
    path.write_bytes(gzipped(idx_bytes(LABELS), b"x" * 10_000_000))
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        array = read_idx(path)
    finally:
        sys.setprofile(None)
    assert np.array_equal(array, LABELS)
    assert calls < 100_000


def test_a_gzip_file_of_countless_members_is_refused(path: Path) -> None:
    assert_refused(path, gzip.compress(b"") * 20_000, "10000 members or more")


def test_a_file_that_is_gzipped_twice_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "labels.gz"
    write_idx(path, np.arange(5, dtype=np.uint8), compress=True)
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(IdxError, match="is gzipped twice; unzip it once with gunzip"):
        read_idx(path)
    path.write_bytes(gzip.decompress(path.read_bytes()))
    assert read_idx(path).tolist() == list(range(5))


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    write_idx("~/labels", np.arange(5, dtype=np.uint8))
    assert read_idx(Path("~/labels")).tolist() == list(range(5))
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
