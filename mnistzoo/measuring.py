"""How a model is measured, step by step, for its row of a comparison."""

import contextlib
import dataclasses
import functools
import hashlib
import logging
import os
import statistics
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mnistzoo.classifier import as_classifier, count_buffers, count_parameters, runtime_of
from mnistzoo.contract import require_contract
from mnistzoo.data import Dataset
from mnistzoo.errors import MnistzooError, describe_os_error
from mnistzoo.evaluation import (
    Evaluation,
    RepeatedEvaluation,
    evaluate_as_declared,
    logits_in_parts,
)
from mnistzoo.files import expanded
from mnistzoo.measure import LATENCY_THREADS, latency_us, multiply_adds
from mnistzoo.models import calibration_of, is_file, load_file, load_model, weights_files
from mnistzoo.provenance import Provenance
from mnistzoo.recipe import Recipe
from mnistzoo.registry import Registration, get_registration, get_spec
from mnistzoo.reliability import Probes, measure
from mnistzoo.rows import Measurement, TrainingPlan
from mnistzoo.run_files import file_name
from mnistzoo.seeding import seeded
from mnistzoo.training import TrainingInterrupted, TrainingJob, TrainingResult, run_training
from mnistzoo.training.progress import TrainingProgress
from mnistzoo.weights import read_metadata, save_weights, to_bytes

LARGE_BATCH = 256
_log = logging.getLogger("mnistzoo")

Run = tuple[TrainingResult, Evaluation | RepeatedEvaluation]


def measurements(
    name: str,
    data: Dataset,
    *,
    train: TrainingPlan | None = None,
    device: torch.device,
    folder: Path | None = None,
    probes: Probes | None = None,
    show_progress: bool = False,
) -> Iterator[Measurement]:
    """Measure one model; yield what is known of it each time that more is.

    So the last one holds all, and a failure, or Ctrl-C, takes nothing away of those before.

    Args:
        name: of the model, or the path of a file; see :func:`mnistzoo.models.load_file`.
        data: as :func:`mnistzoo.compare` takes it.
        train: trains the model now; without it its shipped weights are used.
        device: to compute on.
        folder: each run's weights are saved there; it exists.
        probes: that its reliability is measured on, if any.
        show_progress: on stderr.

    Raises:
        MnistzooError: if the model cannot be created, loaded, trained or timed.
        OSError: if its weights cannot be read.
    """
    images, classes = data.test[:LARGE_BATCH].tensors()[0], len(data.classes)
    contract = functools.partial(require_contract, images=images, classes=classes, device=device)
    if train is None:
        if show_progress:
            _log.info("evaluating and timing %s", name)
        of, model = (
            load_file(name, data) if is_file(name) else (name, load_model(name, dataset=data))
        )
        stochastic = bool(of) and get_spec(of).stochastic
        contract(model, repeatable=not stochastic)
        shipped = calibration_of(name, None, model, data)
        evaluation = evaluate_as_declared(model, data.test, stochastic=stochastic, device=device)
        found = Measurement(evaluation.evaluations)
        yield found
        found = with_origin(found, name, data=data)
    else:
        registration = get_registration(name)
        stochastic, shipped = registration.spec.stochastic, None
        model, found = yield from _trained(registration, data, train, device, folder, show_progress)
        found = dataclasses.replace(found, file_bytes=len(to_bytes(model, {})))
    yield found
    yield (found := with_size(found, model))
    yield (found := dataclasses.replace(found, multiply_adds=multiply_adds(model)))
    if train is not None:  # now: hours of training should not end without an accuracy
        contract(model, repeatable=not stochastic)
    if probes is not None:
        logits = functools.partial(logits_in_parts, as_classifier(model, device))
        with seeded(0, device) if stochastic else contextlib.nullcontext():
            found = dataclasses.replace(found, reliability=measure(logits, probes, shipped))
        yield found
    images = images.to(device)
    latency = functools.partial(latency_us, model, repeatable=not stochastic)
    one = latency(images[:1])
    found = dataclasses.replace(found, latency_us=one, latency_threads=LATENCY_THREADS)
    yield found
    yield dataclasses.replace(found, latency_256_us=latency(images))


def with_size(measurement: Measurement, model: Any) -> Measurement:
    """Return it with how many numbers the model holds, and what computes its logits."""
    params = None
    with contextlib.suppress(MnistzooError):  # onnx is not installed: it costs the count alone
        params = count_parameters(model)
    return dataclasses.replace(
        measurement, params=params, buffers=count_buffers(model), runtime=runtime_of(model)
    )


def with_origin(
    measurement: Measurement,
    name: str,
    weights: str | os.PathLike[str] | None = None,
    *,
    data: Dataset,
) -> Measurement:
    """Return it with what the files of the weights tell.

    Args:
        measurement: of weights that were not trained now.
        name: of the model; or the path of the file that was measured.
        weights: a file in place of the model's shipped ones.
        data: that the model was evaluated on.
    """
    if weights is None and not is_file(name):
        files = weights_files(get_spec(name), data)
    else:
        path = expanded(weights or name)
        files = {path.name: path}
    return dataclasses.replace(
        measurement,
        file_bytes=sum(path.stat().st_size for path in files.values()),
        weights_sha256={whose: _sha256(path.read_bytes()) for whose, path in files.items()},
        provenance=_provenance(*files.values()) if len(files) == 1 else None,
        held_out=all(_held_out(path, data) for path in files.values()),
    )


def _trained(
    registration: Registration,
    data: Dataset,
    plan: TrainingPlan,
    device: torch.device,
    folder: Path | None,
    show_progress: bool,
) -> Generator[Measurement, None, tuple[nn.Module, Measurement]]:
    """Yield the measurement after each run; return the model of the first, and the last."""
    runs: dict[int, Run] = {}
    found = Measurement()
    try:
        for recipe in plan.recipes(registration.spec):
            job = job_of(registration, plan, recipe, data, device)
            result = run_training(job, [TrainingProgress()] if show_progress else [])
            save_run(registration, plan, folder, result)  # before an evaluation that may fail
            evaluation = evaluate_as_declared(
                result.model,
                data.test,
                stochastic=registration.spec.stochastic,
                device=device,
            )
            save_run(registration, plan, folder, result.with_test(evaluation))
            runs[recipe.seed] = result, evaluation
            yield (found := of_runs(runs))
    except KeyboardInterrupt as stop:
        if isinstance(stop, TrainingInterrupted) and stop.result.history:
            save_run(registration, plan, folder, stop.result)
        raise
    except Exception:
        if runs:
            yield dataclasses.replace(found, seed_failed=True)
        raise
    return runs[min(runs)][0].model, found


def job_of(
    registration: Registration,
    plan: TrainingPlan,
    recipe: Recipe,
    data: Dataset,
    device: torch.device,
) -> TrainingJob:
    """Return the run of a plan that follows this recipe."""
    return TrainingJob(
        model=registration.spec.name,
        recipe=plan.recipe,
        overrides=plan.overrides_of(registration.spec) | {"seed": recipe.seed},
        dataset=data.reference,
        data_dir=data.data_dir,
        final=plan.final,
        device=str(device),
    )


def of_runs(runs: Mapping[int, Run]) -> Measurement:
    """Return what runs came to, in the order of their seeds."""
    ordered = [runs[seed] for seed in sorted(runs)]
    return Measurement(
        evaluations=[each for _, found in ordered for each in found.evaluations],
        seeds=sorted(runs),
        histories=[result.history for result, _ in ordered],
        train_seconds=statistics.mean(result.seconds for result, _ in ordered),
        train_threads=ordered[0][0].provenance.train_threads,
        weights_sha256={
            f"seed {seed}": _sha256(to_bytes(runs[seed][0].model, {})) for seed in sorted(runs)
        },
        provenance=ordered[0][0].provenance.to_dict(),
        held_out=not ordered[0][0].provenance.final,
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _provenance(weights: Path) -> dict[str, Any] | None:
    """Return what a file of weights tells of their training; None if it does not."""
    if weights.suffix != ".safetensors":
        return None
    try:
        return Provenance.from_dict(read_metadata(weights)).to_dict()
    except ValueError:
        return None


def _held_out(weights: Path, data: Dataset) -> bool:
    """Say whether a file, and what it tells of members in it, was trained without validation."""
    if weights.suffix != ".safetensors":
        return False
    told = read_metadata(weights)
    runs = told.get("members", [told])
    return isinstance(runs, list) and all(
        isinstance(run, dict) and run.get("dataset") == data.name and run.get("final") is False
        for run in runs
    )


def save_run(
    registration: Registration, plan: TrainingPlan, folder: Path | None, result: TrainingResult
) -> None:
    """Save the weights of a run, as ``mnistzoo train`` names them; where that fails, log it."""
    if folder is None:
        return
    told = result.provenance
    name = file_name(registration, plan.recipe, result.recipe, told.dataset, final=plan.final)
    try:
        if told.evaluated:
            save_weights(result.model, result.path(folder / name), told)
        else:
            _log.info("saved %s", result.save(folder / name))
    except OSError as error:  # its accuracy counts all the same, and the seeds after it
        _log.warning("the weights are not saved: %s", describe_os_error(error))
