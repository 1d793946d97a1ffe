"""Writing files so that a reader never sees half of one."""

import contextlib
import errno
import glob
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_JUST_NOW = 60  # seconds
_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY}


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return the path with the home folder for a leading ``~``, as a shell would.

    A shell does not where the path is part of a word, as in ``--json=~/facts.json``, or stands in
    Python. Every function that takes a path opens it through this.
    """
    return Path(os.path.expanduser(path))


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a new binary file that takes the name ``path`` once the block ends well.

    It is written beside ``path`` and renamed over it, so an error in the block, a full disk, a
    killed process or a power cut leaves what was there before. A symbolic link stays one: its
    target is replaced. What is not a regular file (``/dev/null``, a pipe) is written to directly.
    What a killed process left beside it is removed.

    Raises:
        OSError: if the file cannot be written.
    """
    target = Path(os.path.realpath(expanded(path)))
    beside = _beside(target)
    try:
        if target.exists() and not target.is_file():
            with target.open("wb") as stream:
                yield stream
            return
        _remove_what_lies_beside(target)
        with contextlib.ExitStack() as until_renamed:
            with beside.open("xb") as stream:
                until_renamed.enter_context(claimed(beside))
                yield stream
            publish(beside, target)
    except OSError as error:
        # A full disk's error names no file, and that of a missing folder a file nobody asked for.
        named = str(path) if error.filename in (None, str(beside)) else error.filename
        raise OSError(error.errno, error.strerror, named) from error
    finally:
        with contextlib.suppress(OSError):  # on a read-only disk even where there is none
            beside.unlink()


@contextmanager
def temporary_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Make a folder for the block, in which something comes about that is then published.

    What killed processes left there is removed.

    Args:
        parent: where it lies: on the file system that the result goes to.
        prefix: of its name, such as ``".download-"``, that processes of mnistzoo alone give.

    Raises:
        OSError: if it cannot be made.
    """
    remove_left_over(parent, f"{glob.escape(prefix)}*")
    with tempfile.TemporaryDirectory(dir=parent, prefix=prefix) as name, claimed(Path(name)):
        yield Path(name)


def publish(made: Path, target: Path) -> None:
    """Give a file, or a folder with all in it, the name by which others find it.

    After a power cut that name has the whole content, or what it had before: the content is on the
    disk before the name is, and the name before this returns.

    Raises:
        OSError: if it cannot be written or renamed.
    """
    for path in (made, *made.rglob("*")) if made.is_dir() else (made,):
        _sync(path)
    made.replace(target)
    _sync(target.parent)


def check_replaceable(path: str | os.PathLike[str]) -> None:
    """Find out whether :func:`replacing` could write ``path``, without touching what is there.

    Raises:
        OSError: if it could not.
    """
    target = Path(os.path.realpath(expanded(path)))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a directory, not a file", str(path))
    if target.exists() and not target.is_file():
        return
    _remove_what_lies_beside(target)
    beside = _beside(target)
    try:
        beside.touch(exist_ok=False)
    except OSError as error:
        raise OSError(error.errno, f"cannot be written ({error.strerror})", str(path)) from error
    beside.unlink()


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Keep :func:`remove_left_over` from a file or folder in the block, while this process lives.

    Where there are no such locks, on Windows, nothing is removed either.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def remove_left_over(folder: Path, pattern: str) -> None:
    """Remove what a process that was killed left half done.

    Args:
        folder: where it lies.
        pattern: of the names, such as ``".download-*"``, that processes of mnistzoo alone give, and
            to what they have :func:`claimed`.
    """
    if fcntl is None:
        return
    for path in folder.glob(pattern):
        # What cannot be removed does no harm, and what is locked belongs to a process that lives.
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                found = os.fstat(descriptor)
                empty = not any(path.iterdir()) if path.is_dir() else found.st_size == 0
                if empty and time.time() - found.st_mtime < _JUST_NOW:  # not claimed yet, perhaps
                    continue
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            finally:
                os.close(descriptor)


def _sync(path: Path) -> None:
    """Wait until what a file holds, or which names a folder has, is on the disk.

    Of folders only where the file system can: Windows cannot even open one.
    """
    folder = path.is_dir()
    if folder and os.name == "nt":
        return
    try:
        descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
        try:
            _flush(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        # Some folders may be written to but not read, and so not opened.
        if not folder or error.errno not in _UNSUPPORTED | {errno.EACCES}:
            raise


def _flush(descriptor: int) -> None:
    full: int | None = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:  # on macOS, where fsync leaves it in the cache of the drive
        try:
            fcntl.fcntl(descriptor, full)
            return
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
    os.fsync(descriptor)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")


def _remove_what_lies_beside(target: Path) -> None:
    remove_left_over(target.parent, f".{glob.escape(target.name)}.*.part")
