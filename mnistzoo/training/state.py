"""All that changes while a model trains."""

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mnistzoo.cpu import prefer_channels_last
from mnistzoo.modules import unwrapped
from mnistzoo.recipe import Recipe
from mnistzoo.training.optimizer import make_optimizer

StateDict = dict[str, Tensor]


class TrainingState:
    """A model in training, its average, its optimizer and every generator of torch.

    Attributes:
        model: whose parameters the optimizer changes.
        result: what the training is for: the average of the model's weights and buffers where the
            recipe asks for one, else the model itself.
        optimizer: of the model's parameters.
        device: that all of it is on.
        order: draws the order of the images.
        distortion: draws the augmentation.
    """

    def __init__(
        self, create: Callable[[], nn.Module], recipe: Recipe, steps: int, device: torch.device
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.model = unwrapped(create()).to(device)
        prefer_channels_last(self.model)
        self.result = copy.deepcopy(self.model) if recipe.ema_decay else self.model
        self.optimizer = make_optimizer(self.model.parameters(), recipe, steps)
        self.order = torch.Generator().manual_seed(recipe.seed)
        self.distortion = torch.Generator(device).manual_seed(recipe.seed)
        self.device = device
        self._ema_decay = recipe.ema_decay
        both = zip(self.result.state_dict().values(), self.model.state_dict().values(), strict=True)
        # A tensor that stands under two names is averaged once.
        pairs = {pair[0].data_ptr(): pair for pair in both}.values()
        floating = [pair for pair in pairs if pair[0].is_floating_point()]
        self._averages = [average for average, _ in floating]
        self._latest = [latest for _, latest in floating]
        self._counters = [pair for pair in pairs if not pair[0].is_floating_point()]

    def average(self, step: int) -> None:
        """Move the average, if there is one, towards the model after step ``step``, from 1.

        In the first steps it moves faster, so that the initial weights are soon forgotten.
        """
        if self.result is self.model:
            return
        decay = min(self._ema_decay, step / (step + 10))
        get_ema_multi_avg_fn(decay)(self._averages, self._latest, step)
        for average, latest in self._counters:
            average.copy_(latest)

    def tensors(self) -> StateDict:
        """Return all of it as tensors on the CPU, enough to go on bit for bit."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        if self.result is not self.model:
            for name, tensor in self.result.state_dict().items():
                tensors[f"average.{name}"] = tensor
        tensors |= {
            f"optimizer.{name}": tensor for name, tensor in self.optimizer.tensors().items()
        }
        tensors |= {f"random.{name}": state for name, state in self._random_states().items()}
        return {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in tensors.items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`tensors` returned for a state of the same recipe and model.

        Raises:
            KeyError, ValueError: if the tensors are those of another optimizer.
        """
        self.model.load_state_dict(_below("model", tensors))
        if self.result is not self.model:
            self.result.load_state_dict(_below("average", tensors))
        self.optimizer.restore(_below("optimizer", tensors))
        random = _below("random", tensors)
        self.order.set_state(random["order"])
        self.distortion.set_state(random["distortion"])
        torch.set_rng_state(random["cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(random["cuda"], self.device)

    def _random_states(self) -> StateDict:
        states = {
            "order": self.order.get_state(),
            "distortion": self.distortion.get_state(),
            "cpu": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        return states


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> StateDict:
    start = f"{prefix}."
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }
