"""Filters of warnings, set for a while and put back, by one thread at a time.

Python has one list of filters for all threads: of two ``catch_warnings`` that overlap, the one that
ends last puts back the filters of the other, and they stay.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

_LOCK = threading.RLock()


@contextmanager
def warnings_kept_back(
    action: Literal["ignore", "error"] = "ignore", category: type[Warning] = Warning
) -> Iterator[None]:
    """Ignore warnings in the block, or raise them; other threads that want the same wait.

    Args:
        action: what to do with them.
        category: which.
    """
    with _LOCK, warnings.catch_warnings(action=action, category=category):
        yield
