"""What would be on the disk after a power cut: what was synced before, and no more."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest


class Disk:
    """Watches what a process syncs and renames.

    Attributes:
        published: the names that were given by a rename, in their order.
        unsafe: what a power cut could leave half written, or forget.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.published: list[str] = []
        self.unsafe: list[str] = []
        self._synced: dict[int, object] = {}  # by inode: its state then
        self._unnamed: dict[int, str] = {}  # by a folder's inode: a name that it may forget
        self._fsync = os.fsync
        patch.setattr(os, "fsync", self._sync)
        patch.delattr("fcntl.F_FULLFSYNC", raising=False)  # on macOS os.fsync is then called
        for name in ("rename", "replace"):
            patch.setattr(os, name, self._renaming(getattr(os, name)))

    def require_safe(self, *published: str) -> None:
        assert self.unsafe + list(self._unnamed.values()) == []
        assert self.published == list(published)

    def _sync(self, descriptor: int) -> None:
        self._fsync(descriptor)
        inode = os.fstat(descriptor).st_ino
        self._synced[inode] = _state(descriptor)
        self._unnamed.pop(inode, None)

    def _renaming(self, rename: Callable[..., None]) -> Callable[..., None]:
        def renaming(source: os.PathLike[str], target: os.PathLike[str]) -> None:
            made, named = Path(source), Path(target)
            for path in (made, *made.rglob("*")):
                if self._synced.get(path.stat().st_ino) != _state(path):
                    self.unsafe.append(str(path))
            rename(source, target)
            self.published.append(named.name)
            self._unnamed[named.parent.stat().st_ino] = str(named)

        return renaming


def _state(file: int | Path) -> object:
    """Return what changes with a file's content, or with the names in a folder."""
    found = os.stat(file)
    if stat.S_ISDIR(found.st_mode):
        return sorted(os.listdir(file))
    return found.st_size, found.st_mtime_ns
