"""A net of one hidden layer, and how Muon trains it."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from mnistzoo import Recipe, Split


def net(num_classes: int = 10) -> nn.Module:
    """Return a net with one logit a class."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, num_classes))


def fit(model: nn.Module, recipe: Recipe, data: Split, report: Callable[..., None]) -> None:
    """Train the matrices by Muon, which takes nothing else, and the biases by AdamW."""
    weights = list(model.parameters())
    images, labels = (tensor.to(weights[0].device) for tensor in data.tensors())
    muon = torch.optim.Muon([each for each in weights if each.dim() == 2], recipe.learning_rate)
    adamw = torch.optim.AdamW([each for each in weights if each.dim() != 2], 0.003)
    for _ in range(recipe.epochs):
        for batch in torch.randperm(len(data)).split(recipe.batch_size):
            loss = F.cross_entropy(model(images[batch] / 255), labels[batch])
            model.zero_grad()
            loss.backward()
            muon.step()
            adamw.step()
        report(loss.item(), recipe.learning_rate)
