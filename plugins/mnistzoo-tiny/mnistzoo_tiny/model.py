"""Very small nets: depthwise separable convolutions (arXiv 1704.04861) for 28x28 images."""

import math
from typing import Any

import torch
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


class SeveralViews(TinyNet):
    """A net that in evaluation sees each image in eight ways, and takes the mean of its answers.

    Turned by 5 degrees either way, and each of these shifted by half a pixel up, down, left and
    right. A net with few parameters sees little between the steps of its strides, and the views
    show it each image in other places. In training it looks once: there augmentation turns images.
    The arguments are those of :class:`TinyNet`.
    """

    places: Tensor  # where in the image each pixel of each view looks, (8, 28, 28, 2)

    def __init__(self, **sizes: Any) -> None:
        super().__init__(**sizes)
        half_a_pixel = 0.5 * 2 / 28  # an image reaches from -1 to 1
        cos, sin = math.cos(math.radians(5)), math.sin(math.radians(5))
        views = [
            [[cos, -side * sin, across * half_a_pixel], [side * sin, cos, down * half_a_pixel]]
            for side in (-1, 1)
            for across, down in ((1, 0), (-1, 0), (0, 1), (0, -1))
        ]
        places = F.affine_grid(torch.tensor(views), [len(views), 1, 28, 28], align_corners=False)
        self.register_buffer("places", places, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(N, num_classes)`` for images ``(N, 1, 28, 28)``, 0 to 1."""
        if self.training:
            return super().forward(images)
        # The images stand as channels of one image, which is sampled once for each view.
        count, views = images.shape[0], len(self.places)
        as_channels = images.transpose(0, 1).expand(views, count, 28, 28)
        seen = F.grid_sample(as_channels, self.places, align_corners=False)
        logits = super().forward(seen.reshape(views * count, 1, 28, 28))
        return F.log_softmax(logits, 1).unflatten(0, (views, count)).mean(0)


_TINY1K: dict[str, Any] = {
    "stem": 8,
    "wide": 14,
    "deep": 14,
    "residuals14": 1,
    "residuals7": 1,
    "depthwise_norm": False,
}


def tiny968(num_classes: int = 10) -> SeveralViews:
    """Return the net of 968 parameters, for ten classes."""
    return SeveralViews(
        num_classes=num_classes,
        stem=5,
        wide=12,
        deep=11,
        residuals14=1,
        residuals7=1,
        depthwise_norm=False,
    )


def tiny1k(num_classes: int = 10) -> TinyNet:
    """Return the net of 1,430 parameters, for ten classes."""
    return TinyNet(num_classes=num_classes, **_TINY1K)


def tiny1k_views(num_classes: int = 10) -> SeveralViews:
    """Return the net of 1,430 parameters that sees each image in eight views."""
    return SeveralViews(num_classes=num_classes, **_TINY1K)


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
