"""The rows of a comparison: what is measured of one model, and how."""

import contextlib
import dataclasses
import functools
import hashlib
import logging
import math
import os
import statistics
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mnistzoo.classifier import (
    as_classifier,
    count_buffers,
    count_parameters,
    runtime_of,
)
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
from mnistzoo.registry import Registration, get_recipe, get_registration, get_spec
from mnistzoo.reliability import Probes, Reliability, measure
from mnistzoo.run_files import file_name
from mnistzoo.seeding import seeded
from mnistzoo.spec import ModelSpec
from mnistzoo.statistics import wilson_interval
from mnistzoo.training import (
    Epoch,
    TrainingInterrupted,
    TrainingJob,
    TrainingResult,
    run_training,
)
from mnistzoo.training.progress import TrainingProgress
from mnistzoo.weights import read_metadata, save_weights, to_bytes

LARGE_BATCH = 256
_log = logging.getLogger("mnistzoo")

Run = tuple[TrainingResult, Evaluation | RepeatedEvaluation]


@dataclass(frozen=True)
class TrainingPlan:
    """How ``compare`` trains models instead of loading their shipped weights.

    Attributes:
        recipe: name of the recipe.
        overrides: fields of the recipe that get another value.
        seeds: how many runs; their seeds count up from the recipe's.
        final: train on the validation split too.
        cores: of the CPU that runs of several seeds may use side by side, where models run in
            processes of their own; see :func:`mnistzoo.compare`.
    """

    recipe: str = "default"
    overrides: dict[str, Any] = field(default_factory=dict)
    seeds: int = 1
    final: bool = False
    cores: int = 1

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ValueError(f"seeds is {self.seeds}, it must be at least 1")

    def recipes(self, spec: ModelSpec) -> list[Recipe]:
        """Return the recipe of each run."""
        recipe = get_recipe(spec, self.recipe).replace(**self.overrides)
        return [recipe.replace(seed=recipe.seed + offset) for offset in range(self.seeds)]


@dataclass(frozen=True)
class Measurement:
    """What was measured of one model; None for what was not had: see the error of its row.

    Attributes:
        evaluations: on the test set, one of shipped weights or one a seed; of a model that draws
            random numbers in evaluation five in place of each.
        seeds: of the training runs, in the order of the evaluations.
        histories: the epochs of each run.
        seed_failed: a run failed, so there is no mean: one over the others would flatter the model.
        train_seconds: of one run; with several seeds the mean, of runs that may have shared the
            machine with one another.
        train_threads: that a run computed with.
        params: numbers that the model holds: a module's parameters, those of an ONNX graph, or what
            another classifier has learned.
        buffers: numbers that a module's saved buffers hold besides.
        runtime: that computes the logits, such as ``"PyTorch"`` or ``"ONNX Runtime"``.
        multiply_adds: for one image.
        file_bytes: size of its weights as safetensors.
        latency_us: median for one image.
        latency_256_us: median for a batch of 256.
        latency_threads: that the latencies were taken with.
        weights_sha256: of the shipped files, by the name of the model, which may be a member of
            this one; of weights trained now, by their seed, as safetensors without metadata.
        provenance: of the weights, of the first seed if there are several; None where their file
            does not tell, as in a format other than ours.
        held_out: whether the files of all its weights say that training held out the data set's
            validation images.
        reliability: of the model of the first seed; None unless it was asked for.
    """

    evaluations: Sequence[Evaluation] = ()
    seeds: Sequence[int] | None = None
    histories: Sequence[Sequence[Epoch]] | None = None
    seed_failed: bool = False
    train_seconds: float | None = None
    train_threads: int | None = None
    params: int | None = None
    buffers: int | None = None
    runtime: str = "PyTorch"
    multiply_adds: int | None = None
    file_bytes: int | None = None
    latency_us: float | None = None
    latency_256_us: float | None = None
    latency_threads: int | None = None
    weights_sha256: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] | None = None
    held_out: bool = False
    reliability: Reliability | None = None

    @property
    def _runs(self) -> list[Sequence[Evaluation]]:
        """The evaluations of each run; of shipped weights all are of one."""
        size = len(self.evaluations) // len(self.seeds or [0])
        return [
            self.evaluations[start : start + size]
            for start in range(0, len(self.evaluations), size or 1)
        ]

    @property
    def repeats(self) -> int:
        """How many evaluations of one run there are: more than one where they draw numbers."""
        return len(self._runs[0]) if self.evaluations else 0

    @property
    def accuracies(self) -> list[float] | None:
        """Of each seed, 0 to 1; of shipped weights, of each evaluation."""
        if self.seeds is None:
            return [each.accuracy for each in self.evaluations] or None
        return [statistics.mean(each.accuracy for each in run) for run in self._runs] or None

    @property
    def accuracy(self) -> float | None:
        """On the test set, 0 to 1; with several seeds the mean."""
        if not self.evaluations or self.seed_failed:
            return None
        right = sum(int(each.correct.sum()) for each in self.evaluations)
        return right / sum(len(each.correct) for each in self.evaluations)

    @property
    def accuracy_interval(self) -> tuple[float, float] | None:
        """The 95 % Wilson interval of the accuracy, for the images of one test set."""
        if self.accuracy is None:
            return None
        images = len(self.evaluations[0].correct)
        return wilson_interval(round(self.accuracy * images), images)

    @property
    def accuracy_sd(self) -> float | None:
        """The sample standard deviation over the seeds; of one run over its evaluations.

        None of a single evaluation.
        """
        if self.accuracy is None or len(self.evaluations) == 1:
            return None
        if len(self._runs) > 1:
            return statistics.stdev(self.accuracies or ())
        return statistics.stdev(each.accuracy for each in self.evaluations)

    @property
    def predictive_entropy(self) -> float | None:
        """The mean over images and seeds, in nats, of a model that draws random numbers."""
        if self.repeats < 2:
            return None
        return statistics.mean(
            float(RepeatedEvaluation(list(run)).predictive_entropy.mean()) for run in self._runs
        )

    @property
    def per_class_accuracy(self) -> list[float | None] | None:
        """Of each class, 0 to 1; with several seeds the means; None of one without images."""
        if self.accuracy is None:
            return None
        shares = np.array([each.per_class_accuracy for each in self.evaluations], float)
        return [None if math.isnan(share) else share for share in shares.mean(0).tolist()]


@dataclass(frozen=True)
class Row:
    """One model of a comparison.

    Attributes:
        name: of the model, or the path of a file.
        provider: the distribution that registered it; empty for a file.
        version: of the distribution.
        params: its parameters, as they were counted; of a model of which nothing could be measured
            those that its plugin declares, for ten classes; else None.
        measurement: None if nothing was had.
        error: why figures are missing, in one sentence; those that were had before are there. With
            some seeds missing after an interruption, the accuracy is that of the others.
        summary: of the architecture, in one sentence.
        benchmarks: name to figure; see :class:`mnistzoo.benchmarks.Benchmarks`.
    """

    name: str
    provider: str
    version: str
    params: int | None
    measurement: Measurement | None = None
    error: str | None = None
    summary: str = ""
    benchmarks: Mapping[str, float] | None = None

    @property
    def accuracy(self) -> float | None:
        """The measurement's, 0 to 1; None if there is none."""
        return self.measurement.accuracy if self.measurement else None

    def to_dict(self) -> dict[str, Any]:
        """Return all of it but the predictions for each image, as JSON can hold it."""
        found = self.measurement or Measurement()
        return {
            "name": self.name,
            "provider": self.provider,
            "version": self.version,
            "summary": self.summary,
            "params": self.params,
            "buffers": found.buffers,
            "runtime": found.runtime,
            "multiply_adds": found.multiply_adds,
            "file_bytes": found.file_bytes,
            "accuracy": found.accuracy,
            "accuracy_interval": found.accuracy_interval,
            "accuracy_sd": found.accuracy_sd,
            "seeds": found.seeds,
            "accuracies": found.accuracies,
            "predictive_entropy": found.predictive_entropy,
            "held_out": found.held_out,
            "reliability": None if found.reliability is None else found.reliability.to_dict(),
            "per_class_accuracy": found.per_class_accuracy,
            "train_seconds": found.train_seconds,
            "train_threads": found.train_threads,
            "latency_us": found.latency_us,
            "latency_256_us": found.latency_256_us,
            "latency_threads": found.latency_threads,
            "error": self.error,
            "benchmarks": None if self.benchmarks is None else dict(self.benchmarks),
            "evaluation": None if found.accuracy is None else found.evaluations[0].to_dict(),
            "weights_sha256": dict(found.weights_sha256),
            "provenance": found.provenance,
            "history": None
            if found.histories is None
            else [[dataclasses.asdict(epoch) for epoch in history] for history in found.histories],
        }


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


def row(
    name: str,
    registration: Registration | None,
    measurement: Measurement | None,
    error: str | None = None,
) -> Row:
    """Return what was measured of a model, or of a file, with what its plugin declares of it."""
    spec = registration.spec if registration else None
    declared = spec.num_params if spec else None  # for ten classes
    return Row(
        name=name,
        provider=registration.plugin.distribution if registration else "",
        version=registration.plugin.version if registration else "",
        params=measurement.params if measurement else declared,
        measurement=measurement,
        error=error,
        summary=spec.summary if spec else "",
    )


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
        overrides=plan.overrides | {"seed": recipe.seed},
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
