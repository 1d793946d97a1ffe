"""Images through a model: the device, the input format, and batches that fit the cache."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mnistzoo.cpu import computing_threads, keep_freed_memory
from mnistzoo.data import DataError
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
    """Return uint8 images as a model takes them: float32, 0 to 1.

    Raises:
        DataError: if they are of another type: nobody knows what their numbers mean.
    """
    if images.dtype != torch.uint8:
        raise DataError(
            f"the images are {images.dtype}, expected torch.uint8, 0 (paper) to 255 (ink); for "
            "images from 0 to 1 call the model itself"
        )
    return images.float().div_(255)


@torch.inference_mode()
def predict_logits(model: nn.Module, images: Tensor, batch_size: int = BATCH_SIZE) -> Tensor:
    """Return the logits ``(N, 10)``, float32, of uint8 images ``(N, 1, 28, 28)`` on their device.

    The model is put into evaluation mode for it, and each module back into its own mode.

    Raises:
        DataError: if the images are not uint8.
        ModelFailed: if the model raises an exception.
    """
    keep_freed_memory()
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        # In TF32, cuDNN's default, an image at the border could get another digit than on a CPU.
        full_precision = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        batches = images.split(batch_size)
        what = f"forward() of a batch of {len(batches[0])}"
        with computing_threads(), full_precision, calling(model, what):
            return torch.cat([model(to_input(batch)).float() for batch in batches])
    finally:
        for module, training in modes:
            module.training = training
