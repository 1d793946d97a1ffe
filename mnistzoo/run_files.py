"""Files with the weights of training runs: their names, and what they tell of the runs."""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mnistzoo.data import Dataset
from mnistzoo.evaluation import Evaluation
from mnistzoo.measure import environment
from mnistzoo.overrides import as_settings, changed_fields
from mnistzoo.spec import Recipe
from mnistzoo.training import TrainingRun
from mnistzoo.weights import save_weights
from mnistzoo.zoo import Registration, get_recipe

_SUFFIX = ".safetensors"
_log = logging.getLogger("mnistzoo")


def file_name(
    registration: Registration, recipe_name: str, recipe: Recipe, dataset: str, *, final: bool
) -> str:
    """Return the name of the file for a run's weights; it tells the run from any other.

    Args:
        registration: of the model.
        recipe_name: of the model's recipe.
        recipe: that is followed; in which fields it differs from the model's stands in the name.
        dataset: the name of the data set.
        final: whether the validation split is trained on too.
    """
    overrides = changed_fields(get_recipe(registration.spec, recipe_name), recipe)
    parts = [
        *(registration.spec.name, recipe_name, f"seed{recipe.seed}", *as_settings(overrides)),
        *([dataset] if dataset != "mnist" else []),
        *(["final"] if final else []),
    ]
    return "-".join(parts) + _SUFFIX


def path_of(path: Path, run: TrainingRun) -> Path:
    """Return where the weights of a run go: to ``path``, which is kept for those of a complete run.

    Those of another go beside it, under a name that says after which epoch the run ended.
    """
    epochs = len(run.epochs)
    if epochs == run.recipe.epochs:
        return path
    return path.with_name(f"{path.stem}-epoch{epochs}of{run.recipe.epochs}{_SUFFIX}")


def save_run(model: nn.Module, path: Path, story: Mapping[str, Any]) -> None:
    """Save the weights of a run; say so if that replaces a file.

    Raises:
        OSError: if the file cannot be written.
    """
    if path.exists():
        _log.info("replacing %s, which was there before", path)
    save_weights(model, path, story)


def story_of(
    registration: Registration,
    recipe_name: str,
    run: TrainingRun,
    dataset: Dataset,
    *,
    final: bool,
    evaluation: Evaluation | None = None,
) -> dict[str, Any]:
    """Return what the file with a run's weights tells of the run, as JSON can hold it.

    Args:
        registration: of the model.
        recipe_name: of the model's recipe; the run may have followed it with overrides.
        run: its last complete epoch is that of the weights.
        dataset: that it was trained on.
        final: whether the validation split was trained on too.
        evaluation: of the weights on the test set; None: they were not evaluated (yet).
    """
    metrics = {} if evaluation is None else {"test_accuracy": evaluation.accuracy}
    if run.validation_accuracy is not None:
        metrics["validation_accuracy"] = run.validation_accuracy
    return {
        "model": registration.spec.name,
        "plugin": registration.plugin.distribution,
        "plugin_version": registration.plugin.version,
        "recipe_name": recipe_name,
        "overrides": changed_fields(get_recipe(registration.spec, recipe_name), run.recipe),
        "recipe": dataclasses.asdict(run.recipe),
        "seed": run.recipe.seed,
        "epochs_completed": len(run.epochs),
        "complete": len(run.epochs) == run.recipe.epochs,
        "final": final,
        "dataset": dataset.name,
        "training_images": len(dataset.train_and_validation if final else dataset.train),
        "checksums": dict(dataset.checksums),
        "evaluated": evaluation is not None,
        "metrics": metrics,
        "train_seconds": run.seconds,
        "train_threads": training_threads(run.recipe),
        "precision": run.precision,
        "environment": environment(torch.device(run.device)),
    }


def training_threads(recipe: Recipe) -> int:
    """Return how many threads a run by the recipe computes with in this process."""
    return recipe.threads or torch.get_num_threads()
