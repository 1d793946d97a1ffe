"""Augmentation: a batch of images, each distorted in its own way."""

import functools
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mnistzoo.paths import PathError, imported, using
from mnistzoo.recipe import Augmentation

_SIDE = 28
_PIXEL = 2 / _SIDE  # in the coordinates of grid_sample, where the image reaches from -1 to 1
_SMOOTHNESS = 4.0  # pixels: the standard deviation that Simard et al. give their Gaussian
_ERASED_SIDES = (4, 12)  # pixels, from and to


def augment(images: Tensor, amount: Augmentation, generator: torch.Generator) -> Tensor:
    """Return the images turned, scaled, shifted, slanted, bent, cropped or partly erased by chance.

    Every image draws its own amounts: uniformly from minus to plus its amount for the affine
    part, the elastic distortion from a normal distribution (after Simard, Steinkraus and
    Platt, "Best practices for convolutional neural networks", ICDAR 2003), and with probability
    ``erasing`` a rectangle of 4 to 12 pixels a side that is blackened (after arXiv 1708.04896).
    What comes in from outside an image is black too. Of what is 0 nothing is computed and no
    random number drawn.

    Args:
        images: float32 ``(N, 1, 28, 28)``, 0 to 1.
        amount: of each distortion; ``plain_epochs`` is the trainer's affair.
        generator: on the device of the images.

    Returns:
        float32 ``(N, 1, 28, 28)``, 0 to 1.
    """
    affine = amount.rotation or amount.scale or amount.shift or amount.shear
    if affine or amount.elastic or amount.crop < _SIDE:
        transform = _affine(len(images), amount, generator)
        if amount.crop < _SIDE:
            transform = _crop(transform, amount.crop / _SIDE, generator)
        grid = F.affine_grid(transform, list(images.shape), align_corners=False)
        if amount.elastic:
            grid += _bend(len(images), generator).mul_(amount.elastic * _PIXEL)
        images = F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
        images.clamp_(0, 1)  # interpolation may round to a hair above 1
    if amount.erasing:
        images = images.masked_fill(_rectangle(len(images), amount.erasing, generator), 0)
    return images


def mix(
    images: Tensor, labels: Tensor, amount: Augmentation, classes: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return what the recipe's own function makes of a batch, such as mixup (arXiv 1710.09412).

    Args:
        images: float32 ``(N, 1, 28, 28)``, 0 to 1.
        labels: int64 ``(N,)``.
        amount: with the function and its arguments.
        classes: how many there are.
        generator: on the device of the images.

    Returns:
        Images, and labels as shares of the classes, float32 ``(N, C)``.

    Raises:
        PathError: if the function fails, or returns something else.
    """
    assert amount.function is not None
    with using("the augmentation", amount.function):
        shares = F.one_hot(labels, classes).float()
        mixed = imported(amount.function)(images, shares, generator, **amount.arguments)
        found = [getattr(each, "shape", None) for each in mixed]
        if found != [images.shape, shares.shape]:
            raise PathError(
                f"the augmentation {amount.function!r} returns {found}, expected images "
                f"{tuple(images.shape)} and labels {tuple(shares.shape)}"
            )
    return mixed[0], mixed[1]


def crop_middle(images: Tensor, side: float) -> Tensor:
    """Return the middle of the images, a square of ``side`` pixels, scaled up to 28x28.

    Args:
        images: float32 ``(N, 1, 28, 28)``, 0 to 1.
        side: 1 to 28; with 28 the images come back as they are.
    """
    if side == _SIDE:
        return images
    window = side / _SIDE
    transform = torch.tensor([[window, 0, 0], [0, window, 0]], device=images.device)
    grid = F.affine_grid(
        transform.expand(len(images), 2, 3), list(images.shape), align_corners=False
    )
    return F.grid_sample(images, grid, align_corners=False).clamp_(0, 1)


def _affine(count: int, amount: Augmentation, generator: torch.Generator) -> Tensor:
    """Return the maps from output to input coordinates, ``(N, 2, 3)``."""
    drawn = torch.rand(6, count, generator=generator, device=generator.device).mul_(2).sub_(1)
    angle = drawn[0] * math.radians(amount.rotation)
    slant = (drawn[1] * math.radians(amount.shear)).tan()
    width, height = 1 + drawn[2:4] * amount.scale
    across, down = drawn[4:6] * (amount.shift * _PIXEL)
    cos, sin = angle.cos(), angle.sin()
    # Turned back, then straightened, then scaled back: the inverse of what the image undergoes.
    return torch.stack(
        [
            *((cos - slant * sin) / width, (sin + slant * cos) / width, across),
            *(-sin / height, cos / height, down),
        ],
        dim=1,
    ).view(count, 2, 3)


def _crop(transform: Tensor, window: float, generator: torch.Generator) -> Tensor:
    """Return the maps followed by those into a window at a random place, ``(N, 2, 3)``."""
    place = torch.rand(len(transform), 2, generator=generator, device=generator.device)
    transform = transform * window
    transform[:, :, 2] += (1 - window) * (2 * place - 1)
    return transform


def _bend(count: int, generator: torch.Generator) -> Tensor:
    """Return smooth displacements ``(N, 28, 28, 2)``, of standard deviation 1 everywhere."""
    bumps = _bumps(generator.device)
    points = bumps.shape[1]
    noise = torch.randn(count, 2, points, points, generator=generator, device=generator.device)
    return (bumps @ noise @ bumps.T).permute(0, 2, 3, 1)


@functools.cache
def _bumps(device: torch.device) -> Tensor:
    """Return a Gaussian around each control point along one side, ``(28, points)``.

    Noise at control points as far apart as the Gaussian is wide, weighted so, is as good as smooth
    noise at every pixel, and takes far fewer random numbers.
    """
    points = torch.arange(-_SMOOTHNESS, _SIDE + _SMOOTHNESS + 1, _SMOOTHNESS)
    distance = torch.arange(_SIDE)[:, None] - points
    bumps = (-(distance**2) / (2 * _SMOOTHNESS**2)).exp()
    return (bumps / bumps.norm(dim=1, keepdim=True)).to(device)


def _rectangle(count: int, probability: float, generator: torch.Generator) -> Tensor:
    """Return which pixels to erase, ``(N, 1, 28, 28)``; of most images none."""
    chosen, *places = torch.rand(5, count, 1, generator=generator, device=generator.device)
    pixel = torch.arange(_SIDE, device=generator.device)
    least, most = _ERASED_SIDES
    inside = []
    for position, size in (places[:2], places[2:]):
        side = (least + size * (most + 1 - least)).floor()
        start = (position * (_SIDE + 1 - side)).floor()
        inside.append((pixel >= start) & (pixel < start + side))
    rows, columns = inside
    rows &= chosen < probability
    return (rows[:, :, None] & columns[:, None, :]).unsqueeze(1)
