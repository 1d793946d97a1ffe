"""What a check looks at: one registered model, and its failures in terms of its author's code."""

import contextlib
import functools
import math
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mnistzoo.classifier import is_module
from mnistzoo.contract import CheckFailed, logits_of
from mnistzoo.data import Dataset, Split, load_dataset
from mnistzoo.errors import MnistzooError, describe_failure
from mnistzoo.evaluation import evaluate
from mnistzoo.inputs import to_input
from mnistzoo.models import build, create_model, load_model, weights_path
from mnistzoo.modules import training_loss
from mnistzoo.registry import Registration, dataset_registry, get_registration, registry
from mnistzoo.runtime import Predictor
from mnistzoo.spec import DEFAULT_DATASET, ModelSpec, Weights
from mnistzoo.training import TrainingResult, train
from mnistzoo.weights import load_weights, read_onnx

_ONE_OF = 10  # of so many test images is looked at while developing
_TRAINING_IMAGES = 1_500
_LARGEST_BATCH = 64
_TRAINING_STEPS = 60


class NotApplicable(MnistzooError):
    """Says why a check has nothing to look at."""


class Subject:
    """One registered model under check.

    Args:
        name: of the model, or an alias.
        quick: look at every tenth of the test images only.

    Attributes:
        registration: its spec and its plugin; of a name that several models claim, the first.
        contested: names and aliases of it that others claim, each with all who claim it.
        quick: whether only every tenth of the test images is looked at.

    Raises:
        ModelError: if no model has the name.
    """

    def __init__(self, name: str, *, quick: bool = False) -> None:
        self.quick = quick
        conflicts = registry().conflicts
        contested = conflicts.get(name)
        self.registration = contested[0] if contested else get_registration(name)
        self.contested: dict[str, list[Registration]] = {
            each: conflicts[each] for each in self.spec.names if each in conflicts
        }

    @property
    def spec(self) -> ModelSpec:
        return self.registration.spec

    @functools.cached_property
    def data(self) -> Dataset:
        """The data set that its shipped weights were trained on; without weights MNIST."""
        return data_of(self.spec.weights)

    def created(self, seed: int = 0, **arguments: int) -> Any:
        """Return a new model in training mode, without trained weights.

        By its registration and without counting parameters: a name that others claim and a wrong
        num_params are faults of their own.

        Args:
            seed: of the weights.
            arguments: of the factory, instead of the number of classes that the data has.
        """
        if self.spec.is_onnx:
            return self.opened()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            arguments = arguments or {"num_classes": len(self.data.classes)}
            return build(self.registration, create_model, **arguments)

    def at_defaults(self) -> Any:
        """Return a new model for whose factory no argument is given."""
        return self.opened() if self.spec.is_onnx else build(self.registration, create_model)

    def opened(self) -> Predictor:
        """Return the model that is an ONNX file, whatever its checksum: that is a check's own."""
        return Predictor(read_onnx(weights_path(self.spec)))

    def outside(self, group: str) -> str:
        """Say why the model does not belong to a group that a check applies to; empty if it does.

        What cannot be created belongs to all: to find that out is a check of its own.
        """
        if group in ("repeatable", "exportable") and self.spec.stochastic:
            return "the model is declared stochastic"
        if group == "trainable" and not self.spec.recipes:
            return "the model has no recipe, so mnistzoo does not train it"
        if group == "created" and self.spec.is_onnx:
            return "the model is an ONNX file"
        if group in ("modules", "exportable") and not self.of_modules:
            return "the model is not a torch module"
        return ""

    @functools.cached_property
    def of_modules(self) -> bool:
        """Whether the factory returns a module, as far as that can be told."""
        if self.spec.is_onnx:
            return False
        try:
            return is_module(self.created())
        except MnistzooError:
            return True

    @functools.cached_property
    def by_cross_entropy(self) -> bool:
        """Whether training lowers the cross entropy of the model's logits, and nothing else."""
        return not self.spec.fit and (not self.of_modules or training_loss(self.created()) is None)

    def shipped(self, weights: Weights | None = None) -> Any:
        """Return a new model in evaluation mode, with the weights of its plugin or of its members.

        Args:
            weights: one of those that the plugin ships; the first ones, if none are given.

        Raises:
            NotApplicable: if there are none.
        """
        weights = weights or self.spec.weights
        if self.spec.members:
            model = build(self.registration, load_model)
        elif weights is None:
            raise NotApplicable("the plugin ships no weights")
        elif self.spec.is_onnx:
            return Predictor(read_onnx(weights_path(self.spec, weights), weights.sha256))
        else:
            model = self.created(num_classes=len(data_of(weights).classes))
            load_weights(model, weights_path(self.spec, weights), weights.sha256)
        if is_module(model):
            model.eval()
        return model

    @property
    def further_weights(self) -> list[Weights]:
        """Those for other data sets that some installed plugin registers."""
        known = dataset_registry().registrations
        return [each for each in self.spec.further_weights if each.dataset in known]

    def ready(self) -> Any:
        """Return a new model in evaluation mode, with the weights that are shipped, if any.

        Where those cannot be loaded the untrained model shows the contract as well, if it is a
        module; of others one that was trained.
        """
        try:
            model = self.shipped()
        except (MnistzooError, OSError):
            model = self.created()
        if not is_module(model):
            return self.able()
        evaluating = model.eval()
        if not isinstance(evaluating, nn.Module):
            raise CheckFailed(
                f"model.eval() returns {type(evaluating).__name__}, expected the model; if you "
                "override train(), end with return super().train(mode)"
            )
        return model

    @functools.cached_property
    def test(self) -> Split:
        """The official test images, or every tenth of them: the first ones are the easier ones."""
        return self.some(self.data.test)

    def some(self, test: Split) -> Split:
        """Return the images, or every tenth of them."""
        return self.few(test) if self.quick else test

    def few(self, test: Split) -> Split:
        """Return every tenth of the images."""
        return test[::_ONE_OF]

    @property
    def images_read(self) -> int:
        """How many test images checks have had to look at so far."""
        return len(self.test) if "test" in vars(self) else 0

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
            raise NotApplicable("the module of the factory is not a file")
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
        data, classes = self.data.train[:images], len(self.data.classes)
        with self.calling("training by the default recipe"):
            if self.spec.fit:
                return train(self.spec.name, data, recipe, device="cpu")
            return train(
                lambda: build(self.registration, create_model, num_classes=classes),
                data,
                recipe,
                device="cpu",
            )

    @functools.cached_property
    def trained(self) -> TrainingResult:
        """A model that was trained until it tells digits apart, if it can learn, and its run."""
        return self.train_briefly(_TRAINING_IMAGES, _TRAINING_STEPS)

    def able(self) -> Any:
        """Return a model in evaluation mode that tells digits apart: as shipped, or as trained.

        Raises:
            NotApplicable: if the one is not to be had, nor the other.
        """
        try:
            return self.shipped()
        except (MnistzooError, OSError):
            if self.spec.is_onnx:
                return self.opened()
            if not self.spec.recipes:
                raise NotApplicable(
                    "there are no weights, and no recipe to train some by"
                ) from None
        try:
            result = self.trained
        except CheckFailed:
            raise NotApplicable("there are no weights, and training some fails") from None
        if not self.learned(result):
            raise NotApplicable("there are no weights, and training some teaches it little")
        return result.model

    def learned(self, result: TrainingResult) -> bool:
        """Say whether a short training got clearly beyond guessing."""
        if self.by_cross_entropy:
            return result.history[-1].loss < 0.9 * loss_of_guessing(result)
        seen = self.data.train[:_TRAINING_IMAGES]
        return evaluate(result.model, seen, device="cpu").accuracy > 3 / len(self.data.classes)

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

    def logits(self, model: Any, images: Tensor) -> Tensor:
        """Return what the model returns for a copy of the images; see :func:`logits_of`."""
        return logits_of(model, images)


def data_of(weights: Weights | None) -> Dataset:
    """Return the data set that weights were trained on; without weights MNIST, its small one."""
    name = DEFAULT_DATASET if weights is None else weights.dataset
    return load_dataset("mnist-10k" if name == DEFAULT_DATASET else name)


def loss_of_guessing(result: TrainingResult) -> float:
    """Return the cross entropy of taking all classes for equally probable."""
    return math.log(len(result.provenance.classes))
