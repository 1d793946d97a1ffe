"""Training in tests: a model by a recipe, as a pair that most of them take apart."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mnistzoo import Recipe, Split, train
from mnistzoo.training import Callback, Epoch, Step, TrainingResult


class Watch(Callback):
    """Calls functions: of the number of each step, and of each epoch."""

    def __init__(
        self,
        on_step: Callable[[int], object] = lambda number: None,
        on_epoch: Callable[[Epoch], object] = lambda epoch: None,
    ) -> None:
        self._on_step, self._on_epoch = on_step, on_epoch

    def on_step(self, step: Step) -> None:
        self._on_step(step.number)

    def on_epoch_end(self, epoch: Epoch) -> None:
        self._on_epoch(epoch)


def mixup(
    images: Tensor, labels: Tensor, generator: torch.Generator, alpha: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return the batch blended with itself in another order (arXiv 1710.09412)."""
    order = torch.randperm(len(images), generator=generator)
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    return images.lerp(images[order], share), labels.lerp(labels[order], share)


def trained(
    create: Callable[[], nn.Module],
    recipe: Recipe,
    data: Split,
    validation: Split | None = None,
    *,
    on_step: Callable[[int], object] = lambda number: None,
    on_epoch: Callable[[Epoch], object] = lambda epoch: None,
    **options: Any,
) -> tuple[nn.Module, TrainingResult]:
    """Return the trained model and the result that it is part of."""
    watch = Watch(on_step, on_epoch)
    options = {"validation": validation, "callbacks": [watch], **options}
    result = train(create, data, recipe, **options)
    return result.model, result
