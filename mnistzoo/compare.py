"""Models side by side: each one's accuracy, size and speed, and whether differences are real."""

import dataclasses
import functools
import itertools
import logging
import os
import statistics
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mnistzoo.benchmarks import Benchmarks
from mnistzoo.data import Dataset
from mnistzoo.errors import reason
from mnistzoo.evaluation import Evaluation, evaluate
from mnistzoo.files import check_replaceable
from mnistzoo.inference import resolve_device
from mnistzoo.measure import LATENCY_THREADS, latency_us, multiply_adds
from mnistzoo.models import load_model, weights_size
from mnistzoo.provenance import environment
from mnistzoo.registry import Registration, get_recipe, get_registration
from mnistzoo.run_files import file_name
from mnistzoo.spec import ModelSpec, Recipe
from mnistzoo.statistics import holm, mcnemar, wilson_interval
from mnistzoo.training import TrainingInterrupted, TrainingJob, TrainingResult
from mnistzoo.training.jobs import run_jobs
from mnistzoo.weights import save_weights, to_bytes

_BATCH = 256
_log = logging.getLogger("mnistzoo")


@dataclass(frozen=True)
class TrainingPlan:
    """How ``compare`` trains models instead of loading their shipped weights.

    Attributes:
        recipe: name of the recipe.
        overrides: fields of the recipe that get another value.
        seeds: how many runs; their seeds count up from the recipe's.
        final: train on the validation split too.
        cores: to use side by side; see :func:`mnistzoo.training.jobs.run_jobs`.
    """

    recipe: str = "default"
    overrides: dict[str, Any] = field(default_factory=dict)
    seeds: int = 1
    final: bool = False
    cores: int = 1

    def recipes(self, spec: ModelSpec) -> list[Recipe]:
        """Return the recipe of each run."""
        recipe = get_recipe(spec, self.recipe).replace(**self.overrides)
        return [recipe.replace(seed=recipe.seed + offset) for offset in range(self.seeds)]


@dataclass(frozen=True)
class Row:
    """What was measured of one model; None where it does not apply, or was not had: see ``error``.

    Attributes:
        name: of the model.
        provider: the distribution that registered it.
        version: of the distribution.
        params: its parameters.
        multiply_adds: for one image.
        file_bytes: size of its weights as safetensors.
        accuracy: on the test set, 0 to 1; with several seeds the mean.
        accuracy_interval: its 95 % Wilson interval.
        accuracy_sd: sample standard deviation over the seeds.
        seeds: of the training runs.
        accuracies: of each seed.
        per_class_accuracy: of the ten digits; with several seeds the means.
        train_seconds: of one run; with several seeds the mean, of runs that may have shared the
            machine with one another.
        train_threads: that a run computed with.
        latency_us: median for one image.
        latency_256_us: median for a batch of 256.
        latency_threads: that the latencies were taken with.
        error: why figures are missing, in one sentence; those that were had before are there. With
            some seeds missing after an interruption, the accuracy is that of the others; after a
            seed that failed there is no mean.
        benchmarks: name to figure; see :class:`mnistzoo.benchmarks.Benchmarks`.
        correct: whether each test image is recognised, ``(N,)``; of the first seed.
    """

    name: str
    provider: str
    version: str
    params: int
    multiply_adds: int | None = None
    file_bytes: int | None = None
    accuracy: float | None = None
    accuracy_interval: tuple[float, float] | None = None
    accuracy_sd: float | None = None
    seeds: list[int] | None = None
    accuracies: list[float] | None = None
    per_class_accuracy: list[float] | None = None
    train_seconds: float | None = None
    train_threads: int | None = None
    latency_us: float | None = None
    latency_256_us: float | None = None
    latency_threads: int | None = None
    error: str | None = None
    benchmarks: dict[str, float] | None = None
    correct: NDArray[np.bool_] | None = None

    def facts(self) -> dict[str, Any]:
        """Return all but ``correct``, as JSON can hold it."""
        return {
            each.name: getattr(self, each.name)
            for each in dataclasses.fields(self)
            if each.name != "correct"
        }


@dataclass(frozen=True)
class Difference:
    """Two neighbours in accuracy, compared on the same images by McNemar's exact test.

    With several seeds it compares the models of the first seed.

    Attributes:
        first: the model with the higher accuracy in its row.
        second: the other.
        only_first: images that only the first recognises.
        only_second: images that only the second recognises.
        p_value: two-sided, adjusted after Holm for the number of pairs.
    """

    first: str
    second: str
    only_first: int
    only_second: int
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """Rows by falling accuracy, those with an error last, and what they were measured with."""

    rows: list[Row]
    differences: list[Difference]
    dataset: dict[str, Any]
    environment: dict[str, Any]
    training: dict[str, Any] | None
    interrupted: bool = False
    benchmarks: Benchmarks | None = None

    def joined(self, benchmarks: Benchmarks) -> "Comparison":
        """Return it with what pytest-benchmark measured of each model."""
        rows = [
            dataclasses.replace(row, benchmarks=dict(benchmarks.figures.get(row.name, {})))
            for row in self.rows
        ]
        return dataclasses.replace(self, rows=rows, benchmarks=benchmarks)

    @property
    def failed(self) -> bool:
        """Whether some model has an error instead of all its figures."""
        return any(row.error for row in self.rows)

    def facts(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        return {
            "environment": self.environment,
            "dataset": self.dataset,
            "training": self.training,
            "interrupted": self.interrupted,
            "benchmarks": None
            if self.benchmarks is None
            else {
                "file": self.benchmarks.file,
                "machine": self.benchmarks.machine,
                "providers": dict(self.benchmarks.providers),
            },
            "models": [row.facts() for row in self.rows],
            "differences": [dataclasses.asdict(difference) for difference in self.differences],
        }


def compare(
    names: list[str],
    dataset: Dataset,
    plan: TrainingPlan | None = None,
    *,
    device: str = "auto",
    show_progress: bool = False,
    out: str | os.PathLike[str] | None = None,
) -> Comparison:
    """Evaluate models on the data set's test images and measure them.

    Args:
        names: of the models, or aliases; one named twice appears once.
        dataset: whose test set, and with a plan whose training set, is used.
        plan: trains the models now; without it their shipped weights are used.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        show_progress: on stderr, each training run's.
        out: a folder; with a plan each run's weights are saved there when it ends, as ``mnistzoo
            train`` saves them. It is created if it is not there.

    Returns:
        The comparison; a model that fails has an error in its row, the others their figures. After
        Ctrl-C it holds what was finished.

    Raises:
        ModelError: if a name is unknown.
        DataError: if the data cannot be had.
        DeviceError: if the device is not there.
        OSError: if the folder cannot be written.
        KeyboardInterrupt: on Ctrl-C before anything is finished.
    """
    where = resolve_device(device)
    chosen = {found.spec.name: found for found in map(get_registration, names)}
    dataset.read("test")
    if plan is not None:
        dataset.read("train_and_validation")
    folder = None if out is None else Path(out)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        check_replaceable(folder / "weights.safetensors")
    rows: list[Row] = []
    interrupted = False
    for registration in chosen.values():
        figures: dict[str, Any] = {}
        error = "interrupted" if interrupted else None
        try:
            if not interrupted:
                for more in _figures(registration, dataset, plan, where, folder, show_progress):
                    figures |= more
        except KeyboardInterrupt:
            if not rows and "accuracies" not in figures:
                raise
            interrupted = True
            error = "interrupted"
            ended = len(figures.get("seeds", ()))
            if plan is not None and 0 < ended < plan.seeds:
                error = f"interrupted after {ended} of {plan.seeds} seeds"
        except BaseException as failure:  # SystemExit too: a model must not end the comparison
            _log.debug("model %s failed", registration.spec.name, exc_info=True)
            error = reason(failure)
        rows.append(Row(**_identity(registration), **figures, error=error))
    rows.sort(key=lambda row: (row.accuracy is None, -(row.accuracy or 0), row.name))
    return Comparison(
        rows,
        _differences(rows),
        {
            "name": dataset.name,
            "split": "test",
            "images": len(dataset.test),
            "checksums": dict(dataset.checksums),
        },
        environment(where),
        None if plan is None else dataclasses.asdict(plan),
        interrupted,
    )


def _figures(
    registration: Registration,
    dataset: Dataset,
    plan: TrainingPlan | None,
    device: torch.device,
    folder: Path | None,
    show_progress: bool,
) -> Iterator[dict[str, Any]]:
    """Yield the figures of a model's row as they are had, so that no later failure takes them."""
    spec = registration.spec
    if plan is None:
        if show_progress:
            _log.info("evaluating and timing %s", spec.name)
        model = load_model(spec.name)
        yield _accuracy([evaluate(model, dataset.test, device=device)])
        yield {"file_bytes": weights_size(spec)}
    else:
        model = yield from _trained(registration, dataset, plan, device, folder, show_progress)
        yield {"file_bytes": len(to_bytes(model, {}))}
    yield {"multiply_adds": multiply_adds(model)}
    images = dataset.test[:_BATCH].tensors()[0].to(device)
    yield {"latency_us": latency_us(model, images[:1]), "latency_threads": LATENCY_THREADS}
    yield {"latency_256_us": latency_us(model, images)}


def _trained(
    registration: Registration,
    dataset: Dataset,
    plan: TrainingPlan,
    device: torch.device,
    folder: Path | None,
    show_progress: bool,
) -> Generator[dict[str, Any], None, nn.Module]:
    """Yield the figures of training after each run; return the model of one of the runs."""
    spec = registration.spec
    recipes = plan.recipes(spec)
    jobs = [
        TrainingJob(
            model=spec.name,
            recipe=plan.recipe,
            overrides=plan.overrides | {"seed": recipe.seed},
            dataset=dataset.name,
            data_dir=dataset.data_dir,
            final=plan.final,
            device=str(device),
        )
        for recipe in recipes
    ]
    results: dict[int, TrainingResult] = {}
    evaluations: dict[int, Evaluation] = {}
    save = functools.partial(_save, registration, plan, folder)
    threads = recipes[0].threads or plan.cores
    try:
        for result in run_jobs(
            jobs, threads=threads, cores=plan.cores, show_progress=show_progress
        ):
            save(result)  # before an evaluation that could be interrupted
            evaluation = evaluate(result.model, dataset.test, device=device)
            save(result.with_test(evaluation))
            results[result.recipe.seed] = result
            evaluations[result.recipe.seed] = evaluation
            yield {
                "seeds": sorted(results),
                "accuracies": [evaluations[seed].accuracy for seed in sorted(results)],
                "train_seconds": statistics.mean(each.seconds for each in results.values()),
                "train_threads": result.provenance.train_threads,
            }
    except KeyboardInterrupt as stop:
        if isinstance(stop, TrainingInterrupted) and stop.result.history:
            save(stop.result)
        if evaluations:
            yield _accuracy([evaluations[seed] for seed in sorted(results)])
        raise
    yield _accuracy([evaluations[seed] for seed in sorted(results)])
    return result.model


def _save(
    registration: Registration, plan: TrainingPlan, folder: Path | None, result: TrainingResult
) -> None:
    if folder is None:
        return
    told = result.provenance
    name = file_name(registration, plan.recipe, result.recipe, told.dataset, final=plan.final)
    if told.evaluated:
        save_weights(result.model, result.path(folder / name), told.to_dict())
    else:
        _log.info("saved %s", result.save(folder / name))


def _accuracy(evaluations: list[Evaluation]) -> dict[str, Any]:
    """Return the figures of accuracy over the seeds, in their order."""
    images = len(evaluations[0].correct)
    right = [int(each.correct.sum()) for each in evaluations]
    accuracies = [each.accuracy for each in evaluations]
    accuracy = sum(right) / (len(right) * images)
    return {
        "accuracy": accuracy,
        "accuracy_interval": wilson_interval(round(accuracy * images), images),
        "accuracy_sd": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        "accuracies": accuracies,
        "per_class_accuracy": np.mean(
            np.array([each.per_class_accuracy for each in evaluations], float), 0
        ).tolist(),
        "correct": evaluations[0].correct,
    }


def _identity(registration: Registration) -> dict[str, Any]:
    return {
        "name": registration.spec.name,
        "provider": registration.plugin.distribution,
        "version": registration.plugin.version,
        "params": registration.spec.num_params,
    }


def _differences(rows: list[Row]) -> list[Difference]:
    measured = [row for row in rows if row.correct is not None]
    tests = []
    for first, second in itertools.pairwise(measured):
        assert first.correct is not None and second.correct is not None
        tests.append((first.name, second.name, *mcnemar(first.correct, second.correct)))
    adjusted = holm([test[-1] for test in tests])
    return [
        Difference(*test[:-1], p_value=p_value)
        for test, p_value in zip(tests, adjusted, strict=True)
    ]
