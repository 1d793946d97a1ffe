"""Objects that specs and recipes name by their path, ``"package.module:callable"``."""

import contextlib
import pkgutil
from collections.abc import Iterator
from typing import Any

from mnistzoo.errors import MnistzooError, place, reason
from mnistzoo.missing import hidden_module


class PathError(MnistzooError):
    """What a path names is not there, cannot be imported, or fails."""


def imported(path: str) -> Any:
    """Return the object at a path, or the module of a path without a colon.

    Whatever importing it raises is raised.
    """
    return pkgutil.resolve_name(path)


@contextlib.contextmanager
def using(what: str, path: str) -> Iterator[None]:
    """Name a path, and the line of its code, where what is done with it fails.

    Args:
        what: the object is, such as ``"the optimizer"``.
        path: of it.

    Raises:
        PathError: for any exception but Ctrl-C and those of mnistzoo.
    """
    try:
        yield
    except (KeyboardInterrupt, MnistzooError):
        raise
    except ModuleNotFoundError as error:
        how = hidden_module(error) or "install it"
        raise PathError(
            f"{what} {path!r} needs the module {error.name or str(error)!r}, which is not there; "
            f"{how}"
        ) from error
    except BaseException as error:  # SystemExit too: a plugin must not end the zoo
        where = place(error, {path.partition(":")[0].partition(".")[0]})
        raise PathError(f"{what} {path!r} failed: {reason(error)}{where}") from error
