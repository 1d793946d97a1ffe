"""The checks that any plugin author runs over their models, in one line.

from mnistzoo.testing import parametrize_with_checks

@parametrize_with_checks("my_model")
def test_my_model(check):
    check()
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnistzoo.testing.pytest_plugin import parametrize_with_checks
    from mnistzoo.testing.runner import Result, run_checks

# Imported on first use: pytest loads this package wherever mnistzoo is installed.
_ROOMS = {
    "Result": "mnistzoo.testing.runner",
    "parametrize_with_checks": "mnistzoo.testing.pytest_plugin",
    "run_checks": "mnistzoo.testing.runner",
}

__all__ = ["Result", "parametrize_with_checks", "run_checks"]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'mnistzoo.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(_ROOMS[name]), name)
