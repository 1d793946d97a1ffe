"""Images through a model: the device, the input format, and batches that fit the cache."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from mnistzoo.cpu import computing_threads, keep_freed_memory, laid_out
from mnistzoo.errors import MnistzooError
from mnistzoo.inputs import to_input
from mnistzoo.modules import calling, copy_sharing_tensors, unwrapped

# Measured for convolutional nets: 10,000 images at once are several times slower, 250 no faster.
BATCH_SIZE = 100


class DeviceError(MnistzooError):
    """The device that was asked for is not there."""


class UnknownDevice(DeviceError):
    """No device has such a name."""

    exit_code = 2


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Return the device that is named, index and all; for ``"auto"`` CUDA where there is one.

    Args:
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``, or a torch device.

    Raises:
        DeviceError: for another name (``UnknownDevice``), and for a device that is not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError:
        found = None
    if found is None or found.type not in _COUNTS:
        raise UnknownDevice(
            f"there is no device {str(device)!r}; take auto, cpu, cuda, cuda:N or mps"
        )
    count = _COUNTS[found.type]()
    if (found.index or 0) >= count:
        sees = f"{count} of them" if count else f"no {found.type.upper()} device"
        raise DeviceError(f"{found} is not there, since this torch sees {sees}; take cpu, or auto")
    return found


_COUNTS: dict[str, Callable[[], int]] = {
    "cpu": lambda: 1,
    "cuda": torch.cuda.device_count,
    "mps": lambda: int(torch.backends.mps.is_available()),
}


def predict_logits(model: nn.Module, images: Tensor, batch_size: int = BATCH_SIZE) -> Tensor:
    """Return the logits ``(N, C)``, float32, of images ``(N, 1, 28, 28)`` on their device.

    It computes in evaluation mode, weights laid out as is fastest (:func:`~mnistzoo.cpu.laid_out`);
    the model itself stays as it is.

    Args:
        model: on the device of the images. In training mode it must be one that ``copy.deepcopy``
            can copy.
        images: uint8, 0 (paper) to 255 (ink), or float from 0 to 1.
        batch_size: of how many images at once.

    Raises:
        ModelFailed: if the model raises an exception.
    """
    return predict_batches(model, images.split(batch_size), images.device)


@torch.inference_mode()
def predict_batches(model: nn.Module, batches: Iterable[Tensor], device: torch.device) -> Tensor:
    """Return what :func:`predict_logits` does for images that come batch by batch."""
    keep_freed_memory()
    model = in_evaluation_mode(model)
    logits = []
    # In TF32, cuDNN's default, an image at the border could get another digit than on a CPU.
    with computing_threads(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        model = laid_out(model)
        for batch in batches:
            inputs = to_input(batch.to(device))
            with calling(model, f"forward() of a batch of {len(inputs)}"):
                logits.append(model(inputs).float())
    return torch.cat(logits)


def in_evaluation_mode(model: nn.Module) -> nn.Module:
    """Return the model if it is in evaluation mode, else a copy in it that shares its tensors.

    To switch the model itself, and back, would change it under another thread that uses it.

    Raises:
        ModelFailed: if it has to be copied and cannot be.
    """
    if not any(module.training for module in model.modules()):
        return model
    model = unwrapped(model)
    with calling(model, "copying it, since it is in training mode (call model.eval() before),"):
        copied = copy_sharing_tensors(model)
    copied.eval()
    return copied
