"""A net of one hidden layer."""

from torch import nn


def net(width: int, num_classes: int = 10) -> nn.Module:
    """Return a net with so many hidden units."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, width), nn.ReLU(), nn.Linear(width, num_classes)
    )
