"""The optimizer's step: torch's fused kernels, called without the classes around them."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from mnistzoo.spec import Recipe

# The defaults of torch.optim; momentum is Nesterov's.
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
_MOMENTUM = 0.9


class Optimizer:
    """Adam, AdamW or SGD with Nesterov momentum, for dense gradients: bit for bit those of
    ``torch.optim`` with ``fused=True``.

    The first optimizer of a process that ``torch.optim`` makes imports torch's compiler, two
    seconds, and for a small net its bookkeeping takes longer than the kernel. Hence the kernels,
    which torch keeps private, are called here.

    Args:
        parameters: to change, each where it has a gradient.
        recipe: its fields ``optimizer`` and ``weight_decay``.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], recipe: Recipe) -> None:
        self._kind = recipe.optimizer
        self._weight_decay = recipe.weight_decay
        self._parameters = list(parameters)
        names = ["momentum_buffer"] if self._kind == "sgd" else ["exp_avg", "exp_avg_sq"]
        self._averages = {
            name: [torch.zeros_like(parameter) for parameter in self._parameters] for name in names
        }
        counted = [] if self._kind == "sgd" else self._parameters
        self._steps = [torch.zeros((), device=each.device) for each in counted]

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Change every parameter that has a gradient."""
        chosen = [i for i, each in enumerate(self._parameters) if each.grad is not None]
        if not chosen:
            return
        parameters: list[Tensor] = [self._parameters[i] for i in chosen]
        gradients = [each.grad for each in parameters if each.grad is not None]
        averages = [[each[i] for i in chosen] for each in self._averages.values()]
        if self._kind == "sgd":
            torch._fused_sgd_(
                parameters,
                gradients,
                averages[0],
                weight_decay=self._weight_decay,
                momentum=_MOMENTUM,
                lr=learning_rate,
                dampening=0.0,
                nesterov=True,
                maximize=False,
                is_first_step=False,
            )
            return
        steps = [self._steps[i] for i in chosen]
        torch._foreach_add_(steps, 1)
        update = torch._fused_adamw_ if self._kind == "adamw" else torch._fused_adam_
        update(
            parameters,
            gradients,
            averages[0],
            averages[1],
            [],
            steps,
            lr=learning_rate,
            beta1=_BETA1,
            beta2=_BETA2,
            weight_decay=self._weight_decay,
            eps=_EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return all that it remembers, the tensors themselves."""
        named = {
            f"{name}.{i}": tensor
            for name, tensors in self._averages.items()
            for i, tensor in enumerate(tensors)
        }
        return named | {f"step.{i}": step for i, step in enumerate(self._steps)}
