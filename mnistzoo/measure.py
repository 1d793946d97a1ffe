"""What a model costs: multiply-adds and latency."""

import copy
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mnistzoo._version import __version__
from mnistzoo.errors import MnistzooError
from mnistzoo.inference import computing_threads, predict_logits, to_input

_WARM_UP_SECONDS = 0.2
_REPEATS = 30
_LEAST_REPEATS = 5
_MOST_SECONDS = 3.0
_MIN_ROUND_SECONDS = 0.005


def multiply_adds(model: nn.Module) -> int | None:
    """Return the multiply-adds of one image in convolutions and matrix products.

    None for a model that takes values out of tensors, as one does that computes outside torch: what
    it does with them cannot be counted.
    """
    device = torch.device("meta")  # tensors without values
    try:
        without_values = copy.deepcopy(model).eval().to(device)
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            without_values(torch.zeros(1, 1, 28, 28, device=device))
    except Exception:  # torch has many ways to say that there is no value
        return None
    return int(counter.get_total_flops()) // 2


def latency_us(model: nn.Module, images: Tensor) -> float:
    """Return how long PyTorch takes for one batch on one thread, in us; see :func:`median_us`.

    One thread, since several that wait for each other on a busy machine measure the machine.

    The timed calls' logits must agree with those of :func:`predict_logits`.

    Args:
        model: on the device of the images.
        images: uint8 ``(N, 1, 28, 28)``, the batch.

    Raises:
        MnistzooError: if the logits disagree.
    """
    inputs = to_input(images)
    model.eval()
    logits = inputs

    def call() -> None:
        nonlocal logits
        logits = model(inputs)

    with computing_threads(1), torch.inference_mode():
        microseconds = median_us(call, lambda: _wait(images.device))
    with torch.inference_mode():
        expected = predict_logits(model, images)
    if not torch.allclose(logits.float(), expected, rtol=1e-3, atol=1e-3):
        raise MnistzooError("the timed calls gave other logits than the evaluation")
    return microseconds


def median_us(call: Callable[[], object], wait: Callable[[], None] = lambda: None) -> float:
    """Return how long a call takes, in microseconds.

    The median of 30 rounds after a warm-up, or of fewer, but at least 5, once they have lasted 3
    seconds; a round repeats the call until it lasts 5 ms.

    Args:
        call: what is timed.
        wait: returns once the device has done what the calls asked of it.
    """

    def seconds(calls: int) -> float:
        wait()
        started = time.perf_counter()
        for _ in range(calls):
            call()
        wait()
        return time.perf_counter() - started

    warm_until = time.perf_counter() + _WARM_UP_SECONDS
    once = seconds(1)
    while time.perf_counter() < warm_until:
        once = seconds(1)
    calls = max(1, round(_MIN_ROUND_SECONDS / once))
    rounds: list[float] = []
    enough = time.perf_counter() + _MOST_SECONDS
    while len(rounds) < _LEAST_REPEATS or (len(rounds) < _REPEATS and time.perf_counter() < enough):
        rounds.append(seconds(calls) / calls)
    return statistics.median(rounds) * 1e6


def environment(device: torch.device) -> dict[str, Any]:
    """Return what a timing must name: device, processor, threads, versions."""
    return {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "versions": {
            "mnistzoo": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            **{name: version(name) for name in ("onnx", "onnxruntime") if find_spec(name)},
        },
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
