"""ONNX Runtime itself: how it is imported, what memory it gets, and its errors in our words."""

import contextlib
import functools
import os
import re
from typing import Any

from mnistzoo.errors import MnistzooError, one_line
from mnistzoo.missing import hidden_module

_MOST_MEMORY = 2**30  # bytes of the sessions in which files are tried out


class OnnxFileError(MnistzooError):
    """A file is not an ONNX model of such images, or ONNX Runtime is not installed."""


def import_onnxruntime() -> Any:
    """Return the module, its telemetry off: every import of it goes through here.

    By default ONNX Runtime 1.32 writes a device id into the user's cache, files into the temporary
    folder, and sends both to its maker. It reads the variable while it is imported;
    ``disable_telemetry_events()`` comes too late. A variable that the user has set stays.

    Raises:
        OnnxFileError: if it is not installed, or a file of its name hides it.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime

        onnxruntime.InferenceSession  # noqa: B018 (a file that hides the package has none)
    except (ImportError, AttributeError) as error:
        how = hidden_module(error) or "`pip install onnxruntime`"
        raise OnnxFileError(f"running ONNX files needs onnxruntime; {how}") from error
    return onnxruntime


@functools.cache
def bound_memory(onnxruntime: Any) -> None:
    """Make an allocator with a limit for the sessions of this process that ask for it."""
    cpu = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    limit = onnxruntime.OrtArenaCfg({"max_mem": _MOST_MEMORY, "arena_extend_strategy": 1})
    with contextlib.suppress(Exception):  # the program that we are part of has made one
        onnxruntime.create_and_register_allocator(cpu, limit)


def why_not_loaded(error: Exception, version: str) -> str:
    """Return why ONNX Runtime does not load a file, and what to do, as the end of a sentence."""
    text = in_its_words(error)
    if found := re.search(r"IR version: (\d+), max supported IR version: (\d+)", text):
        has, known = f"IR version {found[1]}", found[2]
    elif found := re.search(r"Opset (\d+) is under development.* till opset (\d+)", text):
        has, known = f"opset {found[1]}", found[2]
    elif found := re.search(r"External data path does not exist: \"(.+?)\"", text):
        return f"keeps its weights in {found[1]}, which is not there; put that file there"
    else:
        why = f"that ONNX Runtime can load ({text})"
        return f"is not an ONNX model {why}; `mnistzoo export` writes one"
    return (
        f"has {has}, and the installed onnxruntime {version} is too old for it: it reads up to "
        f"{known}; install a newer one"
    )


def in_its_words(error: Exception) -> str:
    """Return ONNX Runtime's own words, without its codes and its lines of C++."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", one_line(str(error)))
    return re.sub(r"^/\S+:\d+ .*?\) (?=[A-Z])", "", text) or type(error).__name__
