"""A residual net (after arXiv 1512.03385) that sees 28x28 images in full resolution."""

from torch import Tensor, nn
from torch.nn import functional as F


class ResNet(nn.Module):
    """A 5x5 stem and residual 3x3 convolutions at 28x28, 14x14 and 7x7; global average pooling.

    Every normalisation directly follows a convolution, so it can be folded into it.

    Args:
        widths: channels at 28x28, 14x14 and 7x7.
        num_classes: how many logits.
    """

    def __init__(self, widths: tuple[int, int, int], num_classes: int = 10) -> None:
        super().__init__()
        large, middle, small = widths
        self.stem = _conv(1, large, kernel_size=5)
        self.residuals28 = nn.Sequential(Residual(large))
        self.widen14 = _conv(large, middle, kernel_size=3)
        self.residuals14 = nn.Sequential(Residual(middle))
        self.widen7 = _conv(middle, small, kernel_size=3)
        self.residuals7 = nn.Sequential(Residual(small))
        self.head = nn.Linear(small, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(N, num_classes)`` for images ``(N, 1, 28, 28)``, 0 to 1."""
        features = self.residuals28(F.relu(self.stem(images)))
        features = F.relu(self.widen14(F.max_pool2d(features, 2)))
        features = self.residuals14(features)
        features = F.relu(self.widen7(F.max_pool2d(features, 2)))
        features = self.residuals7(features)
        return self.head(features.mean((2, 3)))


def resnet(num_classes: int = 10) -> ResNet:
    """Return the net of 1,148,746 parameters for ten classes."""
    return ResNet((64, 128, 256), num_classes)


def resnet_small(num_classes: int = 10) -> ResNet:
    """Return the net of 421,794 parameters for ten classes."""
    return ResNet((40, 80, 152), num_classes)


class Residual(nn.Module):
    """A 3x3 convolution with ReLU, added to its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _conv(channels, channels, kernel_size=3)

    def forward(self, features: Tensor) -> Tensor:
        return features + F.relu(self.conv(features))


def _conv(channels_in: int, channels_out: int, kernel_size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size, padding=kernel_size // 2, bias=False),
        nn.BatchNorm2d(channels_out),
    )
