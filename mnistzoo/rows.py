"""The rows of a comparison: what is measured of one model, and how."""

import dataclasses
import logging
import statistics
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mnistzoo.contract import require_contract
from mnistzoo.data import Dataset
from mnistzoo.evaluation import Evaluation, evaluate
from mnistzoo.inputs import to_input
from mnistzoo.measure import LATENCY_THREADS, latency_us, multiply_adds
from mnistzoo.models import load_model, weights_size
from mnistzoo.registry import Registration, get_recipe, get_registration
from mnistzoo.run_files import file_name
from mnistzoo.spec import ModelSpec, Recipe
from mnistzoo.statistics import wilson_interval
from mnistzoo.training import (
    Epoch,
    TrainingInterrupted,
    TrainingJob,
    TrainingResult,
    run_training,
)
from mnistzoo.training.progress import TrainingProgress
from mnistzoo.weights import save_weights, to_bytes

LARGE_BATCH = 256
FEW_IMAGES = 5  # which show whether a model keeps the contract
_log = logging.getLogger("mnistzoo")


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
        evaluations: on the test set, one a seed; of shipped weights one.
        seeds: of the training runs, in the order of the evaluations.
        histories: the epochs of each run.
        seed_failed: a run failed, so there is no mean: one over the others would flatter the model.
        train_seconds: of one run; with several seeds the mean, of runs that may have shared the
            machine with one another.
        train_threads: that a run computed with.
        multiply_adds: for one image.
        file_bytes: size of its weights as safetensors.
        latency_us: median for one image.
        latency_256_us: median for a batch of 256.
        latency_threads: that the latencies were taken with.
    """

    evaluations: Sequence[Evaluation] = ()
    seeds: Sequence[int] | None = None
    histories: Sequence[Sequence[Epoch]] | None = None
    seed_failed: bool = False
    train_seconds: float | None = None
    train_threads: int | None = None
    multiply_adds: int | None = None
    file_bytes: int | None = None
    latency_us: float | None = None
    latency_256_us: float | None = None
    latency_threads: int | None = None

    @property
    def accuracies(self) -> list[float] | None:
        """Of each seed, 0 to 1."""
        return [each.accuracy for each in self.evaluations] or None

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
        """The sample standard deviation over the seeds; None for one seed."""
        if self.accuracy is None or len(self.evaluations) == 1:
            return None
        return statistics.stdev(each.accuracy for each in self.evaluations)

    @property
    def per_class_accuracy(self) -> list[float] | None:
        """Of the ten digits, 0 to 1; with several seeds the means."""
        if self.accuracy is None:
            return None
        shares = np.array([each.per_class_accuracy for each in self.evaluations], float)
        return shares.mean(0).tolist()


@dataclass(frozen=True)
class Row:
    """One model of a comparison.

    Attributes:
        name: of the model.
        provider: the distribution that registered it.
        version: of the distribution.
        params: its parameters.
        measurement: None if nothing was had.
        error: why figures are missing, in one sentence; those that were had before are there. With
            some seeds missing after an interruption, the accuracy is that of the others.
        benchmarks: name to figure; see :class:`mnistzoo.benchmarks.Benchmarks`.
    """

    name: str
    provider: str
    version: str
    params: int
    measurement: Measurement | None = None
    error: str | None = None
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
            "params": self.params,
            "multiply_adds": found.multiply_adds,
            "file_bytes": found.file_bytes,
            "accuracy": found.accuracy,
            "accuracy_interval": found.accuracy_interval,
            "accuracy_sd": found.accuracy_sd,
            "seeds": found.seeds,
            "accuracies": found.accuracies,
            "per_class_accuracy": found.per_class_accuracy,
            "train_seconds": found.train_seconds,
            "train_threads": found.train_threads,
            "latency_us": found.latency_us,
            "latency_256_us": found.latency_256_us,
            "latency_threads": found.latency_threads,
            "error": self.error,
            "benchmarks": None if self.benchmarks is None else dict(self.benchmarks),
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
    show_progress: bool = False,
) -> Iterator[Measurement]:
    """Measure one model; yield what is known of it each time that more is.

    So the last one holds all, and a failure, or Ctrl-C, takes nothing away of those before.

    Args:
        name: of the model.
        data: as :func:`mnistzoo.compare` takes it.
        train: trains the model now; without it its shipped weights are used.
        device: to compute on.
        folder: each run's weights are saved there; it exists.
        show_progress: on stderr.

    Raises:
        MnistzooError: if the model cannot be created, loaded, trained or timed.
        OSError: if its weights cannot be read.
    """
    registration = get_registration(name)
    spec = registration.spec
    if train is None:
        if show_progress:
            _log.info("evaluating and timing %s", spec.name)
        model = load_model(spec.name)
        require_contract(model, _few_images(data))
        found = Measurement([evaluate(model, data.test, device=device)])
        yield found
        found = dataclasses.replace(found, file_bytes=weights_size(spec))
    else:
        model, found = yield from _trained(registration, data, train, device, folder, show_progress)
        found = dataclasses.replace(found, file_bytes=len(to_bytes(model, {})))
    yield found
    yield (found := dataclasses.replace(found, multiply_adds=multiply_adds(model)))
    if train is not None:  # now, since hours of training should not end without an accuracy
        require_contract(model, _few_images(data))
    images = data.test[:LARGE_BATCH].tensors()[0].to(device)
    one = latency_us(model, images[:1])
    found = dataclasses.replace(found, latency_us=one, latency_threads=LATENCY_THREADS)
    yield found
    yield dataclasses.replace(found, latency_256_us=latency_us(model, images))


def _few_images(data: Dataset) -> Tensor:
    return to_input(data.test[:FEW_IMAGES].tensors()[0])


def _trained(
    registration: Registration,
    data: Dataset,
    plan: TrainingPlan,
    device: torch.device,
    folder: Path | None,
    show_progress: bool,
) -> Generator[Measurement, None, tuple[nn.Module, Measurement]]:
    """Yield the measurement after each run; return the model of one of the runs, and the last."""
    runs: dict[int, tuple[TrainingResult, Evaluation]] = {}
    found = Measurement()
    try:
        for recipe in plan.recipes(registration.spec):
            job = job_of(registration, plan, recipe, data, device)
            result = run_training(job, [TrainingProgress()] if show_progress else [])
            save_run(registration, plan, folder, result)  # before an evaluation that may fail
            evaluation = evaluate(result.model, data.test, device=device)
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
    return result.model, found


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
        dataset=data.name,
        data_dir=data.data_dir,
        final=plan.final,
        device=str(device),
    )


def of_runs(runs: Mapping[int, tuple[TrainingResult, Evaluation]]) -> Measurement:
    """Return what runs came to, in the order of their seeds."""
    ordered = [runs[seed] for seed in sorted(runs)]
    return Measurement(
        evaluations=[evaluation for _, evaluation in ordered],
        seeds=sorted(runs),
        histories=[result.history for result, _ in ordered],
        train_seconds=statistics.mean(result.seconds for result, _ in ordered),
        train_threads=ordered[0][0].provenance.train_threads,
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
        _log.warning("%s is not saved: %s", error.filename, error.strerror)
