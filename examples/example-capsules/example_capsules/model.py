"""A small capsule network (arXiv 1710.09829): the length of a capsule says how sure it is."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def squash(capsules: Tensor) -> Tensor:
    """Return capsules (..., D) whose lengths are below 1, their directions as before."""
    squared = capsules.square().sum(-1, keepdim=True)
    return capsules * squared / (1 + squared) / (squared + 1e-8).sqrt()


class Capsules(nn.Module):
    """18 capsules of 8 numbers vote for one capsule of 8 numbers a class."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 9, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 5, stride=2)
        )
        self.votes = nn.Parameter(0.1 * torch.randn(num_classes, 18, 8, 8))
        self.decoder = nn.Sequential(
            nn.Linear(num_classes * 8, 64), nn.ReLU(), nn.Linear(64, 784), nn.Sigmoid()
        )

    def capsules(self, images: Tensor) -> Tensor:
        """Return the classes' capsules (N, C, 8) after three rounds of routing."""
        primary = squash(self.features(images).reshape(-1, 18, 8))
        votes = torch.einsum("cpoi,npi->ncpo", self.votes, primary)
        agreement = torch.zeros_like(votes[..., :1])
        for _ in range(3):
            classes = squash((agreement.softmax(1) * votes).sum(2))
            agreement = agreement + (votes * classes.unsqueeze(2)).sum(-1, keepdim=True)
        return classes

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, C) from 0 to 10: ten times the lengths of the capsules."""
        return 10 * self.capsules(images).norm(dim=-1)

    def training_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the margin loss, and half a thousandth of the reconstruction's squared error."""
        capsules = self.capsules(images)
        lengths = capsules.norm(dim=-1)
        true = F.one_hot(labels, lengths.shape[1])
        margin = true * F.relu(0.9 - lengths) ** 2 + 0.5 * (1 - true) * F.relu(lengths - 0.1) ** 2
        drawn = self.decoder((capsules * true.unsqueeze(-1)).flatten(1))
        error = (drawn - images.flatten(1)).square().sum(1)
        return (margin.sum(1) + 0.0005 * error).mean()
