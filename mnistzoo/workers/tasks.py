"""What runs in a worker: one task, told and answered through its channel.

Each answers with facts and arrays alone. ``{"alive": true}`` is a sign of progress, ``{"line":
text}`` one for people, and ``{"failure": text}`` the end.
"""

import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mnistzoo.contract import require_contract
from mnistzoo.errors import reason
from mnistzoo.inference import BATCH_SIZE, predict_batches
from mnistzoo.inputs import to_input
from mnistzoo.measure import latency_us, multiply_adds
from mnistzoo.models import load_model, weights_size
from mnistzoo.plugins import load_plugins
from mnistzoo.registry import get_spec
from mnistzoo.training import Callback, Step, TrainingInterrupted, TrainingJob, run_training
from mnistzoo.training.progress import TrainingProgress
from mnistzoo.workers.channel import Channel

_MOST_IMAGES = 2**30  # bytes
_FEW = 5  # images that show whether a model keeps the contract
_SIGN_SECONDS = 1.0


def run(channel: Channel) -> None:
    """Run the task that the next message names, and end the process.

    At once: what a plugin has registered for its exit, or still runs in threads, does not matter.
    """
    code = 1
    try:
        facts, arrays = channel.receive(_MOST_IMAGES)
        _TASKS[facts["task"]](channel, facts, arrays)
        code = 0
    except BaseException as error:  # SystemExit too: a model must not end the zoo
        channel.send({"failure": reason(error)})
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):  # the model may have closed or replaced it
                stream.flush()
        os._exit(code)


def _discover(channel: Channel, facts: Mapping[str, Any], arrays: list[NDArray[Any]]) -> None:
    """Answer with what the plugins register."""
    found = [
        {
            **{name: getattr(each, name) for name in ("version", "entry_point", "location")},
            **{name: getattr(each, name) for name in ("error", "traceback")},
            "specs": [spec.to_dict() for spec in each.specs],
        }
        for each in load_plugins()
    ]
    channel.send({"plugins": found})


def _evaluate(channel: Channel, facts: Mapping[str, Any], arrays: list[NDArray[Any]]) -> None:
    """Answer with the logits of images, then with figures, then, once told to, with timings."""
    device = torch.device(facts["device"])
    images = torch.from_numpy(arrays[0]).unsqueeze(1)
    model = load_model(facts["model"]).to(device)
    require_contract(model, to_input(images[:_FEW].to(device)))
    logits = predict_batches(model, _batches(images, channel), device)
    channel.send({}, logits.cpu().numpy())
    channel.send({"file_bytes": weights_size(get_spec(facts["model"]))})
    _time(channel, model, images[: facts["batch"]].to(device), logits)


def _time(channel: Channel, model: nn.Module, images: Tensor, logits: Tensor) -> None:
    channel.send({"multiply_adds": multiply_adds(model)})
    channel.receive()  # it is this model's turn
    torch.set_num_threads(1)
    channel.send({"latency_us": latency_us(model, images[:1], logits[:1])})
    channel.send({"latency_256_us": latency_us(model, images, logits[: len(images)])})


def _train(channel: Channel, facts: Mapping[str, Any], arrays: list[NDArray[Any]]) -> None:
    """Answer with the weights and what became of the run, then as for an evaluation."""
    job = TrainingJob(**facts["job"])
    callbacks: list[Callback] = [_Signs(channel)]
    if facts["show_progress"]:
        tell = TrainingProgress(bar=False, say=lambda line: channel.send({"line": line}))
        callbacks.append(tell)
    stopped = ""
    try:
        result = run_training(job, callbacks)
    except TrainingInterrupted as stop:
        result, stopped = stop.result, str(stop)
    state = {name: each.contiguous() for name, each in result.model.state_dict().items()}
    content = safetensors.torch.save(state)
    told = {
        "provenance": result.provenance.to_dict(),
        "history": [dataclasses.asdict(epoch) for epoch in result.history],
        "stopped": stopped,
    }
    channel.send(told, np.frombuffer(content, np.uint8))
    if stopped:
        return
    device = torch.device(job.device)
    images = torch.from_numpy(arrays[0]).unsqueeze(1)
    logits = predict_batches(result.model, _batches(images, channel), device)
    channel.send({}, logits.cpu().numpy())
    channel.receive()  # this run's model is to be timed
    require_contract(result.model, to_input(images[:_FEW].to(device)))
    _time(channel, result.model, images[: facts["batch"]].to(device), logits)


def _check(channel: Channel, facts: Mapping[str, Any], arrays: list[NDArray[Any]]) -> None:
    """Answer with the result of each check, that of the side effects first."""
    from mnistzoo.testing.checks import CHECKS
    from mnistzoo.testing.runner import run_check
    from mnistzoo.testing.side_effects import side_effects

    model = facts["model"]
    channel.send({"result": dataclasses.asdict(side_effects(model))})
    for check in CHECKS:
        channel.send({"result": dataclasses.asdict(run_check(model, check))})


def _batches(images: Tensor, channel: Channel) -> Iterator[Tensor]:
    for batch in images.split(BATCH_SIZE):
        channel.send({"alive": True})
        yield batch


class _Signs(Callback):
    """Tells that a training goes on."""

    def __init__(self, channel: Channel) -> None:
        self._channel, self._last = channel, 0.0

    def on_step(self, step: Step) -> None:
        now = time.monotonic()
        if now - self._last >= _SIGN_SECONDS:
            self._last = now
            self._channel.send({"alive": True})


_TASKS: dict[str, Callable[[Channel, Mapping[str, Any], list[NDArray[Any]]], None]] = {
    "discover": _discover,
    "evaluate": _evaluate,
    "train": _train,
    "check": _check,
}
