"""A vision transformer (Dosovitskiy et al. 2020, arXiv 2010.11929) for 28x28 images."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class VisionTransformer(nn.Module):
    """Patches as words: a linear embedding, learned positions, blocks of attention, their mean.

    T is the number of patches of an image and C the width.

    Args:
        num_classes: how many logits an image gets.
        patch: side of a patch in pixels; it must divide 28.
        width: numbers that describe a patch.
        heads: of attention in a block; they must divide the width.
        blocks: one after another.
    """

    def __init__(
        self,
        num_classes: int = 10,
        patch: int = 7,
        width: int = 64,
        heads: int = 2,
        blocks: int = 4,
    ) -> None:
        super().__init__()
        self.embedding = nn.Conv2d(1, width, kernel_size=patch, stride=patch)
        self.positions = nn.Parameter(0.02 * torch.randn(1, (28 // patch) ** 2, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(N, num_classes)`` for images ``(N, 1, 28, 28)``, 0 to 1."""
        patches = self.embedding(images).flatten(2).mT  # (N, T, C)
        patches = self.blocks(patches + self.positions)
        # The mean of all patches in place of the paper's class token: as good, one token less.
        return self.head(self.norm(patches).mean(1))


class Block(nn.Module):
    """Attention among the patches, then a perceptron for each; both normalise first and add."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.contract = nn.Linear(2 * width, width)

    def forward(self, patches: Tensor) -> Tensor:
        """Return patches ``(N, T, C)`` for patches of that shape."""
        patches = patches + self.attention(self.norm1(patches))
        return patches + self.contract(F.gelu(self.expand(self.norm2(patches))))

    def attention(self, patches: Tensor) -> Tensor:
        """Return for each patch ``(N, T, C)`` what it gathers from all patches of its image."""
        # Each head attends by itself, with its own C / heads numbers of query, key and value.
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (N, heads, T, C / heads)
            for part in self.qkv(patches).chunk(3, dim=2)
        )
        gathered = F.scaled_dot_product_attention(query, key, value)
        return self.projection(gathered.transpose(1, 2).flatten(2))
