"""A small net, and mixup (arXiv 1710.09412)."""

import numpy as np
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
        generator: draws which other, and the share of it.
        alpha: of the Beta distribution that the share of the other is drawn from.
    """
    other = torch.randperm(len(images), generator=generator, device=images.device)
    # torch's own Beta distribution draws from the global generator alone.
    seed = torch.randint(2**31, (), generator=generator, device=images.device)
    share = np.random.default_rng(int(seed)).beta(alpha, alpha)
    return images.lerp(images[other], share), labels.lerp(labels[other], share)
