"""The optimizer of a recipe: ``torch.optim``'s, its kernels without its start, or one's own."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mnistzoo.packing import packed, unpacked
from mnistzoo.paths import PathError, imported, using
from mnistzoo.recipe import OPTIMIZERS, Recipe

# The first optimizer of a process that torch.optim makes imports torch's compiler, which takes two
# seconds: of the six in which `sprint` trains in 430 steps, a third. In a longer run they do not
# matter, nor do the 30 to 50 us that torch.optim takes a step beyond its kernel.
SHORT_RUN = 1_000
_REST = "rest"  # of an optimizer's state dict, beside its tensors
_KERNELS = {"adam": "_fused_adam_", "adamw": "_fused_adamw_", "sgd": "_fused_sgd_"}


class Optimizer(Protocol):
    """Changes the parameters that it was made for."""

    def step(self, learning_rate: float) -> None:
        """Change every parameter that has a gradient."""

    def tensors(self) -> dict[str, Tensor]:
        """Return all that it remembers."""

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`tensors` returned.

        Raises:
            KeyError, ValueError: if they are those of another optimizer.
        """


def make_optimizer(parameters: Iterable[nn.Parameter], recipe: Recipe, steps: int) -> Optimizer:
    """Return the recipe's optimizer; its steps are the same bit for bit, whichever it is.

    Args:
        parameters: to change.
        recipe: its fields ``optimizer``, ``optimizer_arguments`` and ``weight_decay``.
        steps: that the run has.

    Raises:
        PathError: if an optimizer of one's own cannot be made.
    """
    if recipe.optimizer not in OPTIMIZERS:
        return OwnOptimizer(parameters, recipe)
    if steps <= SHORT_RUN and hasattr(torch, _KERNELS[recipe.optimizer]):
        return FusedKernels(parameters, recipe)
    return TorchOptim(parameters, recipe)


def _arguments(recipe: Recipe) -> dict[str, Any]:
    """Return those of an optimizer that recipes know by name, with their defaults."""
    arguments = {**OPTIMIZERS[recipe.optimizer], **recipe.optimizer_arguments}
    if arguments.get("momentum") == 0:
        arguments["nesterov"] = False
    return arguments


def _averages(recipe: Recipe) -> list[str]:
    """Return the names of what such an optimizer remembers of each parameter."""
    if recipe.optimizer != "sgd":
        return ["exp_avg", "exp_avg_sq"]
    return ["momentum_buffer"] if _arguments(recipe)["momentum"] else []


class TorchOptim:
    """An optimizer of ``torch.optim``, its state there from the start."""

    def __init__(self, parameters: Iterable[nn.Parameter], recipe: Recipe) -> None:
        parameters = list(parameters)
        kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
        self._optimizer: torch.optim.Optimizer = kinds[recipe.optimizer](
            parameters, weight_decay=recipe.weight_decay, fused=True, **_arguments(recipe)
        )
        for parameter in parameters:  # else a checkpoint could not be restored before a step
            state = self._optimizer.state[parameter]
            state.update({name: torch.zeros_like(parameter) for name in _averages(recipe)})
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

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        _copy(tensors, self.tensors())


class FusedKernels:
    """The kernels that ``torch.optim`` calls with ``fused=True``, which torch keeps private."""

    def __init__(self, parameters: Iterable[nn.Parameter], recipe: Recipe) -> None:
        self._kind = recipe.optimizer
        self._weight_decay = recipe.weight_decay
        self._arguments = _arguments(recipe)
        self._parameters = list(parameters)
        self._averages = {
            name: [torch.zeros_like(parameter) for parameter in self._parameters]
            for name in _averages(recipe)
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
                averages[0] if averages else [],
                weight_decay=self._weight_decay,
                momentum=self._arguments["momentum"],
                lr=learning_rate,
                dampening=0.0,
                nesterov=self._arguments["nesterov"],
                maximize=False,
                is_first_step=False,
            )
            return
        steps = [self._steps[i] for i in chosen]
        torch._foreach_add_(steps, 1)
        update = torch._fused_adamw_ if self._kind == "adamw" else torch._fused_adam_
        beta1, beta2 = self._arguments["betas"]
        update(
            parameters,
            gradients,
            averages[0],
            averages[1],
            [],
            steps,
            lr=learning_rate,
            beta1=beta1,
            beta2=beta2,
            weight_decay=self._weight_decay,
            eps=self._arguments["eps"],
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

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        _copy(tensors, self.tensors())


class OwnOptimizer:
    """One that a recipe names by its path; it goes on through its state dict."""

    def __init__(self, parameters: Iterable[nn.Parameter], recipe: Recipe) -> None:
        self._path = recipe.optimizer
        with using("the optimizer", self._path):
            make = imported(self._path)
            options = {"lr": recipe.learning_rate, **recipe.optimizer_arguments}
            if _takes(make, "weight_decay"):
                options.setdefault("weight_decay", recipe.weight_decay)
            elif recipe.weight_decay:
                raise PathError(
                    f"the optimizer {self._path!r} takes no weight_decay; leave it out of the "
                    "recipe"
                )
            self._optimizer = make(list(parameters), **options)
            if not isinstance(self._optimizer, torch.optim.Optimizer):
                raise PathError(
                    f"the optimizer {self._path!r} returns {type(self._optimizer).__name__}, "
                    "expected a torch.optim.Optimizer"
                )
            if _needs(self._optimizer.step, "closure"):
                raise PathError(
                    f"the optimizer {self._path!r} computes the loss several times a step, which "
                    "the trainer does not do; train by a function of your own, ModelSpec(fit=...)"
                )
            self._shares = [
                group["lr"] / recipe.learning_rate for group in self._optimizer.param_groups
            ]

    def step(self, learning_rate: float) -> None:
        for group, share in zip(self._optimizer.param_groups, self._shares, strict=True):
            group["lr"] = learning_rate * share
        with using("the optimizer", self._path):
            self._optimizer.step()

    def tensors(self) -> dict[str, Tensor]:
        with using("the optimizer", self._path):
            tensors, rest = packed(self._optimizer.state_dict())
        return tensors | {_REST: torch.tensor(list(rest.encode()), dtype=torch.uint8)}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        with using("the optimizer", self._path):
            rest = bytes(tensors[_REST].tolist()).decode()
            self._optimizer.load_state_dict(unpacked(tensors, rest))


def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    """Copy tensors in place."""
    if {name: each.shape for name, each in source.items()} != {
        name: each.shape for name, each in target.items()
    }:
        raise ValueError("these are the tensors of another optimizer")
    for name, tensor in target.items():
        tensor.copy_(source[name])


def _needs(function: Any, argument: str) -> bool:
    parameter = inspect.signature(function).parameters.get(argument)
    return parameter is not None and parameter.default is parameter.empty


def _takes(function: Any, keyword: str) -> bool:
    parameters = inspect.signature(function).parameters
    return keyword in parameters or any(
        each.kind is each.VAR_KEYWORD for each in parameters.values()
    )
