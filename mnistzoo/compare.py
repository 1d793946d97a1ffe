"""Models side by side: each one's accuracy, size and speed, and whether differences are real."""

import dataclasses
import itertools
import logging
import statistics
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mnistzoo.benchmarks import Benchmarks
from mnistzoo.data import Dataset
from mnistzoo.errors import reason
from mnistzoo.evaluation import Evaluation, evaluate, holm, mcnemar, wilson_interval
from mnistzoo.inference import resolve_device, to_tensor
from mnistzoo.measure import environment, latency_us, multiply_adds
from mnistzoo.models import load_model, weights_size
from mnistzoo.registry import Registration, get_recipe, get_registration
from mnistzoo.spec import ModelSpec, Recipe
from mnistzoo.training.runs import train_seeds
from mnistzoo.weights import to_bytes

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
        cores: to use side by side; see :func:`mnistzoo.training.runs.train_seeds`.
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
    """What was measured of one model; None where it does not apply, or ``error`` is set.

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
        latency_us: median for one image, on one thread.
        latency_256_us: median for a batch of 256, on one thread.
        error: why there are no figures, in one sentence.
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
    latency_us: float | None = None
    latency_256_us: float | None = None
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
        """Whether some model has an error instead of figures."""
        return any(row.error for row in self.rows)

    def facts(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        return {
            "environment": self.environment,
            "dataset": self.dataset,
            "training": self.training,
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
) -> Comparison:
    """Evaluate models on the data set's test images and measure them.

    Args:
        names: of the models, or aliases; one named twice appears once.
        dataset: whose test set, and with a plan whose training set, is used.
        plan: trains the models now; without it their shipped weights are used.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        show_progress: on stderr, each training run's.

    Returns:
        The comparison; a model that fails has an error in its row, the others their figures.

    Raises:
        ModelError: if a name is unknown.
        DataError: if the data cannot be had.
        DeviceError: if the device is not there.
        KeyboardInterrupt: on Ctrl-C before the first row is finished.
    """
    where = resolve_device(device)
    chosen = {found.spec.name: found for found in map(get_registration, names)}
    dataset.test  # noqa: B018 (missing data is an error of the comparison, not of each row)
    if plan is not None:
        dataset.train_and_validation  # noqa: B018
    rows = []
    for registration in chosen.values():
        if show_progress and plan is None:
            _log.info("evaluating and timing %s", registration.spec.name)
        try:
            rows.append(_measured(registration, dataset, plan, where, show_progress))
        except KeyboardInterrupt:
            if not rows:
                raise
            # What is finished is kept: this row and those that would follow say why they are empty.
            unfinished = list(chosen.values())[len(rows) :]
            rows += [Row(**_identity(each), error="interrupted") for each in unfinished]
            break
        except BaseException as error:  # SystemExit too: a model must not end the comparison
            _log.debug("model %s failed", registration.spec.name, exc_info=True)
            rows.append(Row(**_identity(registration), error=reason(error)))
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
    )


def _measured(
    registration: Registration,
    dataset: Dataset,
    plan: TrainingPlan | None,
    device: torch.device,
    show_progress: bool,
) -> Row:
    spec = registration.spec
    if plan is None:
        model = load_model(spec.name)
        evaluations = [evaluate(model, dataset.test, device=device.type)]
        costs: dict[str, Any] = {"file_bytes": weights_size(spec)}
    else:
        model, evaluations, seconds = _trained(spec, dataset, plan, device, show_progress)
        costs = {
            "file_bytes": len(to_bytes(model, {})),
            "train_seconds": statistics.mean(seconds),
            "seeds": [recipe.seed for recipe in plan.recipes(spec)],
        }
    accuracies = [evaluation.accuracy for evaluation in evaluations]
    accuracy = statistics.mean(accuracies)
    images = to_tensor(dataset.test.images[:_BATCH], device)
    return Row(
        **_identity(registration),
        **costs,
        multiply_adds=multiply_adds(model),
        accuracy=accuracy,
        accuracy_interval=wilson_interval(round(accuracy * len(dataset.test)), len(dataset.test)),
        accuracy_sd=statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        accuracies=accuracies,
        per_class_accuracy=np.mean(
            np.array([each.per_class_accuracy for each in evaluations], float), 0
        ).tolist(),
        latency_us=latency_us(model, images[:1]),
        latency_256_us=latency_us(model, images),
        correct=evaluations[0].correct,
    )


def _trained(
    spec: ModelSpec,
    dataset: Dataset,
    plan: TrainingPlan,
    device: torch.device,
    show_progress: bool,
) -> tuple[nn.Module, list[Evaluation], list[float]]:
    evaluations, seconds = [], []
    for model, run in train_seeds(
        spec.name,
        plan.recipes(spec),
        dataset,
        final=plan.final,
        device=device.type,
        cores=plan.cores,
        show_progress=show_progress,
    ):
        evaluations.append(evaluate(model, dataset.test, device=device.type))
        seconds.append(run.seconds)
    return model, evaluations, seconds


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
