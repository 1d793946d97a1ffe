"""An ensemble: several models, each of which has the same say."""

import math

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """The mean of its members' probabilities."""

    def __init__(self, *members: nn.Module) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(N, 10)`` for images ``(N, 1, 28, 28)``, 0 to 1.

        They are the logarithms of the mean probabilities.
        """
        log_probabilities = torch.stack([member(images).log_softmax(1) for member in self.members])
        return log_probabilities.logsumexp(0) - math.log(len(self.members))
