"""Where results go: to stdout, which is theirs alone while a command runs."""

import contextlib
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import TextIO

from mnistzoo.files import replacing

_stream: TextIO | None = None


def results() -> TextIO:
    """Return the stream for results: stdout, also where ``sys.stdout`` leads elsewhere.

    A program that was started without a stdout (``>&-``) has nowhere to show them.
    """
    return _stream or sys.stdout or open(os.devnull, "w")


def say(line: object) -> None:
    """Print a line of results."""
    print(line, file=results(), flush=True)


def terminal_width() -> int | None:
    """Return how many columns a line of results may have; None where stdout is not a terminal."""
    return shutil.get_terminal_size().columns if results().isatty() else None


def say_note(text: str) -> None:
    """Print a line that stands below a table, in a terminal wrapped at words."""
    width = terminal_width()
    lines = (
        [text]
        if width is None
        else textwrap.wrap(text, max(width - 4, 20), break_long_words=False, break_on_hyphens=False)
    )
    say("  " + "\n    ".join(lines))


def write(text: str, path: str | os.PathLike[str]) -> None:
    """Write text to a file, whole or not at all, or to stdout for ``-``."""
    if path == "-":
        results().write(text)
        return
    with replacing(path) as stream:
        stream.write(text.encode(errors="backslashreplace"))


@contextlib.contextmanager
def stdout_for_results() -> Iterator[None]:
    """Keep stdout for what goes through :func:`results`; whatever else is printed goes to stderr.

    What plugins and models print would otherwise stand in the middle of JSON. File descriptor 1 is
    stderr too in the block, since C code and child processes write to that.

    Raises:
        OSError: at the end, if what is left cannot be written.
    """
    global _stream
    stdout = sys.stdout
    if _stream is not None or stdout is None:  # within such a block; or started without a stdout
        yield
        return
    stdout.flush()
    saved = os.dup(1)
    own = None
    if _descriptor(stdout) == 1:
        own = open(  # noqa: SIM115 (closed below, after file descriptor 1 is back)
            saved,
            "w",
            buffering=1 if stdout.line_buffering else -1,
            encoding=stdout.encoding,
            errors=stdout.errors,
        )
    try:
        os.dup2(2, 1)
        sys.stdout, _stream = sys.stderr, own or stdout
        yield
    finally:
        sys.stdout, _stream = stdout, None
        os.dup2(saved, 1)
        if own is None:
            os.close(saved)
        else:
            own.close()


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError):  # a test's or a notebook's own
        return None


def escape_what_cannot_be_encoded() -> None:
    """Let stdout and stderr write ``\\u4e03`` for a character that their encoding does not have.

    A file name may hold any character; without this, one of them loses all results.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
