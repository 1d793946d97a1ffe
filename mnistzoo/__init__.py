"""mnistzoo: handwritten-digit classifiers as plugins, compared honestly.

``__init__.pyi`` says what is public and where it lives: once, for type checkers and for this file.
"""

import ast
import importlib

with open(f"{__path__[0]}/__init__.pyi", encoding="utf-8") as _stream:
    _STUB = ast.parse(_stream.read())
_ROOMS = {
    alias.name: statement.module
    for statement in _STUB.body
    if isinstance(statement, ast.ImportFrom)
    for alias in statement.names
}
__all__ = list(_ROOMS)


def __getattr__(name: str) -> object:
    """Import a public name on first use.

    So a plugin, or a look at the list of models, never waits for torch, and the Predictor works
    where there is none.
    """
    if name not in _ROOMS:
        raise AttributeError(f"module 'mnistzoo' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_ROOMS[name]), name)
    except ImportError as error:
        from mnistzoo.missing import MissingModuleError, why_not_imported

        raise MissingModuleError(f"mnistzoo.{name}: {why_not_imported(error)}") from error


def __dir__() -> list[str]:
    return [*globals(), *_ROOMS]
