"""The one ancestor of the errors that mnistzoo raises on purpose, and errors as printable text."""

import difflib
import traceback
from collections.abc import Iterable
from typing import ClassVar


class MnistzooError(Exception):
    """Says in one sentence what is wrong, where, and what to do next.

    The command line prints it without a traceback and exits with ``exit_code``: 1, failed, or 2,
    wrong usage, for a name that nothing has.
    """

    exit_code: ClassVar[int] = 1


def reason(error: BaseException) -> str:
    """Return what went wrong in one printable line; of an error of mnistzoo only its sentence."""
    if issubclass(type(error), MnistzooError):
        return _text(error) or describe(error)
    return describe(error)


def describe(error: BaseException) -> str:
    """Return the exception's kind and text in one printable line."""
    kind, text = one_line(type(error).__name__), _text(error)
    return f"{kind}: {text}" if text else kind


def format_traceback(error: BaseException) -> str:
    """Return the exception's traceback in printable lines."""
    try:
        lines = "".join(traceback.format_exception(error))
    except BaseException:  # what an exception may hold is the plugin's own
        return f"{describe(error)} (its traceback cannot be shown)"
    return _printable(lines)


def one_line(text: str) -> str:
    """Return the text as one printable line."""
    return _printable(" ".join(text.split()))


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``"did you mean 'x'?"`` for the known name that is nearest, whatever the case.

    Empty if none is near.
    """
    by_folded = {each.casefold(): each for each in known}
    near = difflib.get_close_matches(name.casefold(), by_folded, n=1)
    return f"did you mean {by_folded[near[0]]!r}?" if near else ""


def _text(error: BaseException) -> str:
    try:
        return one_line(str(error))
    except BaseException:  # SystemExit too, as at import
        return "(its text cannot be shown)"


def _printable(text: str) -> str:
    """Return the text without control characters and lone surrogates, which harm a terminal."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)
