"""What is done to the machine so that it computes fast, each trick with its measured reason.

Measured on two cores of an AMD EPYC with torch 2.13.
"""

import contextlib
import copy
import os
import threading
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from mnistzoo.modules import copy_sharing_tensors, unwrapped

# What a layout is tried on, and how far its logits may differ.
_IMAGES = 2
_TOLERANCE = 1e-3


@contextlib.contextmanager
def computing_threads(number: int | None = None) -> Iterator[None]:
    """Compute with so many threads in the block; with None, as many as before.

    While several wait for each other, they do not spin for long: see :func:`_spinning_little`.
    """
    before = torch.get_num_threads()
    number = number or before
    with _spinning_little() if number > 1 else contextlib.nullcontext():
        torch.set_num_threads(number)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@contextlib.contextmanager
def _spinning_little() -> Iterator[None]:
    """Let torch's threads sleep soon where they wait for each other, in the block.

    Else a thread that waits at a barrier spins for milliseconds, and takes its core from the very
    thread that it waits for as soon as another process is busy: measured, beside one busy process
    the evaluation of ``lenet5`` with two threads took 24 times its idle time, and in this block
    1.4 times.

    GOMP_SPINCOUNT and OMP_WAIT_POLICY say the same, but libgomp, torch's OpenMP on Linux, reads
    them only while torch is imported. At any time, though, it spins for no more than 1,000 turns
    in place of 300,000 while it manages more threads than there are cores (``gomp_managed_threads``
    in its config/linux/wait.h and team.c). So a thread of ours starts a team of one more, and keeps
    it, asleep, until the block ends. Other OpenMP libraries do not notice.
    """
    if not hasattr(os, "sched_getaffinity"):  # no Linux, hence no libgomp
        yield
        return
    too_many = len(os.sched_getaffinity(0)) + 1
    started, ended = threading.Event(), threading.Event()

    def keep_a_team() -> None:
        try:
            torch.set_num_threads(too_many)
            # An element-wise operation gives each thread 32,768 elements at least.
            torch.zeros(too_many << 15, dtype=torch.uint8).add_(1)
        finally:
            started.set()
        ended.wait()

    keeper = threading.Thread(target=keep_a_team, name="mnistzoo-openmp-team", daemon=True)
    keeper.start()
    try:
        started.wait()
        yield
    finally:
        ended.set()
        keeper.join()


def keep_freed_memory() -> None:
    """Let glibc keep the memory that one batch frees for the next, in the whole process.

    Else it gives large blocks back to the system and takes them again page by page: measured, a
    training step of ``sprint`` takes a quarter longer. What it keeps follows the largest block
    freed so far, up to 32 MiB (mallopt(3), M_MMAP_THRESHOLD); hence one is allocated here and freed
    at once. Other allocators, and a glibc whose thresholds are set, do not notice.
    """
    torch.empty(31 << 20, dtype=torch.uint8)


@contextlib.contextmanager
def denormals_flushed() -> Iterator[None]:
    """Flush denormal numbers to zero in the block: Adam's averages of dead pixels decay into them,
    and they slow a CPU down.

    The processor has the switch once a thread: torch's worker threads take it over when they start,
    so those that ran before keep theirs, and those that start here keep this one.
    """
    flushed_before = bool(torch.tensor(1e-310, dtype=torch.float64).mul(1) == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed_before)


def cpu_computes_bfloat16() -> bool:
    """Say whether this processor has arithmetic for bfloat16, as torch sees it.

    Without it bfloat16 is emulated: measured, a training step takes seven times as long.
    """
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def laid_out(model: nn.Module) -> nn.Module:
    """Return a copy of a model whose convolutions lie channels last, where that is faster.

    See :func:`prefer_channels_last`. The copy shares all other tensors, and the model itself, which
    another thread may be using, stays as it is. It is what is returned where the copy would not do,
    and where it has hooks, which would see the trial's images too.

    Args:
        model: in evaluation mode.
    """
    if any(each._forward_hooks or each._forward_pre_hooks for each in model.modules()):
        return model
    with torch.inference_mode(False):  # else the weights could not take gradients
        if not _is_to_be_laid_out(model):
            return model
        instead: dict[Tensor, Tensor] = {
            each: nn.Parameter(each.data.to(memory_format=torch.channels_last), each.requires_grad)
            for each in model.parameters()
            if each.dim() == 4
        }
        return copy_sharing_tensors(model, instead)


def prefer_channels_last(model: nn.Module) -> None:
    """Lay the weights of 2-D convolutions out channels last, where the model goes on working.

    Measured with one thread of an AMD EPYC and torch 2.13, layout by layout in turns: a training
    step of 128 images is 1.4 times faster for mnistconvnet and tiny1k, 1.8 times for tiny7k, 1.2
    for resnet; 100 images are classified twice as fast by mnistconvnet and tiny7k.

    Features lie channels last too then, and ``conv(x).view(-1, n)`` refuses those. So a copy of the
    model tries both layouts on two images; if it fails, or its logits differ, the model stays as it
    is, as does one that is compiled or wrapped, which would be compiled again. Tensors of other
    than four dimensions always do.

    Args:
        model: in the mode in which it is used.
    """
    if _is_to_be_laid_out(model):
        for tensor in _four_dimensional(model):
            tensor.data = tensor.data.to(memory_format=torch.channels_last)


def _is_to_be_laid_out(model: nn.Module) -> bool:
    """Say whether some convolution does not lie channels last yet, and the model works if it does.

    A compiled model would be compiled again.
    """
    weights = [each for each in model.parameters() if each.dim() == 4]
    if all(map(_lies_channels_last, weights)) or any(map(_compiled, model.modules())):
        return False
    try:
        return _works_channels_last(copy.deepcopy(model))
    except KeyboardInterrupt:
        raise
    except BaseException:  # the model's own, SystemExit too; it comes up again where it is used
        return False


def _four_dimensional(model: nn.Module) -> list[Tensor]:
    return [each for each in (*model.parameters(), *model.buffers()) if each.dim() == 4]


def _lies_channels_last(tensor: Tensor) -> bool:
    """Say so by the strides: is_contiguous() cannot tell where a dimension is 1."""
    _, channels, height, width = tensor.shape
    return tensor.stride() == (channels * height * width, 1, channels * width, channels)


def _compiled(module: nn.Module) -> bool:
    return module._compiled_call_impl is not None or unwrapped(module) is not module


def _works_channels_last(trial: nn.Module) -> bool:
    """Say whether the model, which this spoils, gives the same logits, and trains if it is to."""
    training, device = trial.training, _four_dimensional(trial)[0].device
    images = torch.linspace(0, 1, _IMAGES * 28 * 28, device=device).view(_IMAGES, 1, 28, 28)
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        torch.backends.cudnn.flags(enabled=True, allow_tf32=False),  # which rounds too coarsely
    ):
        trial.eval()  # a dropout's random mask depends on the layout
        with torch.no_grad():
            expected = trial(images)
            for tensor in _four_dimensional(trial):
                tensor.data = tensor.data.to(memory_format=torch.channels_last)
            works = torch.allclose(trial(images), expected, rtol=_TOLERANCE, atol=_TOLERANCE)
        if works and training:
            trial.train()
            with torch.enable_grad():
                trial(images).sum().backward()
    return works
