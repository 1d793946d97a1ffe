"""Whether the zoo's loop can train a model: gradients arrive, it learns, and does so repeatably."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from mnistzoo.classifier import is_module
from mnistzoo.contract import CheckFailed
from mnistzoo.estimators import arrays_of
from mnistzoo.modules import training_loss
from mnistzoo.testing.checks.check import check
from mnistzoo.testing.checks.contract import state_dict, tensors, training_mode
from mnistzoo.testing.subject import NotApplicable, Subject, loss_of_guessing

_REPEATED_IMAGES, _REPEATED_STEPS = 200, 8  # in batches of 64 two epochs, the last batch smaller


@check(training_mode, group="modules")
def gradients(subject: Subject) -> None:
    """Training reaches every parameter that is not frozen.

    Mend: no ``.detach()`` or ``torch.no_grad()`` on the way; remove unused layers.
    """
    if not subject.spec.recipes or subject.spec.fit:
        raise NotApplicable("mnistzoo's own loop does not train the model")
    model = subject.created()
    own = training_loss(model)
    loss_of = own or (lambda images, labels: F.cross_entropy(model(images), labels))
    wanting = dict(model.named_parameters())
    labels = torch.tensor(subject.test.labels[:32], dtype=torch.long)
    # A few steps, since a weight that starts at zero keeps the gradient from those behind it.
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    for _ in range(3):
        optimizer.zero_grad()
        with subject.calling("the backward pass of 32 images"):
            loss_of(subject.images(32), labels).backward()
        wanting = {
            name: parameter
            for name, parameter in wanting.items()
            if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
        }
        optimizer.step()
    if wanting:
        raise CheckFailed(
            f"no gradient reaches the parameter {min(wanting)}; use it in forward() without "
            ".detach(), .data or torch.no_grad(), or remove it"
        )


@check(state_dict, training_mode, group="trainable")
def training(subject: Subject) -> None:
    """A short run of the default recipe learns, and the same seed gives the same weights again, bit
    for bit.

    Mend: another ``learning_rate``; logits, not probabilities; random numbers from torch only.
    """
    result = subject.trained
    first = subject.train_briefly(_REPEATED_IMAGES, _REPEATED_STEPS).model
    before = _learned(first)  # now, since a factory may return the same model again
    second = subject.train_briefly(_REPEATED_IMAGES, _REPEATED_STEPS).model
    now = _learned(second)
    if changed := [name for name in before if not np.array_equal(now[name], before[name])]:
        raise CheckFailed(
            f"two runs with the same seed end with other values of {changed[0]}; draw random "
            "numbers from torch's own generator only, and keep nothing between runs"
        )
    if not subject.learned(result):
        if not subject.by_cross_entropy:
            raise CheckFailed(
                "after a short training it recognises hardly more images of those that it saw than "
                "guessing would; look at training_loss, or fit, and the default recipe"
            )
        raise CheckFailed(
            f"after {len(result.history)} short epochs the loss is {result.history[-1].loss:.2f}, "
            f"hardly below that of guessing, {loss_of_guessing(result):.2f}; try another "
            "learning_rate in the default recipe, and return logits, not probabilities"
        )


def _learned(model: Any) -> Mapping[str, NDArray[Any]]:
    """Return a copy of all that training changes."""
    if not is_module(model):
        return {name: array.copy() for name, array in arrays_of(model).items()}
    return {name: tensor.numpy().copy() for name, tensor in tensors(model).items()}


CHECKS = (
    gradients,
    training,
)
