"""A classifier, and how it is trained against a generator of images."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from mnistzoo import Recipe, Split

_NOISE = 64


def net(num_classes: int = 10) -> nn.Module:
    """Return a net with one logit a class."""
    hidden = [nn.Linear(784, 160), nn.LeakyReLU(0.2), nn.Linear(160, 48), nn.LeakyReLU(0.2)]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(48, num_classes))


def fit(model: nn.Module, recipe: Recipe, data: Split, report: Callable[..., None]) -> None:
    """Train it on the labels, and to tell true images from those of a generator, which learns too.

    How true an image looks is the log of the sum of its exponential logits (section 5 of the
    paper), so it takes no output of its own.
    """
    images, labels = (tensor.to(next(model.parameters()).device) for tensor in data.tensors())
    generator = nn.Sequential(
        nn.Linear(_NOISE, 128), nn.ReLU(), nn.Linear(128, 784), nn.Sigmoid()
    ).to(images.device)
    learns, generates = (
        torch.optim.Adam(each.parameters(), recipe.learning_rate, betas=(0.5, 0.999))
        for each in (model, generator)
    )
    for _ in range(recipe.epochs):
        for batch in torch.randperm(len(data)).split(recipe.batch_size):
            logits = model(images[batch] / 255)
            made = generator(torch.randn(len(batch), _NOISE, device=images.device))
            loss = F.cross_entropy(logits, labels[batch])
            told_apart = F.softplus(-_trueness(logits)) + F.softplus(
                _trueness(model(made.detach()))
            )
            learns.zero_grad()
            (loss + told_apart.mean()).backward()
            learns.step()
            generates.zero_grad()
            F.softplus(-_trueness(model(made))).mean().backward()
            generates.step()
        report(loss.item(), recipe.learning_rate)


def _trueness(logits: torch.Tensor) -> torch.Tensor:
    return logits.logsumexp(1)
