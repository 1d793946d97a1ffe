"""Whether the zoo's loop can train a model: gradients arrive, it learns, and does so repeatably."""

import torch
from torch.nn import functional as F

from mnistzoo.contract import CheckFailed
from mnistzoo.testing.checks.check import check
from mnistzoo.testing.checks.contract import changed_tensor, state_dict, tensors, training_mode
from mnistzoo.testing.subject import CHANCE_LOSS, NotApplicable, Subject, learned

_REPEATED_IMAGES, _REPEATED_STEPS = 200, 8  # in batches of 64 two epochs, the last batch smaller


@check(training_mode)
def gradients(subject: Subject) -> None:
    """Training reaches every parameter that is not frozen.

    Mend: no ``.detach()`` or ``torch.no_grad()`` on the way; remove unused layers.
    """
    if not subject.spec.recipes:
        raise NotApplicable("the model has no recipe, so mnistzoo does not train it")
    model = subject.created()
    wanting = dict(model.named_parameters())
    labels = torch.tensor(subject.test.labels[:32], dtype=torch.long)
    # A few steps, since a weight that starts at zero keeps the gradient from those behind it.
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    for _ in range(3):
        optimizer.zero_grad()
        with subject.calling("the backward pass of 32 images"):
            F.cross_entropy(model(subject.images(32)), labels).backward()
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


@check(state_dict, training_mode)
def training(subject: Subject) -> None:
    """A short run of the default recipe learns, and the same seed gives the same weights again, bit
    for bit.

    Mend: another ``learning_rate``; logits, not probabilities; random numbers from torch only.
    """
    if not subject.spec.recipes:
        raise NotApplicable("the model has no recipe, so mnistzoo does not train it")
    result = subject.trained
    first = subject.train_briefly(_REPEATED_IMAGES, _REPEATED_STEPS).model
    before = tensors(first)  # now, since a factory may return the same model again
    second = subject.train_briefly(_REPEATED_IMAGES, _REPEATED_STEPS).model
    if changed := changed_tensor(second, before):
        raise CheckFailed(
            f"two runs with the same seed end with other values of {changed}; draw random numbers "
            "from torch's own generator only, and keep nothing between runs"
        )
    if not learned(result):
        raise CheckFailed(
            f"after {len(result.history)} short epochs the loss is {result.history[-1].loss:.2f}, "
            f"hardly below that of guessing, {CHANCE_LOSS:.2f}; try another learning_rate in the "
            "default recipe, and return logits, not probabilities"
        )


CHECKS = (
    gradients,
    training,
)
