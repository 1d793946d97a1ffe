"""A residual net (arXiv 1512.03385) for 28x28 images and two CPU cores."""

from torch import Tensor, nn
from torch.nn import functional as F


class ResNet(nn.Module):
    """A 5x5 stem, three residual blocks at 14x14, 7x7 and 4x4, global average pooling.

    Every normalisation directly follows a convolution, so it can be folded into it.
    """

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.stem = _conv(1, 32, kernel_size=5, stride=2)
        self.block1 = ResidualBlock(32, 64, stride=1)
        self.block2 = ResidualBlock(64, 128, stride=2)
        self.block3 = ResidualBlock(128, 224, stride=2)
        self.head = nn.Linear(224, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(N, num_classes)`` for images ``(N, 1, 28, 28)``, 0 to 1."""
        features = F.relu(self.stem(images))
        features = self.block3(self.block2(self.block1(features)))
        return self.head(features.mean((2, 3)))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, added to a 1x1 projection of the input."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels_in, channels_out, kernel_size=3, stride=stride)
        self.conv2 = _conv(channels_out, channels_out, kernel_size=3, stride=1)
        self.shortcut = _conv(channels_in, channels_out, kernel_size=1, stride=stride)

    def forward(self, features: Tensor) -> Tensor:
        residual = self.conv2(F.relu(self.conv1(features)))
        return F.relu(residual + self.shortcut(features))


def _conv(channels_in: int, channels_out: int, kernel_size: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size, stride, kernel_size // 2, bias=False),
        nn.BatchNorm2d(channels_out),
    )
