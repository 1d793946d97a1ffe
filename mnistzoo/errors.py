"""The one ancestor of the errors that mnistzoo raises on purpose, and errors as printable text."""

import difflib
import traceback
from collections.abc import Collection, Iterable
from pathlib import Path
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


def describe_os_error(error: OSError) -> str:
    """Return in one printable line which file and what is wrong, else the error's own text."""
    if error.strerror is None:  # a program raised it, not the system
        return _text(error) or describe(error)
    return one_line(
        error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    )


def describe_failure(what: str, error: BaseException, packages: Collection[str]) -> str:
    """Return in one line what of a model failed, why, and in which line of the model's own code.

    Args:
        what: was done, such as ``"forward() of a batch of 5"``.
        error: that it raised.
        packages: the top packages of the model's own code.
    """
    return f"{what} failed: {reason(error)}{place(error, packages)}"


def place(error: BaseException, packages: Collection[str]) -> str:
    """Return the last file and line in these top packages that an exception went through.

    Such as ``" (my_model/model.py, line 7)"``, empty where it went through none.
    """
    found = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if package in packages:
            found = shown_place(frame.f_code.co_filename, line, package)
    return found


def shown_place(path: str, line: int, package: str) -> str:
    """Return in brackets a line of a file, its path from the folder of the top package on."""
    file = Path(path)
    folder = next((each for each in file.parents if each.name == package), file)
    return f" ({one_line(str(file.relative_to(folder.parent)))}, line {line})"


def format_traceback(error: BaseException) -> str:
    """Return the exception's traceback in printable lines."""
    try:
        lines = "".join(traceback.format_exception(error))
    except BaseException:  # what an exception may hold is the plugin's own
        return f"{describe(error)} (its traceback cannot be shown)"
    return printable(lines)


def one_line(text: str) -> str:
    """Return the text as one printable line."""
    return printable(" ".join(text.split()))


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


def printable(text: str) -> str:
    """Return the text without control characters and lone surrogates, which harm a terminal."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)
