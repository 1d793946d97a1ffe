"""Writing files so that a reader never sees half of one."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return the path with the home folder for a leading ``~``, as a shell would.

    A shell does not where the path is part of a word, as in ``--json=~/facts.json``, or stands in
    Python. Every function that takes a path opens it through this.
    """
    return Path(os.path.expanduser(path))


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a new binary file that takes the name ``path`` once the block ends well.

    It is written beside ``path`` and renamed over it, so an error in the block, a full disk or a
    killed process leaves what was there before. A symbolic link stays one: its target is replaced.
    Something that is no regular file (``/dev/null``, a pipe) is written to directly.

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
        with beside.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(target)
    except OSError as error:
        # A full disk's error names no file, and that of a missing folder a file nobody asked for.
        named = str(path) if error.filename in (None, str(beside)) else error.filename
        raise OSError(error.errno, error.strerror, named) from error
    finally:
        beside.unlink(missing_ok=True)


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
    beside = _beside(target)
    try:
        beside.touch(exist_ok=False)
    except OSError as error:
        raise OSError(error.errno, f"cannot be written ({error.strerror})", str(path)) from error
    beside.unlink()


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
