"""The optimizer of a recipe: ``torch.optim``'s, or in a short run its kernels without its start."""

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

from mnistzoo.spec import Recipe

# The first optimizer of a process that torch.optim makes imports torch's compiler, which takes two
# seconds: of the six in which `sprint` trains in 430 steps, a third. In a longer run they do not
# matter, nor do the 30 to 50 us that torch.optim takes a step beyond its kernel.
SHORT_RUN = 1_000
_KERNELS = {"adam": "_fused_adam_", "adamw": "_fused_adamw_", "sgd": "_fused_sgd_"}

# The defaults of torch.optim; momentum is Nesterov's.
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
_MOMENTUM = 0.9


class Optimizer(Protocol):
    """Adam, AdamW, or SGD with Nesterov momentum."""

    def step(self, learning_rate: float) -> None:
        """Change every parameter that has a gradient."""

    def tensors(self) -> dict[str, Tensor]:
        """Return all that it remembers, the tensors themselves."""


def make_optimizer(parameters: Iterable[nn.Parameter], recipe: Recipe, steps: int) -> Optimizer:
    """Return the recipe's optimizer; its steps are the same bit for bit, whichever it is.

    Args:
        parameters: to change.
        recipe: its fields ``optimizer`` and ``weight_decay``.
        steps: that the run has.
    """
    if steps <= SHORT_RUN and hasattr(torch, _KERNELS[recipe.optimizer]):
        return FusedKernels(parameters, recipe)
    return TorchOptim(parameters, recipe)


class TorchOptim:
    """An optimizer of ``torch.optim``, its state there from the start."""

    def __init__(self, parameters: Iterable[nn.Parameter], recipe: Recipe) -> None:
        parameters = list(parameters)
        decay = recipe.weight_decay
        if recipe.optimizer == "sgd":
            self._optimizer: torch.optim.Optimizer = torch.optim.SGD(
                parameters, momentum=_MOMENTUM, nesterov=True, weight_decay=decay, fused=True
            )
            names = ["momentum_buffer"]
        else:
            kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
            self._optimizer = kind(parameters, weight_decay=decay, fused=True)
            names = ["exp_avg", "exp_avg_sq"]
        for parameter in parameters:  # else a checkpoint could not be restored before a step
            state = self._optimizer.state[parameter]
            state.update({name: torch.zeros_like(parameter) for name in names})
            if recipe.optimizer != "sgd":
                state["step"] = torch.zeros((), device=parameter.device)

    def step(self, learning_rate: float) -> None:
        (group,) = self._optimizer.param_groups
        group["lr"] = learning_rate
        self._optimizer.step()

    def tensors(self) -> dict[str, Tensor]:
        return {
            f"{name}.{i}": tensor
            for i, state in enumerate(self._optimizer.state.values())
            for name, tensor in state.items()
        }


class FusedKernels:
    """The kernels that ``torch.optim`` calls with ``fused=True``, which torch keeps private."""

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
        named = {
            f"{name}.{i}": tensor
            for name, tensors in self._averages.items()
            for i, tensor in enumerate(tensors)
        }
        return named | {f"step.{i}": step for i, step in enumerate(self._steps)}
