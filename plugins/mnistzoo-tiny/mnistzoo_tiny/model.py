"""Very small nets: depthwise separable convolutions (arXiv 1704.04861) for 28x28 images."""

from torch import Tensor, nn
from torch.nn import functional as F


class TinyNet(nn.Module):
    """A 5x5 stem, separable convolutions at 14x14 and 7x7, global max-pooling.

    Every normalisation directly follows a convolution, so it can be folded into it.

    Args:
        num_classes: how many logits an image gets.
        stem: channels after the stem.
        wide: channels after the separable convolution that is the last at 14x14.
        deep: channels at 7x7.
        residuals14: how many residual separable convolutions follow the stem, at 14x14.
        residuals7: how many there are at the end, at 7x7.
        depthwise_norm: whether depthwise convolutions are normalised too, not only pointwise ones.
    """

    def __init__(
        self,
        num_classes: int,
        stem: int,
        wide: int,
        deep: int,
        residuals14: int,
        residuals7: int,
        depthwise_norm: bool,
    ) -> None:
        super().__init__()

        def separable(channels_in: int, channels_out: int) -> nn.Sequential:
            depthwise, norm = _conv(channels_in, channels_in, kernel_size=3, groups=channels_in)
            pointwise = _conv(channels_in, channels_out, kernel_size=1)
            return nn.Sequential(depthwise, *([norm] if depthwise_norm else []), *pointwise)

        self.stem = _conv(1, stem, kernel_size=5, stride=2)
        self.residuals14 = nn.ModuleList(separable(stem, stem) for _ in range(residuals14))
        self.block1 = separable(stem, wide)
        self.block2 = separable(wide, deep)
        self.residuals = nn.ModuleList(separable(deep, deep) for _ in range(residuals7))
        self.head = nn.Linear(deep, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(N, num_classes)`` for images ``(N, 1, 28, 28)``, 0 to 1."""
        features = F.silu(self.stem(images))
        for residual in self.residuals14:
            features = features + F.silu(residual(features))
        features = F.max_pool2d(F.silu(self.block1(features)), 2)
        features = F.silu(self.block2(features))
        for residual in self.residuals:
            features = features + F.silu(residual(features))
        return self.head(features.amax((2, 3)))


def tiny1k(num_classes: int = 10) -> TinyNet:
    """Return the net of 1,430 parameters, for ten classes."""
    return TinyNet(
        num_classes, stem=8, wide=14, deep=14, residuals14=1, residuals7=1, depthwise_norm=False
    )


def tiny7k(num_classes: int = 10) -> TinyNet:
    """Return the net of 7,546 parameters, for ten classes."""
    return TinyNet(
        num_classes, stem=16, wide=32, deep=40, residuals14=0, residuals7=2, depthwise_norm=True
    )


def _conv(
    channels_in: int, channels_out: int, kernel_size: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(
            channels_in,
            channels_out,
            kernel_size,
            stride,
            kernel_size // 2,
            groups=groups,
            bias=False,
        ),
        nn.BatchNorm2d(channels_out),
    )
