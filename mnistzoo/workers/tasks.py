"""What runs in a worker: one task, told and answered through its channel.

Each answers with facts and arrays alone. ``{"alive": true}`` is a sign of progress, ``{"line":
text}`` one for people, and ``{"failure": text}`` the end.
"""

import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnistzoo.classifier import as_classifier, is_module
from mnistzoo.contract import require_contract
from mnistzoo.data import Dataset
from mnistzoo.errors import reason
from mnistzoo.evaluation import REPEATS, in_parts
from mnistzoo.inference import BATCH_SIZE, predict_batches
from mnistzoo.measure import latency_us, multiply_adds
from mnistzoo.measuring import LARGE_BATCH, with_origin, with_size
from mnistzoo.models import calibration_of, load_file, load_model
from mnistzoo.plugins import load_plugins
from mnistzoo.registry import get_spec
from mnistzoo.rows import Measurement
from mnistzoo.seeding import seeded
from mnistzoo.training import Callback, Step, TrainingInterrupted, TrainingJob, run_training
from mnistzoo.training.progress import TrainingProgress
from mnistzoo.weights import to_bytes
from mnistzoo.workers.channel import Channel
from mnistzoo.workers.images import read_images

T = TypeVar("T")

_MOST_IMAGES = 2**30  # bytes
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
            "datasets": [spec.to_dict() for spec in each.datasets],
            "logs": dict(each.logs),
        }
        for each in load_plugins()
    ]
    channel.send({"plugins": found})


def _evaluate(channel: Channel, facts: Mapping[str, Any], arrays: list[NDArray[Any]]) -> None:
    """Answer with the logits of images, then with figures, then, once told to, with timings."""
    # Not its labels: they are read only when they are asked for, and nobody here asks.
    data = Dataset.from_dict(facts["data"])
    device, stochastic = torch.device(facts["device"]), facts["stochastic"]
    test = _Test(arrays[0], len(data.classes), device, not stochastic)
    if facts["is_file"]:
        _, model = load_file(facts["model"], data)
    else:
        model = load_model(facts["model"], dataset=data)
    test.require_contract(model)
    logits = test.tell(model, channel)
    told = with_origin(Measurement(), facts["model"], data=data)
    origin = ("file_bytes", "weights_sha256", "provenance", "held_out")
    shipped = calibration_of(facts["model"], None, model, data)
    channel.send(
        {name: getattr(told, name) for name in origin}
        | {"calibration": shipped and dataclasses.asdict(shipped)}
    )
    _send_size(channel, model)
    _measure(channel, model, test, logits)


@dataclasses.dataclass(frozen=True)
class _Test:
    """The images, uint8 ``(N, 28, 28)``, and how a model is used on them."""

    pixels: NDArray[np.uint8]
    classes: int
    device: torch.device
    repeatable: bool

    def images(self, count: int | None = None) -> Tensor:
        return torch.from_numpy(self.pixels[:count]).unsqueeze(1)

    def require_contract(self, model: Any) -> None:
        require_contract(
            model, self.images(), self.classes, self.device, repeatable=self.repeatable
        )

    def tell(self, model: Any, channel: Channel) -> NDArray[np.float32]:
        """Send the logits, from several seeds where they are not repeatable; return the last."""
        if self.repeatable:
            logits = self.logits(model, channel)
            channel.send({}, logits)
            return logits
        for seed in range(REPEATS):  # as evaluate_repeatedly does
            with seeded(seed, self.device):
                logits = self.logits(model, channel)
            channel.send({}, logits)
        return logits

    def logits(self, model: Any, channel: Channel) -> NDArray[np.float32]:
        if is_module(model):
            batches = _signing(self.images().split(BATCH_SIZE), channel)
            return predict_batches(model.to(self.device), batches, self.device).cpu().numpy()
        classifier = as_classifier(model)
        parts = _signing(in_parts(self.pixels), channel)
        return np.concatenate([classifier.logits(part) for part in parts])


def _send_size(channel: Channel, model: Any) -> None:
    told = with_size(Measurement(), model)
    size = {name: getattr(told, name) for name in ("params", "buffers", "runtime")}
    channel.send(size | {"multiply_adds": multiply_adds(model)})


def _measure(channel: Channel, model: Any, test: _Test, logits: NDArray[np.float32]) -> None:
    """Answer with the logits of whatever images come, then with timings."""
    with contextlib.nullcontext() if test.repeatable else seeded(0, test.device):
        while further := channel.receive(_MOST_IMAGES)[1]:
            probed = dataclasses.replace(test, pixels=further[0])
            channel.send({}, probed.logits(model, channel))
    # Without images the message says that it is this model's turn.
    torch.set_num_threads(1)
    for name, count in (("latency_us", 1), ("latency_256_us", LARGE_BATCH)):
        images, expected = test.images(count).to(test.device), torch.tensor(logits[:count])
        latency = latency_us(
            model, images, repeatable=test.repeatable, expected=expected.to(test.device)
        )
        channel.send({name: latency})


def _train(channel: Channel, facts: Mapping[str, Any], arrays: list[NDArray[Any]]) -> None:
    """Answer with the weights and what became of the run, then as for an evaluation."""
    job = TrainingJob(**facts["job"])
    callbacks: list[Callback] = [_Signs(channel)]
    if facts["show_progress"]:
        tell = TrainingProgress(bar=False, say=lambda line: channel.send({"line": line}))
        callbacks.append(tell)
    stopped = ""
    try:
        result = run_training(job, callbacks, Dataset.from_dict(facts["data"]))
    except TrainingInterrupted as stop:
        result, stopped = stop.result, str(stop)
    told = {
        "provenance": result.provenance.to_dict(),
        "history": [dataclasses.asdict(epoch) for epoch in result.history],
        "stopped": stopped,
    }
    channel.send(told, np.frombuffer(to_bytes(result.model, {}), np.uint8))
    if stopped:
        return
    classes, stochastic = len(result.provenance.classes), get_spec(job.model).stochastic
    test = _Test(arrays[0], classes, torch.device(job.device), not stochastic)
    logits = test.tell(result.model, channel)
    channel.receive()  # this run's model is to be timed
    _send_size(channel, result.model)
    test.require_contract(result.model)  # now: a training should not end without its figures
    _measure(channel, result.model, test, logits)


def _check(channel: Channel, facts: Mapping[str, Any], arrays: list[NDArray[Any]]) -> None:
    """Answer with the result of each check, that of the side effects first."""
    from mnistzoo.testing.checks import CHECKS
    from mnistzoo.testing.runner import run_check
    from mnistzoo.testing.side_effects import side_effects

    model = facts["model"]
    channel.send({"result": dataclasses.asdict(side_effects(model))})
    for check in CHECKS:
        channel.send({"result": dataclasses.asdict(run_check(model, check, quick=facts["quick"]))})


def _test_images(channel: Channel, facts: Mapping[str, Any], arrays: list[NDArray[Any]]) -> None:
    """Answer with the test images of a plugin's data set."""
    channel.send({}, read_images(facts["dataset"]))


def _signing(parts: Iterable[T], channel: Channel) -> Iterator[T]:
    for part in parts:
        channel.send({"alive": True})
        yield part


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
    "test images": _test_images,
}
