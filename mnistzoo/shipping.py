"""Weights into a plugin: the file, a card beside it, and what the plugin has to declare."""

import contextlib
import copy
import dataclasses
import hashlib
import json
import os
import statistics
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mnistzoo.calibration import Calibration
from mnistzoo.classifier import as_classifier, is_module
from mnistzoo.data import Dataset, Split, load_dataset
from mnistzoo.errors import MnistzooError
from mnistzoo.evaluation import evaluate_as_declared, logits_in_parts, require_logits
from mnistzoo.files import expanded, replacing
from mnistzoo.mnist import DATASETS
from mnistzoo.models import load_model, module_folder
from mnistzoo.overrides import as_settings, changed_fields
from mnistzoo.provenance import Provenance
from mnistzoo.registry import dataset_registry, get_recipe, get_registration, get_spec
from mnistzoo.seeding import seeded
from mnistzoo.spec import DEFAULT_DATASET, Weights
from mnistzoo.weights import read_metadata, save_weights


class ShippingError(MnistzooError):
    """Weights cannot be shipped as they are."""


@dataclass(frozen=True)
class Shipped:
    """What was put into a plugin.

    Attributes:
        path: of the weights.
        card: of the model card beside them.
        weights: what the plugin has to declare.
        uncalibrated: why they have no temperature and no threshold; empty where they have.
    """

    path: Path
    card: Path
    weights: Weights
    uncalibrated: str


def ship(
    paths: Sequence[str | os.PathLike[str]], folder: str | os.PathLike[str] | None = None
) -> Shipped:
    """Put the weights of a model's runs into its plugin.

    Of several runs, one a seed, it is that with the median validation accuracy (of an even number
    the lower of the two); of final runs, which have none, that of the first seed. Mean and standard
    deviation over the seeds go into its metrics. A module's weights are stored in half precision
    where that changes no prediction on the test set. Temperature and threshold are fitted on the
    validation images, which a final run has seen: its weights get neither.

    Args:
        paths: what ``mnistzoo train`` saved for one model by one recipe.
        folder: where the file goes; it is created if it is not there. Without it beside the
            factory's module, where it is looked for.

    Raises:
        ShippingError: if a file is no such run, was not trained to its end or is not evaluated, or
            the files are of several kinds of runs, or one lies where the result goes.
        DataError: if the validation images are not here.
        ModelError: if the model is not installed.
        WeightsError: if a file is damaged.
        OSError: if a file cannot be read or written.
    """
    runs = {Path(path): run_of(path) for path in paths}
    kinds = sorted({_kind(run) for run in runs.values()})
    if len(kinds) > 1:
        raise ShippingError(
            f"the files are of several kinds of runs: {'; '.join(kinds)}; give those of one"
        )
    path, chosen = _chosen(runs)
    run = runs[path]
    found = [each.metrics["test_accuracy"] for each in runs.values()]
    metrics = {**run.metrics, "test_accuracy_mean": statistics.mean(found)}
    if len(found) > 1:
        metrics["test_accuracy_sd"] = statistics.stdev(found)
    else:
        del metrics["test_accuracy_mean"]
    spec = get_spec(run.model)
    where = module_folder(spec) if folder is None else expanded(folder)
    where.mkdir(parents=True, exist_ok=True)
    target = where / (
        f"{spec.name}{'' if _serves(run.dataset) == DEFAULT_DATASET else f'-{run.dataset}'}"
        ".safetensors"
    )
    if any(target.resolve() == expanded(each).resolve() for each in paths):
        raise ShippingError(
            f"{target} would replace the run that it is made of; name another folder, or move the "
            "file"
        )
    seeds = [each.seed for each in runs.values()]
    metadata = {**run.to_dict(), "metrics": metrics, "seeds": seeds}
    data = load_dataset("mnist-10k" if run.dataset == DEFAULT_DATASET else run.dataset)
    model = load_model(spec.name, path, data)
    uncalibrated = why_uncalibrated(metadata)
    validation = None if uncalibrated else load_dataset(run.dataset).validation
    card = target.with_suffix(".md")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, target.name)
        save_weights(_smallest(model, data, stochastic=spec.stochastic), made, metadata)
        weights = declared(made, run, metrics, chosen if len(runs) > 1 else "")
        if validation is not None:
            shipped = load_model(spec.name, made, data)
            fitted = calibration(shipped, validation, stochastic=spec.stochastic)
            weights = dataclasses.replace(weights, **dataclasses.asdict(fitted))
        text = model_card(run, weights)
        # Both are written before either gets its name: no card stands beside other weights.
        with replacing(card) as card_stream, replacing(target) as stream:
            card_stream.write(text.encode())
            stream.write(made.read_bytes())
    return Shipped(target, card, weights, uncalibrated)


def calibration(model: Any, validation: Split, *, stochastic: bool = False) -> Calibration:
    """Return temperature and threshold of a model, with six digits, as they are declared.

    Args:
        model: as :func:`mnistzoo.evaluate` takes it.
        validation: images that its training has not seen, none of the test set.
        stochastic: it draws random numbers, from the seed 0 here.
    """
    with seeded(0, torch.device("cpu")) if stochastic else contextlib.nullcontext():
        logits = logits_in_parts(as_classifier(model), validation.images)
    require_logits(logits, len(validation), len(validation.classes))
    fitted = Calibration.fit(logits, validation.labels)
    return Calibration(round(fitted.temperature, 6), round(fitted.threshold, 6))


def why_uncalibrated(metadata: Mapping[str, Any]) -> str:
    """Return why weights get no temperature and no threshold; empty if they get both.

    Args:
        metadata: of their file, as :func:`mnistzoo.weights.read_metadata` returns it.
    """
    if "validation_accuracy" not in metadata.get("metrics", {}):
        return "the training has seen the validation images"
    if metadata.get("initial_weights"):
        return "the weights that the training began with may have seen the validation images"
    return ""


def run_of(path: str | os.PathLike[str]) -> Provenance:
    """Return what a run was whose weights may be shipped.

    Raises:
        ShippingError: if they may not, with the reason.
    """
    try:
        run = Provenance.from_dict(read_metadata(path))
    except ValueError as error:
        raise ShippingError(
            f"{path} does not say by which run it was trained: {error}; train it again"
        ) from None
    if problem := _problem(run):
        raise ShippingError(f"{path} {problem}")
    return run


def _problem(run: Provenance) -> str:
    if run.training_images is None or run.train_threads is None:
        return "does not say how many images it was trained on, or by how many threads"
    if not run.recipe_name:
        return "was not trained by a recipe of its plugin; register it, and train it again"
    recipe = get_recipe(get_spec(run.model), run.recipe_name)
    followed = recipe.replace(**run.recipe)
    if followed != recipe.replace(seed=run.seed):
        others = changed_fields(recipe, followed)
        settings = ", ".join(as_settings(others))
        if others and others.keys() <= run.overrides.keys():
            return (
                f"was trained with {settings}, which its recipe {run.recipe_name} does not have; "
                "register a recipe with that, and train it again by --recipe"
            )
        return (
            f"was not trained by the recipe {run.recipe_name} as it is now, but with "
            f"{settings or f'the seed {followed.seed}'}; train it again"
        )
    if not run.complete:
        return f"was stopped after epoch {run.epochs_completed}; train it to its end"
    if run.dataset not in dataset_registry().registrations:
        return (
            f"was trained on {run.dataset}, which is not a registered data set; register it first"
        )
    if not run.evaluated:
        return "was not evaluated on the test set; train it again"
    return ""


def _kind(run: Provenance) -> str:
    """Return in words what runs must have in common to be shipped together."""
    return f"{run.model} by {_recipe(run)}, {run.training_images:,} images of {run.dataset}"


def _recipe(run: Provenance) -> str:
    """Return in words by what a run was trained, and from which weights if from some."""
    changed = f" with {', '.join(as_settings(run.overrides))}" if run.overrides else ""
    begun = f", fine-tuned from SHA-256 {run.initial_weights}" if run.initial_weights else ""
    return f"recipe {run.recipe_name}{changed}{begun}"


def _chosen(runs: Mapping[Path, Provenance]) -> tuple[Path, str]:
    """Return the file that is shipped, and why it is that one."""
    if any(run.final for run in runs.values()):
        return min(runs, key=lambda path: runs[path].seed), f"the first of {len(runs)}"
    ranked = sorted(runs, key=lambda path: runs[path].metrics["validation_accuracy"])
    middle = ranked[(len(ranked) - 1) // 2]
    return middle, f"the median of {len(ranked)} by validation accuracy"


def _smallest(model: Any, data: Dataset, *, stochastic: bool) -> Any:
    """Return a module in half precision if it then predicts the same, else as it is."""
    if not is_module(model):
        return model
    half = copy.deepcopy(model).half()
    before, after = (
        evaluate_as_declared(each, data.test, stochastic=stochastic).evaluations
        for each in (model, copy.deepcopy(half).float())
    )
    same = all(
        (one.predictions == other.predictions).all()
        for one, other in zip(before, after, strict=True)
    )
    return half if same else model


def declared(
    path: Path, run: Provenance, metrics: Mapping[str, float] | None = None, chosen: str = ""
) -> Weights:
    """Return what a plugin has to declare of a file with weights.

    Args:
        path: of the file.
        run: that it is of.
        metrics: of it, without them those of the run.
        chosen: why it is this seed.
    """
    told = run.environment
    where = told["processor"] if told["device"] == "cpu" else told["device"]
    seed = f"seed {run.seed}" + (f", {chosen}" if chosen else "")
    return Weights(
        file=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        metrics={
            name: round(value, 6)
            for name, value in (run.metrics if metrics is None else metrics).items()
        },
        measured=f"{_recipe(run)}, {run.training_images} images of "
        f"{run.dataset}, end of training; {seed}; torch {told['versions']['torch']}, {where}",
        dataset=_serves(run.dataset),
    )


def _serves(dataset: str) -> str:
    """Return the data set that weights count for: MNIST, if they were trained on a part of it."""
    return DEFAULT_DATASET if dataset in {each.name for each in DATASETS} else dataset


def as_code(weights: Weights) -> str:
    """Return weights as they stand in a ``ModelSpec``."""
    words = textwrap.wrap(weights.measured, 76, break_long_words=False, break_on_hyphens=False)
    measured = "\n    ".join(
        json.dumps(line if line is words[-1] else f"{line} ", ensure_ascii=False) for line in words
    )
    return (
        f"weights=Weights(\n    file={json.dumps(weights.file)},\n"
        f"    sha256={json.dumps(weights.sha256)},\n"
        f"    metrics={json.dumps(dict(weights.metrics))},\n"
        f"    measured={measured},\n"
        + ("" if weights.dataset == DEFAULT_DATASET else f"    dataset={weights.dataset!r},\n")
        + calibration_as_code(weights)
        + "),"
    )


def calibration_as_code(weights: Weights | Calibration) -> str:
    """Return temperature and threshold as they stand in ``Weights``; empty without."""
    if weights.temperature is None:
        return ""
    return f"    temperature={weights.temperature},\n    threshold={weights.threshold},\n"


def model_card(run: Provenance, weights: Weights) -> str:
    """Return a model card as the Hugging Face Hub reads it: YAML, then Markdown.

    Its texts are quoted as JSON quotes them, which is YAML too.
    """
    registration = get_registration(run.model)
    spec, plugin = registration.spec, registration.plugin
    accuracy = weights.metrics["test_accuracy"]
    quoted = {
        name: json.dumps(text, ensure_ascii=False)
        for name, text in {
            "license": spec.license.lower() or "unknown",
            "name": spec.name,
            "dataset": run.dataset,
        }.items()
    }
    tags = "".join(f"\n- {json.dumps(tag)}" for tag in ("mnistzoo", *spec.tags))
    loaded = f'"{spec.name}"'
    if weights.dataset != DEFAULT_DATASET:
        loaded += f', dataset="{weights.dataset}"'
    return f"""---
license: {quoted["license"]}
library_name: mnistzoo
pipeline_tag: image-classification
tags:{tags}
datasets:
- {quoted["dataset"]}
metrics:
- accuracy
model-index:
- name: {quoted["name"]}
  results:
  - task:
      type: image-classification
    dataset:
      name: {quoted["dataset"]}
      type: {quoted["dataset"]}
      split: test
    metrics:
    - type: accuracy
      value: {accuracy}
---

# {spec.name}

{spec.summary}. Source: {spec.source or "not said"}.

Accuracy on the test set of {run.dataset}: {100 * accuracy:.2f} %. {weights.measured}.

```python
import mnistzoo  # with {plugin.provider}

model = mnistzoo.load_model({loaded})
```
"""
