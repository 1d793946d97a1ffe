"""The baseline for training: the loop of most first examples, as the published code has it."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from mnistzoo import Recipe, Split


def plain_train(model: nn.Module, recipe: Recipe, data: Split) -> list[float]:
    """Train by Adam over a DataLoader; return the mean loss of each epoch."""
    images = torch.tensor(data.images).unsqueeze(1).float() / 255
    labels = torch.tensor(data.labels, dtype=torch.long)
    loader = DataLoader(TensorDataset(images, labels), recipe.batch_size, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), recipe.learning_rate)
    losses = []
    for _ in range(recipe.epochs):
        model.train()
        total = 0.0
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs), targets)
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total / len(loader))
    return losses
