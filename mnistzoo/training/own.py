"""Training by a function of the plugin's own, in place of the zoo's loop."""

import copy
import functools
import inspect
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mnistzoo.classifier import is_module
from mnistzoo.cpu import computing_threads, prefer_channels_last
from mnistzoo.data import Split
from mnistzoo.errors import MnistzooError
from mnistzoo.evaluation import Evaluation, RepeatedEvaluation, evaluate_as_declared
from mnistzoo.paths import PathError, imported, using
from mnistzoo.recipe import Recipe
from mnistzoo.seeding import seeded
from mnistzoo.training.callbacks import Callback, Epoch, Start
from mnistzoo.training.checkpoint import CheckpointError
from mnistzoo.training.trainer import Fit, global_generator

_IMAGES = 1_000  # whose loss is reported where there is no other


class Report:
    """What a plugin's ``fit`` calls after each of its epochs, if it has such.

    It finds the accuracy on the validation split, which changes nothing else, and tells whoever
    watches the run. An exception that it raises, such as Ctrl-C, ends the run with what was learned
    before.
    """

    def __init__(
        self,
        model: Any,
        data: Split,
        validation: Split | None,
        device: torch.device,
        callbacks: Sequence[Callback],
        *,
        stochastic: bool,
    ) -> None:
        self._model, self._validation, self._device = model, validation, device
        self._stochastic = stochastic
        self._some = data[:_IMAGES]
        self._callbacks = callbacks
        self._started = time.perf_counter()
        self.history: list[Epoch] = []
        self.reported = model

    def __call__(self, loss: float | None = None, learning_rate: float = 0.0) -> None:
        """Report the end of an epoch.

        Args:
            loss: its mean training loss; None: the cross entropy of 1,000 training images now.
            learning_rate: of its last step, if there is one.
        """
        self.add(loss, learning_rate)
        self.reported = copy.deepcopy(self._model)
        for callback in self._callbacks:
            callback.on_epoch_end(self.history[-1])

    def add(self, loss: float | None = None, learning_rate: float = 0.0) -> None:
        """Note an epoch that has ended just now."""
        seconds = time.perf_counter() - self._started
        accuracy = None
        if self._validation is not None:
            accuracy = self._evaluated(self._validation).accuracy
        if loss is None:
            found = self._evaluated(self._some).evaluations[0]
            of_truth = found.probabilities[np.arange(len(found.labels)), found.labels]
            loss = float(-np.log(of_truth.clip(1e-12)).mean())
        number = len(self.history) + 1
        self.history.append(Epoch(number, loss, learning_rate, accuracy, seconds))

    def _evaluated(self, data: Split) -> Evaluation | RepeatedEvaluation:
        return evaluate_as_declared(
            self._model, data, stochastic=self._stochastic, device=self._device
        )


def fit_by(
    path: str,
    create: Callable[[], Any],
    name: str,
    recipe: Recipe,
    data: Split,
    validation: Split | None,
    device: torch.device,
    checkpoint: Path | None,
    callbacks: Sequence[Callback],
    *,
    stochastic: bool,
) -> Fit:
    """Create a model and have the function at a path train it in place.

    The random numbers of torch, NumPy and Python are those of the recipe's seed; afterwards each
    generator is where it was before.

    Args:
        path: of ``fit(model, recipe, data, report)``: the new model, on the device where it is a
            module; the recipe; the :class:`~mnistzoo.Split` to train on; and a :class:`Report`. A
            keyword ``checkpoint`` says that it can save its state in a folder, and go on from it.
        create: makes the model.
        name: of the model, for the callbacks.
        recipe: is handed on; its seed and threads are seen to here.
        data: the images to train on.
        validation: images whose accuracy is reported.
        device: for a module.
        checkpoint: the folder, if one was asked for.
        callbacks: are told of the beginning and of each epoch.
        stochastic: whether the model draws random numbers in evaluation too.

    Raises:
        CheckpointError: if a checkpoint was asked for and the function knows of none.
        PathError: if the function is not there, or fails before its first epoch is reported.
    """
    with using("the function fit", path):
        fit = imported(path)
        if checkpoint is not None:
            if "checkpoint" not in inspect.signature(fit).parameters:
                raise CheckpointError(
                    f"model {name!r} is trained by {path!r}, which saves no checkpoints; leave "
                    "--checkpoint out"
                )
            fit = functools.partial(fit, checkpoint=checkpoint)
    with (
        global_generator(device),
        seeded(recipe.seed, device),
        computing_threads(recipe.threads),
    ):
        model = create()
        if is_module(model):
            model = model.to(device)
            prefer_channels_last(model)
        for callback in callbacks:
            callback.on_train_begin(Start(name, recipe, len(data), 1, 0))
        report = Report(model, data, validation, device, callbacks, stochastic=stochastic)
        fitted = Fit(model, report.history)
        try:
            with using("the function fit", path):
                returned = fit(model, recipe, data, report)
                # Estimators return themselves from fit(); so may the function.
                if returned is not None and returned is not model:
                    raise PathError(
                        f"the function fit {path!r} returns {type(returned).__name__}, which "
                        "nothing takes; train the model that it is given"
                    )
            if not report.history:
                report.add()
                for callback in callbacks:
                    callback.on_epoch_end(report.history[-1])
        except (KeyboardInterrupt, MnistzooError, OSError) as stop:
            fitted.model, fitted.stopped = report.reported, stop
    if is_module(model):
        fitted.model.eval()
    return fitted
