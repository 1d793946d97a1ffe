"""Very small nets: depthwise separable convolutions (arXiv 1704.04861) for 28x28 images."""

from torch import Tensor, nn
from torch.nn import functional as F


class TinyNet(nn.Module):
    """A 5x5 stem at 14x14, a separable convolution there and some at 7x7, global max-pooling.

    Every normalisation directly follows a convolution, so it can be folded into it.

    Args:
        stem: channels after the stem.
        wide: channels after the separable convolution at 14x14.
        deep: channels at 7x7.
        repeats: how many residual separable convolutions follow there.
        activation: after the stem and after every separable convolution.
    """

    def __init__(
        self, stem: int, wide: int, deep: int, repeats: int, activation: nn.Module
    ) -> None:
        super().__init__()
        self.activation = activation
        self.stem = _conv(1, stem, kernel_size=5, stride=2)
        self.block1 = _separable(stem, wide)
        self.block2 = _separable(wide, deep)
        self.residuals = nn.ModuleList(_separable(deep, deep) for _ in range(repeats))
        self.head = nn.Linear(deep, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(N, 10)`` for images ``(N, 1, 28, 28)``, 0 to 1."""
        features = self.block1(self.activation(self.stem(images)))
        features = self.block2(F.max_pool2d(self.activation(features), 2))
        features = self.activation(features)
        for residual in self.residuals:
            features = features + self.activation(residual(features))
        return self.head(features.amax((2, 3)))


def tiny1k() -> TinyNet:
    """Return the net of 1,350 parameters."""
    return TinyNet(stem=8, wide=14, deep=14, repeats=1, activation=nn.ReLU())


def tiny7k() -> TinyNet:
    """Return the net of 7,546 parameters."""
    return TinyNet(stem=16, wide=32, deep=40, repeats=2, activation=nn.SiLU())


def _separable(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        *_conv(channels_in, channels_in, kernel_size=3, groups=channels_in),
        *_conv(channels_in, channels_out, kernel_size=1),
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
