"""Models side by side: each one's accuracy, size and speed, and whether differences are real."""

import dataclasses
import itertools
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from mnistzoo.benchmarks import Benchmarks
from mnistzoo.data import Dataset
from mnistzoo.errors import reason
from mnistzoo.evaluation import DECLARED_TOLERANCE
from mnistzoo.files import check_replaceable, expanded
from mnistzoo.inference import resolve_device
from mnistzoo.provenance import environment
from mnistzoo.registry import ModelError, Registration, UnknownNameError, registry
from mnistzoo.rows import Measurement, Row, TrainingPlan, measurements
from mnistzoo.spec import ModelSpec
from mnistzoo.statistics import holm, mcnemar
from mnistzoo.workers.crew import INTERRUPTED
from mnistzoo.workers.discovery import discovered
from mnistzoo.workers.rows import Outcome, Rows
from mnistzoo.workers.worker import Limits, can_isolate

__all__ = ["Comparison", "Difference", "Measurement", "Row", "TrainingPlan", "compare"]

_log = logging.getLogger("mnistzoo")


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
    dataset: Mapping[str, Any]
    environment: Mapping[str, Any]
    training: TrainingPlan | None
    interrupted: bool = False
    benchmarks: Benchmarks | None = None

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
            path: ends in ``.json``, ``.csv`` or ``.md``.

        Raises:
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
            "benchmarks": None
            if self.benchmarks is None
            else {
                "file": self.benchmarks.file,
                "machine": self.benchmarks.machine,
                "providers": dict(self.benchmarks.providers),
            },
            "models": [row.to_dict() for row in self.rows],
            "differences": [dataclasses.asdict(difference) for difference in self.differences],
        }


def compare(
    names: Iterable[str],
    data: Dataset,
    *,
    train: TrainingPlan | None = None,
    device: str | torch.device = "auto",
    out: str | os.PathLike[str] | None = None,
    limits: Limits | None = None,
    show_progress: bool = False,
) -> Comparison:
    """Evaluate models on the data set's test images and measure them.

    Each model of an installed plugin runs in a process of its own; what it does there, and how it
    ends, costs its own row at most. A model of a plugin that was registered in this process
    (:func:`mnistzoo.register_plugin`) runs here, since no other process has it, and so does every
    model where the system is not Linux.

    Args:
        names: of the models, or aliases; one named twice appears once.
        data: whose test set, and with a plan whose training set, is used.
        train: trains the models now; without it their shipped weights are used.
        device: as :func:`mnistzoo.inference.resolve_device` takes it.
        out: a folder; with a plan each run's weights are saved there when it ends, as ``mnistzoo
            train`` saves them. It is created if it is not there.
        limits: of each process; by default ten minutes without a sign of progress, and half of the
            machine's memory.
        show_progress: on stderr, each training run's.

    Returns:
        The comparison; a model that fails has an error in its row, the others their figures. After
        Ctrl-C it holds what was finished.

    Raises:
        ValueError: if the names are not in a list, or the data is no data set.
        UnknownNameError: if no model has one of the names; that several claim it is the error of
            its row.
        DataError: if the data cannot be had.
        DeviceError: if the device is not there.
        OSError: if the folder cannot be written.
        KeyboardInterrupt: on Ctrl-C before anything is finished.
    """
    if not isinstance(data, Dataset) or isinstance(names, str):
        raise ValueError("compare() takes a list of names and a data set of load_dataset()")
    where = resolve_device(device)
    limits = limits or Limits()
    known = registry(discovered(limits))
    chosen, rows = dict[str, Registration](), list[Row]()
    for name in names:
        try:
            found = known.get(name)
            chosen[found.spec.name] = found
        except UnknownNameError:
            raise
        except ModelError as error:  # several claim the name
            rows.append(Row(name, "", "", 0, error=reason(error)))
    data.read("test")
    if train is not None:
        data.read("train_and_validation")
    folder = None if out is None else expanded(out)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        check_replaceable(folder / "weights.safetensors")
    outcomes = {name: Outcome() for name in chosen}
    apart = [each for each in chosen.values() if each.plugin.installed and can_isolate()]
    measuring = Rows(known, data, device=where, limits=limits, show_progress=show_progress)
    interrupted = False
    try:
        if train is None:
            measuring.evaluated(apart, [outcomes[each.spec.name] for each in apart])
        for registration in chosen.values():
            outcome = outcomes[registration.spec.name]
            if registration not in apart:
                steps = measurements(
                    registration.spec.name,
                    data,
                    train=train,
                    device=where,
                    folder=folder,
                    show_progress=show_progress,
                )
            elif train is not None:
                steps = measuring.trained(registration, train, folder)
            else:
                continue
            _fill(outcome, steps)
    except KeyboardInterrupt:
        if not any(each.measurement and each.measurement.evaluations for each in outcomes.values()):
            raise
        interrupted = True
    for name, registration in chosen.items():
        outcome = outcomes[name]
        if interrupted and not _is_done(outcome):
            outcome.error = _interrupted(outcome, train)
        if train is None:
            _warn_of_another_accuracy(registration.spec, outcome, data)
        rows.append(
            Row(
                name=name,
                provider=registration.plugin.distribution,
                version=registration.plugin.version,
                params=registration.spec.num_params,
                measurement=outcome.measurement,
                error=outcome.error,
            )
        )
    rows.sort(key=lambda row: (row.accuracy is None, -(row.accuracy or 0), row.name))
    return Comparison(
        rows,
        _differences(rows),
        {
            "name": data.name,
            "split": "test",
            "images": len(data.test),
            "checksums": dict(data.checksums),
        },
        environment(where),
        train,
        interrupted,
    )


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
    """Say so where a model has another accuracy on the official test images than is declared."""
    declared = spec.declared_metrics.get("test_accuracy")
    measured = outcome.measurement.accuracy if outcome.measurement else None
    if declared is None or measured is None or data.name not in ("mnist", "mnist-10k"):
        return
    if abs(measured - declared) > DECLARED_TOLERANCE:
        _log.warning(
            "%s has a test accuracy of %.2f %%, but its plugin declares %.2f %%; `mnistzoo check "
            "%s` shows more",
            *(spec.name, 100 * measured, 100 * declared, spec.name),
        )


def _differences(rows: list[Row]) -> list[Difference]:
    first_seeds = [
        (row.name, row.measurement.evaluations[0].correct)
        for row in rows
        if row.measurement is not None and row.accuracy is not None
    ]
    tests = [
        (better, worse, *mcnemar(right, right_too))
        for (better, right), (worse, right_too) in itertools.pairwise(first_seeds)
    ]
    adjusted = holm([test[-1] for test in tests])
    return [
        Difference(*test[:-1], p_value=p_value)
        for test, p_value in zip(tests, adjusted, strict=True)
    ]
