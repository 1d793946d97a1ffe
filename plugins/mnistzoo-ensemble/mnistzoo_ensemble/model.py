"""An ensemble: several models that vote."""

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """The mean of its members' logits: the geometric mean of their probabilities, normalised."""

    def __init__(self, *members: nn.Module) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(N, 10)`` for images ``(N, 1, 28, 28)``, 0 to 1."""
        return torch.stack([member(images) for member in self.members]).mean(0)
