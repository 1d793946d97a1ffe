"""An ensemble: several nets that vote."""

import torch
from mnistzoo_resnet.model import resnet_small
from torch import Tensor, nn

SEEDS = 5


class Ensemble(nn.Module):
    """The mean of the probabilities of five nets that differ in the seed of their training."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.members = nn.ModuleList(resnet_small(num_classes) for _ in range(SEEDS))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(N, num_classes)`` for images ``(N, 1, 28, 28)``, 0 to 1."""
        logarithms = torch.stack([member(images).log_softmax(1) for member in self.members])
        return logarithms.logsumexp(0)
