"""Writing files so that a reader never sees half of one."""

import errno
import os
import stat
import sys
import threading
from pathlib import Path

import pytest
from processes import run

from mnistzoo.files import check_replaceable, publish, remove_left_over, replacing

DIE_WHILE_WRITING = """
import os, sys
from mnistzoo.files import replacing
with replacing(sys.argv[1]) as stream:
    stream.write(b"half")
    stream.flush()
    os._exit(0)
"""


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_appears_once_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replacing(path) as stream:
        stream.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert listing(tmp_path) == ["file"]


def test_a_reader_sees_the_old_content_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old content")
    with replacing(path) as stream:
        stream.write(b"new")
        stream.flush()
        assert path.read_bytes() == b"old content"
    assert path.read_bytes() == b"new"
    assert listing(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_content_and_no_litter(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write_half() -> None:
        with replacing(path) as stream:
            stream.write(b"half")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_bytes() == b"old"
    assert listing(tmp_path) == ["file"]


def test_a_killed_process_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    run([sys.executable, "-c", DIE_WHILE_WRITING, str(path)], check=True)
    assert path.read_bytes() == b"old"


def test_a_symbolic_link_stays_one_and_its_target_is_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "elsewhere" / "target", tmp_path / "link"
    target.parent.mkdir()
    target.write_bytes(b"old")
    link.symlink_to(target)
    with replacing(link) as stream:
        stream.write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert (listing(tmp_path), listing(target.parent)) == (["elsewhere", "link"], ["target"])


def test_a_dangling_symbolic_link_gets_its_target(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("target")
    with replacing(link) as stream:
        stream.write(b"new")
    assert link.is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


def test_the_null_device_stays_a_device() -> None:
    with replacing(os.devnull) as stream:
        stream.write(b"nothing")
    check_replaceable(os.devnull)
    assert not stat.S_ISREG(os.stat(os.devnull).st_mode)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the platform has no named pipes")
def test_a_pipe_is_written_to_directly(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()), daemon=True)
    reader.start()
    with replacing(pipe) as stream:
        stream.write(b"through")
    assert pipe.is_fifo()
    reader.join(60)
    assert received == [b"through"]


@pytest.mark.parametrize("place", ["missing/file", "."])
def test_a_place_that_cannot_be_written_raises_os_error(tmp_path: Path, place: str) -> None:
    with pytest.raises(OSError), replacing(tmp_path / place):  # noqa: PT011 (which one varies)
        pass
    assert listing(tmp_path) == []


def test_check_replaceable_accepts_a_new_file_and_leaves_nothing(tmp_path: Path) -> None:
    check_replaceable(tmp_path / "new")
    assert listing(tmp_path) == []


def test_check_replaceable_does_not_touch_an_existing_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    before = path.stat()
    check_replaceable(path)
    after = path.stat()
    assert path.read_bytes() == b"old"
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert listing(tmp_path) == ["file"]


def test_check_replaceable_refuses_a_missing_folder_and_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "file"
    with pytest.raises(FileNotFoundError) as caught:
        check_replaceable(path)
    assert caught.value.filename == str(path)


def test_check_replaceable_refuses_a_directory(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as caught:
        check_replaceable(tmp_path)
    assert caught.value.filename == str(tmp_path)


def test_check_replaceable_refuses_a_file_taken_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        check_replaceable(tmp_path / "file" / "inside")


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    check_replaceable("~/file")
    with replacing("~/file") as stream:
        stream.write(b"content")
    assert (tmp_path / "home" / "file").read_bytes() == b"content"
    assert listing(tmp_path) == ["home"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no flock")
def test_what_a_killed_process_left_is_removed_by_the_next_and_by_the_next_check(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file[1]"
    for next_run in (check_replaceable, _write):
        run([sys.executable, "-c", DIE_WHILE_WRITING, str(path)], check=True)
        assert len(listing(tmp_path)) == 1
        next_run(path)
        assert [name for name in listing(tmp_path) if name.endswith(".part")] == []
        path.unlink(missing_ok=True)


def test_what_another_writer_has_begun_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replacing(path) as first:
        first.write(b"first")
        first.flush()
        _write(path)
        check_replaceable(path)
    assert path.read_bytes() == b"first"
    assert listing(tmp_path) == ["file"]


def _write(path: Path) -> None:
    with replacing(path) as stream:
        stream.write(b"new")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no flock")
def test_a_leftover_that_cannot_be_opened_does_not_keep_the_others(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f".file.{number}.part").symlink_to("nowhere")
        (tmp_path / f".file.{number}0.part").write_bytes(b"half")
    remove_left_over(tmp_path, ".file.*.part")
    assert all(path.is_symlink() for path in tmp_path.iterdir())


def failing_for_folders(patch: pytest.MonkeyPatch, number: int) -> None:
    fsync = os.fsync

    def failing(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    patch.setattr(os, "fsync", failing)
    patch.delattr("fcntl.F_FULLFSYNC", raising=False)


@pytest.mark.skipif(sys.platform == "win32", reason="no folder is synced")
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_file_systems_that_do_not_sync_folders_are_written_to(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_for_folders(monkeypatch, number)
    _write(tmp_path / "file")
    (tmp_path / "made" / "inside").mkdir(parents=True)
    publish(tmp_path / "made", tmp_path / "folder")
    assert listing(tmp_path) == ["file", "folder"]


@pytest.mark.skipif(sys.platform == "win32", reason="no folder is synced")
def test_a_folder_that_the_disk_cannot_write_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_for_folders(monkeypatch, errno.EIO)
    with pytest.raises(OSError) as caught:  # noqa: PT011 (the number says which)
        _write(tmp_path / "file")
    assert caught.value.errno == errno.EIO
