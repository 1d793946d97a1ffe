"""What a model changes beside its own tensors: only a process of its own can tell."""

import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from typing import Any

import torch

from mnistzoo.errors import one_line, reason
from mnistzoo.testing.runner import Result
from mnistzoo.testing.subject import Subject

NAME = "side_effects"
_FEW = 5  # images


def side_effects(model: str) -> Result:
    """Load a plugin, make its model and classify a few images; say what else has changed.

    In a process that has not loaded the plugin before.

    Args:
        model: its name, or an alias.
    """
    before = _surroundings()
    with tempfile.TemporaryFile() as printed:
        streams = os.dup(1), os.dup(2)
        for file in (1, 2):
            os.dup2(printed.fileno(), file)
        try:
            drawn = _used(model)
        except BaseException as error:  # SystemExit too: a model must not end the checks
            return Result(model, NAME, "failed", reason(error))
        finally:
            for stream in (sys.stdout, sys.stderr):
                if stream is not None and not stream.closed:
                    stream.flush()
            for file, stream_copy in zip((1, 2), streams, strict=True):
                os.dup2(stream_copy, file)
        printed.seek(0)
        text = one_line(printed.read(200).decode(errors="replace"))
    after = _surroundings()
    changed = [name for name in before if before[name] != after[name]]
    changed += ["torch's random numbers, in evaluation mode"] if drawn else []
    if changed:
        what = f"it changes {', '.join(changed)}"
        mend = "put back what you change, or leave it to whoever uses the model"
        return Result(model, NAME, "failed", f"{what}; {mend}")
    if text:
        return Result(model, NAME, "failed", f"it prints {text!r}; log it, or leave it out")
    return Result(model, NAME, "passed")


def _used(name: str) -> bool:
    """Say whether the model draws random numbers where it should not."""
    subject = Subject(name)
    model, images = subject.ready(), subject.images(_FEW)
    state = torch.get_rng_state()
    with torch.no_grad(), subject.calling(f"forward() of a batch of {_FEW}"):
        model(images)
    return not torch.equal(state, torch.get_rng_state())


def _surroundings() -> dict[str, Any]:
    hooks = torch.nn.modules.module
    read: dict[str, Callable[[], Any]] = {
        "torch's default dtype": torch.get_default_dtype,
        "torch's default device": torch.get_default_device,
        "whether gradients are computed": torch.is_grad_enabled,
        "autocast": lambda: torch.is_autocast_enabled("cpu"),
        "the number of threads": torch.get_num_threads,
        "hooks on all modules": lambda: (
            len(hooks._global_forward_hooks),
            len(hooks._global_forward_pre_hooks),
            len(hooks._global_backward_hooks),
        ),
        "the threads that run": lambda: {each.name for each in threading.enumerate()},
        "what signals do": lambda: [signal.getsignal(each) for each in signal.valid_signals()],
        "the working folder": os.getcwd,
        "the environment": lambda: dict(os.environ),
        "the limit of recursion": sys.getrecursionlimit,
        "the filters of warnings": lambda: list(warnings.filters),
        "standard output": lambda: (sys.stdout, sys.stderr),
    }
    return {name: get() for name, get in read.items()}
