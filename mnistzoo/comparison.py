"""Models side by side: each one's accuracy, size and speed, and whether differences are real."""

import dataclasses
import itertools
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from mnistzoo.benchmarks import Benchmarks
from mnistzoo.data import Dataset
from mnistzoo.errors import MnistzooError, reason
from mnistzoo.evaluation import DECLARED_TOLERANCE, Evaluation
from mnistzoo.files import check_replaceable, expanded
from mnistzoo.gallery import telling_images
from mnistzoo.inference import resolve_device
from mnistzoo.measuring import measurements
from mnistzoo.models import is_file, model_of_file
from mnistzoo.provenance import environment
from mnistzoo.registry import (
    ModelError,
    Registration,
    Registry,
    UnknownNameError,
    find,
    registry,
)
from mnistzoo.reliability import COLUMNS, FASHION, Probes
from mnistzoo.rows import Measurement, Row, TrainingPlan, row
from mnistzoo.spec import DEFAULT_DATASET, ModelSpec
from mnistzoo.statistics import holm, mcnemar
from mnistzoo.workers.crew import INTERRUPTED
from mnistzoo.workers.discovery import discovered
from mnistzoo.workers.images import images_apart
from mnistzoo.workers.rows import Outcome, Rows, Subject
from mnistzoo.workers.worker import Limits, can_isolate

__all__ = ["Comparison", "Difference", "Measurement", "Row", "TrainingPlan", "compare"]

_log = logging.getLogger("mnistzoo")


@dataclass(frozen=True)
class Difference:
    """Two models, compared on the same images by McNemar's exact test.

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
    """Rows by falling accuracy, those with an error last, and what they were measured with.

    Attributes:
        rows: one a model.
        differences: of neighbours in accuracy.
        pairs: the differences of all pairs; their p-values are adjusted for more tests.
        dataset: its name, what :func:`mnistzoo.load_dataset` takes for it, its split, number of
            images, and SHA-256 of its files.
        environment: see :func:`mnistzoo.provenance.environment`.
        training: None for shipped weights.
        gallery: test images; see :func:`mnistzoo.gallery.telling_images`. None where no model could
            be evaluated.
        interrupted: some models are missing after Ctrl-C.
        benchmarks: that were joined.
        columns: those that were asked for beyond the usual ones, of
            :data:`mnistzoo.reliability.COLUMNS`, and how each is measured, in words.
    """

    rows: list[Row]
    differences: list[Difference]
    pairs: list[Difference]
    dataset: Mapping[str, Any]
    environment: Mapping[str, Any]
    training: TrainingPlan | None
    gallery: Mapping[str, Any] | None = None
    interrupted: bool = False
    benchmarks: Benchmarks | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        rows: Iterable[Row],
        data: Dataset,
        device: torch.device,
        training: TrainingPlan | None = None,
        interrupted: bool = False,
        columns: Mapping[str, str] | None = None,
    ) -> "Comparison":
        """Put rows in their order and find how they differ.

        Args:
            rows: of models that were evaluated on the data's test set, on the device.
            data: the data set.
            device: that was computed on.
            training: how the models were trained; None for shipped weights.
            interrupted: whether some are missing after Ctrl-C.
            columns: that the rows have beyond the usual ones, and how they are measured.
        """
        ordered = sorted(
            rows, key=lambda row: (row.accuracy is None, -(row.accuracy or 0), row.name)
        )
        evaluations = {
            row.name: row.measurement.evaluations[0]
            for row in ordered
            if row.measurement is not None and row.accuracy is not None
        }
        return cls(
            ordered,
            _differences(evaluations, itertools.pairwise(evaluations)),
            _differences(evaluations, itertools.combinations(evaluations, 2)),
            {
                "name": data.name,
                "reference": data.reference,
                "verified": data.verified,
                "weights_from": data.spec.weights_from,
                "classes": list(data.classes),
                "split": "test",
                "images": len(data.test),
                "checksums": dict(data.checksums),
            },
            environment(device),
            training,
            telling_images(evaluations, data.test) if evaluations else None,
            interrupted,
            columns=columns or {},
        )

    def __repr__(self) -> str:
        told = f"{self.dataset['name']!r}, models: {len(self.rows)}"
        if self.rows and self.rows[0].accuracy is not None:
            told += f", best: {self.rows[0].name!r}"
        return f"Comparison({told})"

    def joined(self, benchmarks: Benchmarks) -> "Comparison":
        """Return it with what pytest-benchmark measured of each model."""
        rows = [
            dataclasses.replace(row, benchmarks=benchmarks.figures.get(row.name, {}))
            for row in self.rows
        ]
        return dataclasses.replace(self, rows=rows, benchmarks=benchmarks)

    @property
    def failed(self) -> bool:
        """Whether some model has an error instead of all its figures."""
        return any(row.error for row in self.rows)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file in the format that the suffix names; see :mod:`mnistzoo.report`.

        Args:
            path: ends in ``.json``, ``.csv``, ``.md`` or ``.html``.

        Raises:
            MissingModuleError: for a report in HTML without the extra ``report``.
            OSError: if the file cannot be written.
            ReportError: for another suffix.
        """
        from mnistzoo.report import save

        save(self, path)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it but the predictions for each image, as JSON can hold it."""
        return {
            "environment": dict(self.environment),
            "dataset": dict(self.dataset),
            "training": None if self.training is None else dataclasses.asdict(self.training),
            "interrupted": self.interrupted,
            "columns": dict(self.columns),
            "benchmarks": None
            if self.benchmarks is None
            else {
                "file": self.benchmarks.file,
                "machine": self.benchmarks.machine,
                "providers": dict(self.benchmarks.providers),
            },
            "models": [row.to_dict() for row in self.rows],
            "differences": [dataclasses.asdict(difference) for difference in self.differences],
            "pairs": [dataclasses.asdict(pair) for pair in self.pairs],
            "gallery": None if self.gallery is None else dict(self.gallery),
        }


def compare(
    names: Iterable[str],
    data: Dataset,
    *,
    train: TrainingPlan | None = None,
    device: str | torch.device = "auto",
    out: str | os.PathLike[str] | None = None,
    limits: Limits | None = None,
    columns: Collection[str] = (),
    show_progress: bool = False,
) -> Comparison:
    """Evaluate models on the data set's test images and measure them.

    Each model of an installed plugin runs in a process of its own; what it does there, and how it
    ends, costs its own row at most. A model of a plugin that was registered in this process
    (:func:`mnistzoo.register_plugin`) runs here, since no other process has it; so does every model
    where the system is not Linux. A file runs where its model would, an ``.onnx`` file without any
    plugin.

    Args:
        names: of the models, or aliases; one named twice appears once. Without a plan also files:
            ``.onnx``, and ``.safetensors`` as ``mnistzoo train`` saves them.
        data: whose test set, and with a plan whose training set, is used.
        train: trains the models now; without it their shipped weights are used.
        device: as :func:`mnistzoo.inference.resolve_device` takes it.
        out: a folder; with a plan each run's weights are saved there when it ends, as ``mnistzoo
            train`` saves them. It is created if it is not there.
        limits: of each process; by default ten minutes without a sign of progress, and half of the
            machine's memory.
        columns: what else is measured, of :data:`mnistzoo.reliability.COLUMNS`: ``"calibration"``,
            ``"coverage"``, ``"non-digits"``, ``"corruptions"``. All but the last need the data
            set's validation images. Together they take some 18 times as long as the accuracy.
        show_progress: on stderr, each training run's.

    Returns:
        The comparison; a model that fails has an error in its row, the others their figures. After
        Ctrl-C it holds what was finished.

    Raises:
        ValueError: if the names are not in a list, the data is not a data set, or there is no such
            column.
        UnknownNameError: if no model has one of the names; that several claim it, or that it may
            be of a plugin that failed to load, is the error of its row.
        DataError: if the data cannot be had.
        DeviceError: if the device is not there.
        OSError: if the folder cannot be written.
        KeyboardInterrupt: on Ctrl-C before anything is finished.
    """
    if not isinstance(data, Dataset) or isinstance(names, str):
        raise ValueError("compare() takes a list of names and a data set of load_dataset()")
    if isinstance(columns, str) or (unknown := sorted(set(columns) - set(COLUMNS))):
        found = repr(columns) if isinstance(columns, str) else ", ".join(unknown)
        raise ValueError(f"columns has {found}, it must be a list of {', '.join(COLUMNS)}")
    where = resolve_device(device)
    limits = limits or Limits()
    known = registry(discovered(limits))
    chosen, conflicts = _chosen(names, train, known)
    data.read("test")
    if train is not None:
        data.read("train_and_validation")
    probes = None
    if columns:
        fashion = images_apart(FASHION, limits) if "non-digits" in columns else None
        probes = Probes.of(data, columns, fashion)
    folder = None if out is None else expanded(out)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        check_replaceable(folder / "weights.safetensors")
    outcomes = {name: Outcome() for name in chosen}
    apart = {}
    if can_isolate():
        for name, registration in chosen.items():
            try:
                subject = _subject(name, registration, known)
            except (MnistzooError, OSError) as error:  # a file that says of no model
                outcomes[name].error = reason(error)
                continue
            if subject.registration is None or subject.registration.plugin.installed:
                apart[name] = subject
    measuring = Rows(
        known, data, device=where, limits=limits, probes=probes, show_progress=show_progress
    )
    interrupted = False
    try:
        if train is None:
            measuring.evaluated(list(apart.values()), [outcomes[name] for name in apart])
        for name, registration in chosen.items():
            if outcomes[name].error:
                continue
            if name not in apart:
                steps = measurements(
                    name,
                    data,
                    train=train,
                    device=where,
                    folder=folder,
                    probes=probes,
                    show_progress=show_progress,
                )
            elif train is not None and registration is not None:
                steps = measuring.trained(registration, train, folder)
            else:
                continue
            _fill(outcomes[name], steps)
    except KeyboardInterrupt:
        if not any(each.measurement and each.measurement.evaluations for each in outcomes.values()):
            raise
        interrupted = True
    rows = list(conflicts)
    for name, registration in chosen.items():
        outcome = outcomes[name]
        if interrupted and not _is_done(outcome):
            outcome.error = _interrupted(outcome, train)
        if train is None and registration is not None:
            _warn_of_another_accuracy(registration.spec, outcome, data)
        rows.append(row(name, registration, outcome.measurement, outcome.error))
    measured = probes.measured if probes else None
    return Comparison.of(rows, data, where, train, interrupted, measured)


def _chosen(
    names: Iterable[str], train: TrainingPlan | None, known: Registry[Registration]
) -> tuple[dict[str, Registration | None], list[Row]]:
    """Return the models by name and the files by path; and rows of names that stand for none."""
    chosen: dict[str, Registration | None] = {}
    conflicts: list[Row] = []
    for name in names:
        if is_file(name):
            if train is not None:
                raise ModelError(f"{name} is a file and is not trained; name its model")
            if not expanded(name).is_file():
                raise FileNotFoundError(2, "there is no such file", name)
            chosen[name] = None
            continue
        try:
            found = find(known, name)
        except ModelError as error:  # several claim it, or a plugin that failed may have had it
            if isinstance(error, UnknownNameError) and not known.failed:
                raise
            conflicts.append(row(name, None, None, reason(error)))
            continue
        chosen[found.spec.name] = found
    return chosen, conflicts


def _subject(
    name: str, registration: Registration | None, known: Registry[Registration]
) -> Subject:
    """Return a model, or a file with the model that it is of.

    Raises:
        ModelError: if a file says of none, or of one that is not there.
        WeightsError: if it is not what it should be.
        OSError: if it cannot be read.
    """
    if registration is None and (model := model_of_file(name)):
        registration = find(known, model)
    return Subject(name, registration)


def _fill(outcome: Outcome, steps: Iterator[Measurement]) -> None:
    """Keep what is known of a model, and why it is not all.

    Raises:
        KeyboardInterrupt: on Ctrl-C.
    """
    try:
        for measurement in steps:
            outcome.measurement = measurement
    except KeyboardInterrupt:
        raise
    except BaseException as failure:  # SystemExit too: a model must not end the comparison
        _log.debug("a model failed", exc_info=True)
        outcome.error = reason(failure)


def _is_done(outcome: Outcome) -> bool:
    found = outcome.measurement
    return outcome.error not in (None, INTERRUPTED) or (
        found is not None and found.latency_256_us is not None
    )


def _interrupted(outcome: Outcome, plan: TrainingPlan | None) -> str:
    ended = len(outcome.measurement.seeds or ()) if outcome.measurement else 0
    if plan is not None and 0 < ended < plan.seeds:
        return f"interrupted after {ended} of {plan.seeds} seeds"
    return INTERRUPTED


def _warn_of_another_accuracy(spec: ModelSpec, outcome: Outcome, data: Dataset) -> None:
    """Say so where a model has another accuracy on the test images than its plugin declares."""
    official = data.name == "mnist-10k"  # its test images are MNIST's
    trained_on = DEFAULT_DATASET if official else data.name
    declared = spec.metrics_on(trained_on).get("test_accuracy")
    measured = outcome.measurement.accuracy if outcome.measurement else None
    if declared is None or measured is None:
        return
    if abs(measured - declared) > DECLARED_TOLERANCE:
        _log.warning(
            "%s has a test accuracy of %.2f %%, but its plugin declares %.2f %%; `mnistzoo check "
            "%s` shows more",
            *(spec.name, 100 * measured, 100 * declared, spec.name),
        )


def _differences(
    evaluations: Mapping[str, Evaluation], pairs: Iterable[tuple[str, str]]
) -> list[Difference]:
    """Test pairs of models; Holm adjusts the p-values for their number."""
    tests = [
        (first, second, *mcnemar(evaluations[first].correct, evaluations[second].correct))
        for first, second in pairs
    ]
    adjusted = holm([test[-1] for test in tests])
    return [
        Difference(*test[:-1], p_value=p_value)
        for test, p_value in zip(tests, adjusted, strict=True)
    ]
