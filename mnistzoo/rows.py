"""The rows of a comparison: how its models are trained, and what was measured of each."""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mnistzoo.evaluation import Evaluation, RepeatedEvaluation
from mnistzoo.recipe import Recipe, unread
from mnistzoo.registry import Registration, get_recipe
from mnistzoo.reliability import Reliability
from mnistzoo.spec import ModelSpec
from mnistzoo.statistics import wilson_interval
from mnistzoo.training import Epoch


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
        recipe = get_recipe(spec, self.recipe).replace(**self.overrides_of(spec))
        return [recipe.replace(seed=recipe.seed + offset) for offset in range(self.seeds)]

    def overrides_of(self, spec: ModelSpec) -> dict[str, Any]:
        """Return the overrides that change something; without a recipe few do."""
        ignored = unread(get_recipe(spec, self.recipe), self.overrides)
        return {name: self.overrides[name] for name in self.overrides if name not in ignored}


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
