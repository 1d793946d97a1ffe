"""The contract of a model: images in, logits out, each image by itself."""

import re
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from mnistzoo.classifier import as_classifier, is_module
from mnistzoo.errors import MnistzooError, reason, shown_place
from mnistzoo.inputs import to_input
from mnistzoo.modules import ModelFailed, calling
from mnistzoo.seeding import seeded

_FEW_IMAGES = 5  # which show whether a model keeps the contract
# In what torch says where float32 meets another kind of float.
_MIXED_FLOATS = re.compile(r"\b(Half|BFloat16|[Dd]ouble|float16|bfloat16|float64)\b|mixed dtype")


class CheckFailed(MnistzooError):
    """Says what was expected, what was found, and how to mend it."""


def require_contract(
    model: Any, images: Tensor, classes: int, device: torch.device, *, repeatable: bool = True
) -> None:
    """Refuse what ``mnistzoo check`` refuses of a model's logits, in the same words.

    Args:
        model: in evaluation mode; a module is moved to the device.
        images: real ones, uint8 ``(N, 1, 28, 28)``; the first few are taken.
        classes: that the logits are of.
        device: to compute on.
        repeatable: False for a model that draws random numbers in evaluation.

    Raises:
        CheckFailed: if the model does not keep the contract.
        ModelFailed: if it raises an exception.
    """
    if is_module(model):
        model.to(device)
    few = to_input(images[:_FEW_IMAGES].to(device))
    require_logits(model, few, classes)
    if repeatable:
        require_repeatable(model, few)
        require_independence(model, few)


def call(model: Any, images: Tensor) -> Any:
    """Return what a model returns for images, float32 ``(N, 1, 28, 28)``, 0 to 1; no gradient.

    Raises:
        ModelFailed: if a module raises an exception.
    """
    if not is_module(model):
        pixels = images.squeeze(1).mul(255).round().to(torch.uint8).cpu().numpy()
        return torch.tensor(as_classifier(model).logits(pixels))
    try:
        with torch.no_grad(), calling(model, f"forward() of a batch of {len(images)}"):
            return model(images)
    except ModelFailed as error:
        said = reason(error.__cause__ or error)
        if "type" not in said or not _MIXED_FLOATS.search(said):
            raise
        raise ModelFailed(
            f"{error}; images are float32: keep the parameters so too, or begin with "
            "images.to(dtype) and end with .float()"
        ) from error.__cause__


def require_logits(model: Any, images: Tensor, classes: int) -> None:
    """Refuse other answers than finite float32 logits ``(N, C)``, and images that are changed."""
    count = len(images)
    given = images.clone()
    logits = call(model, given)
    if not isinstance(logits, Tensor):
        raise CheckFailed(
            f"forward() returns {type(logits).__name__}, expected one tensor of logits (N, C)"
        )
    if logits.shape != (count, classes):
        raise CheckFailed(
            f"forward() gives {count} images shape {tuple(logits.shape)}, expected "
            f"{(count, classes)}; one logit a class"
        )
    if logits.dtype != torch.float32:
        raise CheckFailed(
            f"forward() returns {logits.dtype}, expected torch.float32; end with .float()"
            f"{_end_of_forward(model)}"
        )
    if not logits.isfinite().all():
        raise CheckFailed(
            "forward() gives NaN or infinite logits for real images; look for log(0), a "
            "division by 0 or weights that were never set"
        )
    require_unchanged(given, images)
    if (logits > 0).all() and torch.allclose(logits.sum(1), logits.new_ones(count)):
        raise CheckFailed(
            "forward() returns probabilities, expected logits; leave softmax out, since the "
            "loss and the evaluation apply it"
        )


def _end_of_forward(model: Any) -> str:
    """Return in brackets where a model's own forward() ends; empty where that cannot be said."""
    forward = getattr(type(model), "forward", None)
    package = str(getattr(forward, "__module__", "torch")).partition(".")[0]
    if package == "torch" or not isinstance(forward, FunctionType):
        return ""
    last = max(line for *_, line in forward.__code__.co_lines() if line is not None)
    return shown_place(forward.__code__.co_filename, last, package)


def require_unchanged(given: Tensor, images: Tensor) -> None:
    """Refuse that the model changed the images that it was given."""
    if not torch.equal(given, images):
        raise CheckFailed(
            "forward() changes the images that it is given; use operations without a trailing "
            "underscore on them"
        )


def require_repeatable(model: Any, images: Tensor) -> None:
    """Refuse other logits for the same images the second time."""
    with torch.random.fork_rng(devices=[]):
        first, second = (call(model, images.clone()) for _ in range(2))
    if not torch.equal(first, second):
        raise CheckFailed(
            "in evaluation mode the same images give other logits the second time; draw random "
            "numbers in training only, as nn.Dropout or F.dropout(x, training=self.training) do"
        )


def require_independence(model: Any, images: Tensor) -> None:
    """Refuse logits of an image that depend on the rest of its batch."""
    together = logits_of(model, images)
    alone = torch.cat([logits_of(model, image) for image in images.split(1)])
    turned = logits_of(model, images.flip(0)).flip(0)
    for other, how in ((alone, "alone"), (turned, "in another order")):
        difference = float((other - together).abs().max())
        if not torch.allclose(other, together, rtol=1e-4, atol=1e-5):
            raise CheckFailed(
                f"an image's logits differ by up to {difference:.2g} {how} from those among "
                "others; compute nothing over the batch's dimension in evaluation mode"
            )


def logits_of(model: Any, images: Tensor) -> Tensor:
    """Return what the model returns for a copy of the images; no gradient.

    Random numbers are those of the same seed every time: that a model draws some in evaluation
    mode is a fault of its own.
    """
    with seeded(0, torch.device("cpu")):
        logits: Tensor = call(model, images.clone())
    return logits
