"""A small net, and mixup (arXiv 1710.09412)."""

import torch
from torch import Tensor, nn


def net(num_classes: int = 10) -> nn.Module:
    """Return two convolutions with stride 2 and a linear layer."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 7 * 7, num_classes),
    )


def mixup(
    images: Tensor, labels: Tensor, generator: torch.Generator, alpha: float
) -> tuple[Tensor, Tensor]:
    """Return each image and its label blended with another's.

    Args:
        images: (N, 1, 28, 28).
        labels: shares of the classes, (N, C).
        generator: draws which other.
        alpha: of the Beta distribution that the share of the other is drawn from.
    """
    other = torch.randperm(len(images), generator=generator, device=images.device)
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    return images.lerp(images[other], share), labels.lerp(labels[other], share)
