"""What a model costs: multiply-adds and latency."""

import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mnistzoo.classifier import as_classifier, is_module
from mnistzoo.cpu import computing_threads, laid_out
from mnistzoo.errors import MnistzooError
from mnistzoo.inference import predict_logits
from mnistzoo.inputs import to_input
from mnistzoo.modules import calling

_WARM_UP_SECONDS = 0.2
_REPEATS = 30
_LEAST_REPEATS = 5
_MOST_SECONDS = 3.0
_MIN_ROUND_SECONDS = 0.005
# Several that wait for each other on a busy machine measure the machine.
LATENCY_THREADS = 1


def multiply_adds(model: Any) -> int | None:
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


def latency_us(
    model: Any, images: Tensor, *, repeatable: bool = True, expected: Tensor | None = None
) -> float:
    """Return how long a model takes for one batch, in us; see :func:`median_us`.

    It computes with ``LATENCY_THREADS``, one thread.

    The timed calls' logits must agree with the expected ones. Of what is not a module
    the call of ``logits()`` is timed, which begins with bytes.

    Args:
        model: on the device of the images.
        images: uint8 ``(N, 1, 28, 28)``, the batch.
        repeatable: False for a model that draws random numbers, whose logits never agree.
        expected: the logits ``(N, C)`` of these images; None computes them by
            :func:`predict_logits`.

    Raises:
        MnistzooError: if the logits disagree.
        ModelFailed: if the model raises an exception.
    """
    if not is_module(model):
        classifier, pixels = as_classifier(model), images.squeeze(1).cpu().numpy()
        with computing_threads(LATENCY_THREADS):
            return median_us(lambda: classifier.logits(pixels))
    inputs = to_input(images)
    model.eval()
    model = laid_out(model)
    logits = inputs

    def call() -> None:
        nonlocal logits
        logits = model(inputs)

    timing = calling(model, f"forward() of a batch of {len(inputs)}")
    with (
        computing_threads(LATENCY_THREADS),
        torch.inference_mode(),
        timing,
    ):
        microseconds = median_us(call, lambda: _wait(images.device))
    if not repeatable:
        return microseconds
    if expected is None:
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


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
