"""An ensemble: several models, each of which has the same say."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_SHIFTS = (0, 1, -1)  # pixels that the window moves down


class Ensemble(nn.Module):
    """The mean of its members' probabilities for the image, and for it a pixel up and down."""

    def __init__(self, *members: nn.Module) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(N, 10)`` for images ``(N, 1, 28, 28)``, 0 to 1.

        They are the logarithms of the mean probabilities.
        """
        padded = F.pad(images, (0, 0, 1, 1))
        # In one batch, so that each member stands once in an exported graph.
        views = torch.cat([padded[..., 1 + down : 29 + down, :] for down in _SHIFTS])
        log_probabilities = torch.cat([member(views).log_softmax(1) for member in self.members])
        votes = len(self.members) * len(_SHIFTS)
        return log_probabilities.view(votes, -1, 10).logsumexp(0) - math.log(votes)
