"""What a check looks at: one registered model, and its failures in terms of its author's code."""

import contextlib
import copy
import functools
import math
import tempfile
import traceback
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from mnistzoo.data import Split, load_dataset
from mnistzoo.errors import MnistzooError, reason
from mnistzoo.models import create_model, load_model
from mnistzoo.registry import Registration, get_registration, registry
from mnistzoo.spec import ModelSpec
from mnistzoo.training import TrainingRun, train
from mnistzoo.weights import save_weights

_TRAINING_IMAGES = 1_500
_LARGEST_BATCH = 64
_TRAINING_STEPS = 60


class CheckFailed(MnistzooError):
    """Says what was expected, what was found, and how to mend it."""


class NotApplicable(MnistzooError):
    """Says why a check has nothing to look at."""


class Subject:
    """One registered model under check.

    Attributes:
        registration: its spec and its plugin; of a name that several models claim, the first.
        contested: names and aliases of it that others claim, each with all who claim it.

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

    @property
    def spec(self) -> ModelSpec:
        return self.registration.spec

    def created(self, seed: int = 0) -> nn.Module:
        """Return a new model in training mode; without members or weights of its own."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return create_model(self.spec.name)

    def ready(self) -> nn.Module:
        """Return a new model in evaluation mode, with the weights that are shipped, if any."""
        if self.spec.weights is not None or self.spec.members:
            model = load_model(self.spec.name)
        else:
            model = self.created().eval()
        if not isinstance(model, nn.Module):
            raise CheckFailed(
                f"model.eval() returns {type(model).__name__}, expected the model; if you override "
                "train(), end with return super().train(mode)"
            )
        return model

    @functools.cached_property
    def test(self) -> Split:
        """The official test images."""
        return load_dataset("mnist-10k").test

    def images(self, count: int) -> Tensor:
        """Return real images, float32 ``(count, 1, 28, 28)``, 0 to 1."""
        return torch.tensor(self.test.images[:count]).unsqueeze(1) / 255

    @functools.cached_property
    def package(self) -> Path:
        """The folder of the top package with the factory; of a module in no package, its file."""
        top = find_spec(self.spec.factory.partition(":")[0].partition(".")[0])
        if top is None or top.origin is None:
            raise NotApplicable("the module of the factory is no file")
        path = Path(top.origin)
        return path.parent if top.submodule_search_locations else path

    def train_briefly(self, images: int, steps: int) -> tuple[nn.Module, TrainingRun]:
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
            return train(lambda: create_model(self.spec.name), recipe, data, device="cpu")

    @functools.cached_property
    def trained(self) -> tuple[nn.Module, TrainingRun]:
        """A model that was trained until it tells digits apart, if it can learn, and its run."""
        return self.train_briefly(_TRAINING_IMAGES, _TRAINING_STEPS)

    @contextlib.contextmanager
    def weights_file(self) -> Iterator[Path | None]:
        """Give a file with weights that tell digits apart; None where the plugin ships some."""
        if self.spec.weights is not None or self.spec.members:
            yield None
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "trained.safetensors")
            save_weights(self.trained[0], path, {})
            yield path

    @contextlib.contextmanager
    def calling(self, what: str) -> Iterator[None]:
        """Turn an exception of the model's own code into a failure that names its line."""
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: a model must not end the checks
            raise CheckFailed(f"{what} failed: {reason(error)}{self._place(error)}") from error

    def logits(self, model: nn.Module, images: Tensor) -> Tensor:
        """Return what the model returns for a copy of the images; no gradient."""
        with torch.no_grad(), self.calling(f"forward() of {len(images)} images"):
            logits: Tensor = model(images.clone())
        return logits

    def _place(self, error: BaseException) -> str:
        """Return the last line of the author's own code that the exception went through."""
        with contextlib.suppress(NotApplicable):
            for frame in reversed(traceback.extract_tb(error.__traceback__)):
                if Path(frame.filename).is_relative_to(self.package):
                    return f" ({Path(frame.filename).name}, line {frame.lineno})"
        return ""


def deep_copy(subject: Subject, model: nn.Module) -> nn.Module:
    """Return a deep copy of the model."""
    with subject.calling("copy.deepcopy() of the model"):
        return copy.deepcopy(model)
