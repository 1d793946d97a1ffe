"""``train``, and a training run as data that can be sent to another process."""

import copy
import dataclasses
import functools
import hashlib
import logging
import os
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mnistzoo.data import Dataset, Split, load_dataset
from mnistzoo.dataset_spec import DIGITS
from mnistzoo.errors import reason
from mnistzoo.files import expanded
from mnistzoo.inference import resolve_device
from mnistzoo.models import create_model, load_model, takes
from mnistzoo.modules import unwrapped
from mnistzoo.overrides import changed_fields
from mnistzoo.provenance import Provenance, environment
from mnistzoo.recipe import Recipe, unread
from mnistzoo.registry import ModelError, get_recipe, get_registration
from mnistzoo.spec import DEFAULT_DATASET
from mnistzoo.trained_on import classes_told, require_as_many
from mnistzoo.training.callbacks import Callback
from mnistzoo.training.checkpoint import Checkpoint, CheckpointError
from mnistzoo.training.errors import TrainingDiverged, TrainingFailed, TrainingInterrupted
from mnistzoo.training.own import fit_by
from mnistzoo.training.result import TrainingResult
from mnistzoo.training.trainer import Fit, NotFinite, fit, training_precision
from mnistzoo.weights import load_weights, read_metadata

_log = logging.getLogger("mnistzoo")


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """A training run as data: it can be pickled, and run here, in a process pool, on a cluster.

    Attributes:
        model: a registered name, or the path of a factory, ``"package.module:callable"``.
        recipe: one of the registered model's, by name; or a recipe, as a factory needs one.
        overrides: fields of the recipe that get another value, the seed too.
        dataset: a name or a folder, as :func:`mnistzoo.load_dataset` takes it.
        data_dir: where its files lie.
        final: train on the validation split too.
        device: to train on; see :func:`mnistzoo.inference.resolve_device`.
        checkpoint: a folder in which to save the run's state after every epoch.
        resume: go on from there.
        weights: a file that the model begins with, in place of weights drawn from the seed.
    """

    model: str
    recipe: str | Recipe = "default"
    overrides: Mapping[str, Any] = field(default_factory=dict)
    dataset: str = DEFAULT_DATASET
    data_dir: str | None = None
    final: bool = False
    device: str = "auto"
    checkpoint: str | None = None
    resume: bool = False
    weights: str | None = None


def run_training(
    job: TrainingJob, callbacks: Sequence[Callback] = (), data: Dataset | None = None
) -> TrainingResult:
    """Run a job as :func:`train` does.

    Args:
        job: the run.
        callbacks: as :func:`train` takes them.
        data: the job's data set, where it is open already.

    Raises:
        DataError: if the data cannot be had.
        ModelError: if there is no such factory.
        MnistzooError: as :func:`train`.
    """
    return train(
        _factory(job.model) if ":" in job.model else job.model,
        data or load_dataset(job.dataset, job.data_dir),
        job.recipe,
        final=job.final,
        device=job.device,
        checkpoint=job.checkpoint,
        resume=job.resume,
        weights=job.weights,
        callbacks=callbacks,
        **job.overrides,
    )


def _factory(path: str) -> Callable[[], nn.Module]:
    try:
        found = pkgutil.resolve_name(path)
    except Exception as error:  # the module's own, which is imported for it
        raise ModelError(
            f"the factory {path!r} cannot be found: {reason(error)}; name it as "
            "package.module:callable, where Python can import it"
        ) from error
    if not callable(found):
        raise ModelError(f"{path!r} is not a factory but {type(found).__name__}; name a callable")
    return found


def train(
    model: str | nn.Module | Callable[[], nn.Module],
    data: Dataset | Split,
    recipe: str | Recipe = "default",
    *,
    validation: Split | None = None,
    final: bool = False,
    device: str | torch.device = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    weights: str | os.PathLike[str] | None = None,
    callbacks: Sequence[Callback] = (),
    **fields: Any,
) -> TrainingResult:
    """Train a model by a recipe.

    On a CPU the same recipe, data, machine and versions give the same weights, bit for bit; on CUDA
    they may differ in their last bits. The caller's random state is left as it was; the process
    keeps more of the memory that it frees (:func:`~mnistzoo.cpu.keep_freed_memory`). The trained
    model's weights are contiguous.

    Args:
        model: a registered name; a factory, which makes the model from the recipe's seed, and is
            called with the number of classes if it takes ``num_classes``; or a module, of which a
            copy is trained on from what it holds. Of a compiled or a data parallel one the module
            inside is trained.
        data: a data set, whose training images are used; or a split.
        recipe: the name of one of the registered model's recipes, or a recipe.
        validation: beside a split, images whose accuracy is reported after each epoch; they change
            nothing else. A data set brings its own.
        final: train on the data set's validation images too.
        device: as :func:`mnistzoo.inference.resolve_device` takes it.
        checkpoint: a folder; the whole state of the run is saved there after every epoch.
        resume: go on from the checkpoint in that folder, if there is one, and end with the weights
            of a run that was never stopped, on a CPU bit for bit.
        weights: a file that the model begins with (fine-tuning), as :func:`mnistzoo.load_weights`
            takes it.
        callbacks: are told of every step and epoch.
        fields: of the recipe that get another value, such as ``seed=1`` or ``epochs=3``.

    Raises:
        TrainingDiverged: at the end of an epoch in which the loss or a weight became NaN or
            infinite.
        TrainingInterrupted: on Ctrl-C.
        TrainingFailed: if the model raises an exception, or a callback an ``OSError``, after some
            complete epochs; before those the error itself.
        CheckpointError: if the checkpoint is damaged or of another run, or if there is one and
            ``resume`` is not set.
        DeviceError: if the device is not there.
        ModelError: if the model has no such recipe, the recipe's teacher cannot be loaded, or the
            weights to begin with are for another number of classes.
        ModelFailed: if the model raises an exception.
        OSError: if no checkpoint can be written at the start; one that cannot be later is logged,
            and the training goes on.
        TypeError: if a recipe has no such field.
        ValueError: if there are no images, options contradict each other, or a field's value is
            outside its range.
        WeightsError: if the weights to begin with do not fit.
    """
    if not isinstance(data, Dataset | Split):
        raise ValueError(
            f"train() takes a data set of load_dataset() or a Split, not {type(data).__name__}; "
            "Split(images, labels) makes one of arrays"
        )
    run = _Run.of(model, recipe, fields, len(data.classes))
    if weights is not None:
        run = _begun(run, weights, len(data.classes))
    images, held_out = _images(data, validation, final)
    if resume and checkpoint is None:
        raise ValueError("resume needs the folder of a checkpoint")
    where = resolve_device(device)
    precision = training_precision(run.recipe, where)
    if precision != run.recipe.precision:
        _log.info("this processor has no arithmetic for bfloat16: training in float32")
    result = None
    try:
        if run.fit:
            folder = _folder(checkpoint, resume)
            common = (run.create, run.name, run.recipe, images, held_out, where)
            fitted = fit_by(run.fit, *common, folder, callbacks, stochastic=run.stochastic)
        else:
            fitted = fit(
                run.create,
                run.name,
                run.recipe,
                images,
                held_out,
                where,
                functools.partial(_checkpoint, checkpoint, resume, run, images, where),
                functools.partial(_teacher, data),
                callbacks,
            )
        provenance = _provenance(run, fitted, data, len(images), final, where)
        result = TrainingResult(fitted.model, fitted.history, run.recipe, provenance)
    finally:
        for callback in callbacks:
            callback.on_train_end(result)
    match fitted.stopped:
        case None:
            return result
        case NotFinite():
            raise TrainingDiverged(result, fitted.stopped.step) from None
        case KeyboardInterrupt():
            raise TrainingInterrupted(result) from None
        case error if result.history:
            raise TrainingFailed(result, error) from error
        case error:
            raise error


@dataclass(frozen=True)
class _Run:
    """What is trained, and by what."""

    create: Callable[[], nn.Module]
    name: str
    recipe: Recipe
    plugin: str = ""
    plugin_version: str = ""
    recipe_name: str = ""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    fit: str = ""
    stochastic: bool = False
    initial_weights: str = ""

    @classmethod
    def of(
        cls,
        model: str | nn.Module | Callable[[], nn.Module],
        recipe: str | Recipe,
        fields: Mapping[str, Any],
        classes: int,
    ) -> "_Run":
        if isinstance(model, str):
            registration = get_registration(model)
            spec, plugin = registration.spec, registration.plugin
            base = get_recipe(spec, recipe) if isinstance(recipe, str) else recipe
            chosen = base.replace(**fields)
            if ignored := unread(base, fields):
                raise ModelError(
                    f"model {spec.name!r} is trained by {spec.fit!r} without a recipe, so "
                    f"{', '.join(ignored)} would change nothing; set only seed and threads, or "
                    "declare a recipe for the function to read"
                )
            return cls(
                functools.partial(create_model, spec.name, num_classes=classes),
                spec.name,
                chosen,
                plugin.distribution,
                plugin.version,
                recipe if isinstance(recipe, str) else "",
                changed_fields(base, chosen),
                spec.fit,
                spec.stochastic,
            )
        own = model if isinstance(model, nn.Module) else None
        named = type(unwrapped(own)) if own is not None else model
        name = getattr(named, "__name__", type(model).__name__)
        if isinstance(recipe, str):
            raise ModelError(
                f"{name} is not registered, so it has no recipe {recipe!r}; give a Recipe"
            )
        create: Callable[..., nn.Module] = (
            model if own is None else functools.partial(copy.deepcopy, unwrapped(own))
        )
        if takes(create, "num_classes"):
            create = functools.partial(create, num_classes=classes)
        return cls(create, name, recipe.replace(**fields))


def _begun(run: _Run, weights: str | os.PathLike[str], classes: int) -> _Run:
    """Return the run with a model that begins with the weights of a file."""
    path = expanded(weights)
    if path.suffix == ".safetensors":
        require_as_many(path, classes_told(read_metadata(path)), classes)
    create = run.create

    def begin() -> Any:
        model = create()
        load_weights(model, path)
        return model

    begin()  # what does not fit is said now
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return dataclasses.replace(run, create=begin, initial_weights=sha256)


def _images(
    data: Dataset | Split, validation: Split | None, final: bool
) -> tuple[Split, Split | None]:
    """Return the images to train on and those to watch."""
    if isinstance(data, Dataset):
        if validation is not None:
            raise ValueError("validation goes with a split; a data set brings its own")
        images = data.train_and_validation if final else data.train
        held_out = None if final else data.validation
        if held_out is not None:
            _warn_if_sorted(data, len(held_out))
    else:
        if final:
            raise ValueError("final goes with a data set; of a split all images are trained on")
        images, held_out = data, validation
    if len(images) == 0:
        raise ValueError("there are no images to train on")
    return images, held_out


def _warn_if_sorted(data: Dataset, held_out: int) -> None:
    """Warn of training images in the order of their classes: the last would be of a few only."""
    labels = data.train_and_validation.labels
    classes = len(np.unique(labels))
    if 1 < classes < len(labels) and np.count_nonzero(np.diff(labels)) < classes:
        _log.warning(
            "the training images of %s are in the order of their classes, and the last %s are its "
            "validation split; shuffle images and labels together",
            data.name,
            f"{held_out:,}",
        )


def _teacher(data: Dataset | Split, name: str) -> nn.Module:
    """Return a trained teacher that knows the classes of the data."""
    if isinstance(data, Split) and data.classes != DIGITS:
        raise ModelError(
            f"no model, {name!r} neither, ships weights for a split with classes of its own; train "
            "without a teacher (teacher=None)"
        )
    return load_model(name, dataset=data if isinstance(data, Dataset) else DEFAULT_DATASET)


def _checkpoint(
    folder: str | os.PathLike[str] | None,
    resume: bool,
    run: _Run,
    images: Split,
    device: torch.device,
    model: nn.Module,
) -> Checkpoint | None:
    if folder is None:
        return None
    saved = Checkpoint(folder, run.recipe, images, device, model, run.initial_weights)
    if not resume:
        saved.require_absent()
    elif not saved.path.exists():
        _log.info("%s is not there yet: training from the beginning", saved.path)
    return saved


def _told(run: _Run) -> dict[str, Any]:
    """Return the fields of the recipe; of one that stands for none those that hold all the same."""
    flat = run.recipe.flat()
    ignored = unread(run.recipe.replace(seed=0, threads=1), flat)
    return {name: flat[name] for name in flat if name not in ignored}


def _folder(checkpoint: str | os.PathLike[str] | None, resume: bool) -> Path | None:
    """Return the folder in which a plugin's own fit saves its state, as it likes."""
    if checkpoint is None:
        return None
    folder = expanded(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    if not resume and any(folder.iterdir()):
        raise CheckpointError(
            f"{folder} is not empty; add --resume (resume=True) to go on from what is there, or "
            "name another folder"
        )
    return folder


def _provenance(
    run: _Run, fitted: Fit, data: Dataset | Split, images: int, final: bool, device: torch.device
) -> Provenance:
    last = fitted.history[-1] if fitted.history else None
    metrics = {}
    if last is not None and last.validation_accuracy is not None:
        metrics["validation_accuracy"] = last.validation_accuracy
    return Provenance(
        model=run.name,
        plugin=run.plugin,
        plugin_version=run.plugin_version,
        recipe_name=run.recipe_name,
        overrides=run.overrides,
        recipe=_told(run),
        fit=run.fit,
        initial_weights=run.initial_weights,
        seed=run.recipe.seed,
        epochs_completed=len(fitted.history),
        complete=len(fitted.history) == run.recipe.epochs
        or (bool(run.fit) and fitted.stopped is None),
        final=final,
        dataset=data.name if isinstance(data, Dataset) else "",
        classes=list(data.classes),
        training_images=images,
        checksums=dict(data.checksums) if isinstance(data, Dataset) else {},
        metrics=metrics,
        train_seconds=0.0 if last is None else last.seconds,
        train_threads=run.recipe.threads or torch.get_num_threads(),
        precision=training_precision(run.recipe, device),
        environment=environment(device),
    )
