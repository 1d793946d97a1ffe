"""What a check looks at: one registered model, and its failures in terms of its author's code."""

import contextlib
import functools
import math
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mnistzoo.contract import CheckFailed, logits_of
from mnistzoo.cpu import prefer_channels_last
from mnistzoo.data import Split, load_dataset
from mnistzoo.errors import MnistzooError, describe_failure
from mnistzoo.inputs import to_input
from mnistzoo.models import build, create_model, load_model, weights_path
from mnistzoo.registry import Registration, get_registration, registry
from mnistzoo.spec import ModelSpec
from mnistzoo.training import TrainingResult, train
from mnistzoo.weights import load_weights

_TRAINING_IMAGES = 1_500
_LARGEST_BATCH = 64
_TRAINING_STEPS = 60
CHANCE_LOSS = math.log(10)


class NotApplicable(MnistzooError):
    """Says why a check has nothing to look at."""


class Subject:
    """One registered model under check.

    Attributes:
        registration: its spec and its plugin; of a name that several models claim, the first.
        contested: names and aliases of it that others claim, each with all who claim it.
        shipped_logits: the shipped model's logits of all test images, once a check computed them.

    Raises:
        ModelError: if no model has the name.
    """

    def __init__(self, name: str) -> None:
        conflicts = registry().conflicts
        contested = conflicts.get(name)
        self.registration = contested[0] if contested else get_registration(name)
        self.contested: dict[str, list[Registration]] = {
            each: conflicts[each] for each in self.spec.names if each in conflicts
        }
        self.shipped_logits: NDArray[np.float32] | None = None

    @property
    def spec(self) -> ModelSpec:
        return self.registration.spec

    def created(self, seed: int = 0) -> nn.Module:
        """Return a new model in training mode, without trained weights.

        By its registration and without counting parameters: a name that others claim and a wrong
        num_params are faults of their own.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build(self.registration, create_model)

    def shipped(self) -> nn.Module:
        """Return a new model in evaluation mode, with the weights of its plugin or of its members.

        Raises:
            NotApplicable: if there are none.
        """
        if self.spec.members:
            model = build(self.registration, load_model)
        elif self.spec.weights is None:
            raise NotApplicable("the plugin ships no weights")
        else:
            model = self.created()
            load_weights(model, weights_path(self.spec), self.spec.weights.sha256)
        model.eval()
        prefer_channels_last(model)
        return model

    def ready(self) -> nn.Module:
        """Return a new model in evaluation mode, with the weights that are shipped, if any.

        Where those cannot be loaded the untrained model shows the contract as well.
        """
        try:
            model = self.shipped()
        except (MnistzooError, OSError):
            model = self.created()
        evaluating = model.eval()
        if not isinstance(evaluating, nn.Module):
            raise CheckFailed(
                f"model.eval() returns {type(evaluating).__name__}, expected the model; if you "
                "override train(), end with return super().train(mode)"
            )
        return model

    @functools.cached_property
    def test(self) -> Split:
        """The official test images."""
        return load_dataset("mnist-10k").test

    def images(self, count: int) -> Tensor:
        """Return real images, float32 ``(count, 1, 28, 28)``, 0 to 1."""
        return to_input(self.test[:count].tensors()[0])

    @functools.cached_property
    def package(self) -> Path:
        """The folder of the top package with the factory; of a module in no package, its file."""
        try:
            top = find_spec(self.spec.factory.partition(":")[0].partition(".")[0])
        except ValueError:  # of __main__, in a script or a notebook
            top = None
        if top is None or top.origin is None:
            raise NotApplicable("the module of the factory is no file")
        path = Path(top.origin)
        return path.parent if top.submodule_search_locations else path

    def train_briefly(self, images: int, steps: int) -> TrainingResult:
        """Train by the default recipe on so many images, two epochs or more until so many steps."""
        recipe = self.spec.recipes["default"]
        batch_size = min(recipe.batch_size, _LARGEST_BATCH)
        recipe = recipe.replace(
            epochs=max(2, math.ceil(steps / math.ceil(images / batch_size))),
            batch_size=batch_size,
            compile=False,
            teacher=None,
            threads=1,  # quick beside whatever else the machine does
        )
        data = load_dataset("mnist-10k").train[:images]
        with self.calling("training by the default recipe"):
            return train(lambda: build(self.registration, create_model), data, recipe, device="cpu")

    @functools.cached_property
    def trained(self) -> TrainingResult:
        """A model that was trained until it tells digits apart, if it can learn, and its run."""
        return self.train_briefly(_TRAINING_IMAGES, _TRAINING_STEPS)

    def able(self) -> nn.Module:
        """Return a model in evaluation mode that tells digits apart: as shipped, or as trained.

        Raises:
            NotApplicable: if the one is not to be had, nor the other.
        """
        try:
            return self.shipped()
        except (MnistzooError, OSError):
            if not self.spec.recipes:
                raise NotApplicable(
                    "there are no weights, and no recipe to train some by"
                ) from None
        try:
            result = self.trained
        except CheckFailed:
            raise NotApplicable("there are no weights, and training some fails") from None
        if not learned(result):
            raise NotApplicable("there are no weights, and training some teaches it little")
        return result.model

    @contextlib.contextmanager
    def calling(self, what: str) -> Iterator[None]:
        """Turn an exception of the model's own code into a failure that names its line."""
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: a model must not end the checks
            package = self.spec.factory.partition(":")[0].partition(".")[0]
            raise CheckFailed(describe_failure(what, error, {package})) from error

    def logits(self, model: nn.Module, images: Tensor) -> Tensor:
        """Return what the model returns for a copy of the images; see :func:`logits_of`."""
        return logits_of(model, images)


def learned(result: TrainingResult) -> bool:
    """Say whether a short training got clearly below the loss of guessing."""
    return result.history[-1].loss < 0.9 * CHANCE_LOSS
