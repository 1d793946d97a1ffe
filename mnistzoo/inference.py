"""Images through a model: the device, the input format, and batches that fit the cache."""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mnistzoo.errors import MnistzooError
from mnistzoo.modules import calling

# Measured for convolutional nets: 10,000 images at once are several times slower, 250 no faster.
BATCH_SIZE = 100


class DeviceError(MnistzooError):
    """The device that was asked for is not there."""


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device for ``"cpu"``, ``"cuda"`` or ``"auto"``: CUDA where there is one, else CPU.

    Raises:
        DeviceError: for any other name, and for ``"cuda"`` where there is none.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"there is no device {name!r}; take auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise DeviceError("this torch sees no CUDA device; take --device cpu, or auto")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def to_tensor(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Return uint8 images ``(N, 28, 28)`` as a uint8 tensor ``(N, 1, 28, 28)`` on the device."""
    return torch.tensor(images, device=device).unsqueeze(1)


def to_input(images: Tensor) -> Tensor:
    """Return uint8 images as a model takes them: float32, 0 to 1."""
    return images.float().div_(255)


@contextlib.contextmanager
def computing_threads(number: int | None) -> Iterator[None]:
    """Compute with so many threads in the block; with None, as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_freed_memory() -> None:
    """Let glibc keep the memory that one batch frees for the next, in the whole process.

    Else it gives large blocks back to the system and takes them again page by page: measured, a
    training step of ``sprint`` takes a quarter longer. What it keeps follows the largest block
    freed so far, up to 32 MiB (mallopt(3), M_MMAP_THRESHOLD); hence one is allocated here and freed
    at once. Other allocators, and a glibc whose thresholds are set, do not notice.
    """
    torch.empty(31 << 20, dtype=torch.uint8)


@torch.inference_mode()
def predict_logits(model: nn.Module, images: Tensor, batch_size: int = BATCH_SIZE) -> Tensor:
    """Return the logits ``(N, 10)``, float32, of uint8 images ``(N, 1, 28, 28)`` on their device.

    The model is put into evaluation mode for it, and each module back into its own mode.

    Raises:
        ModelFailed: if the model raises an exception.
    """
    keep_freed_memory()
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        batches = images.split(batch_size)
        with calling(model, f"forward() of a batch of {len(batches[0])}"):
            return torch.cat([model(to_input(batch)).float() for batch in batches])
    finally:
        for module, training in modes:
            module.training = training
