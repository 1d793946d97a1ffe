"""Models side by side: each one's accuracy, size and speed, and whether differences are real."""

import dataclasses
import itertools
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from mnistzoo.benchmarks import Benchmarks
from mnistzoo.data import Dataset
from mnistzoo.errors import reason
from mnistzoo.files import check_replaceable, expanded
from mnistzoo.inference import resolve_device
from mnistzoo.provenance import environment
from mnistzoo.registry import get_registration
from mnistzoo.rows import Measurement, Row, TrainingPlan, measurements
from mnistzoo.statistics import holm, mcnemar

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
    show_progress: bool = False,
) -> Comparison:
    """Evaluate models on the data set's test images and measure them.

    Args:
        names: of the models, or aliases; one named twice appears once.
        data: whose test set, and with a plan whose training set, is used.
        train: trains the models now; without it their shipped weights are used.
        device: as :func:`mnistzoo.inference.resolve_device` takes it.
        out: a folder; with a plan each run's weights are saved there when it ends, as ``mnistzoo
            train`` saves them. It is created if it is not there.
        show_progress: on stderr, each training run's.

    Returns:
        The comparison; a model that fails has an error in its row, the others their figures. After
        Ctrl-C it holds what was finished.

    Raises:
        ValueError: if the names are not in a list, or the data is no data set.
        ModelError: if a name is unknown.
        DataError: if the data cannot be had.
        DeviceError: if the device is not there.
        OSError: if the folder cannot be written.
        KeyboardInterrupt: on Ctrl-C before anything is finished.
    """
    if not isinstance(data, Dataset) or isinstance(names, str):
        raise ValueError("compare() takes a list of names and a data set of load_dataset()")
    where = resolve_device(device)
    chosen = {found.spec.name: found for found in map(get_registration, names)}
    data.read("test")
    if train is not None:
        data.read("train_and_validation")
    folder = None if out is None else expanded(out)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        check_replaceable(folder / "weights.safetensors")
    rows: list[Row] = []
    interrupted = False
    for registration in chosen.values():
        measurement = None
        error = "interrupted" if interrupted else None
        try:
            if not interrupted:
                steps = measurements(
                    registration.spec.name,
                    data,
                    train=train,
                    device=where,
                    folder=folder,
                    show_progress=show_progress,
                )
                for measurement in steps:  # noqa: B007 (the last one is kept)
                    pass
        except KeyboardInterrupt:
            if not rows and (measurement is None or not measurement.evaluations):
                raise
            interrupted = True
            error = "interrupted"
            ended = len(measurement.seeds or ()) if measurement else 0
            if train is not None and 0 < ended < train.seeds:
                error = f"interrupted after {ended} of {train.seeds} seeds"
        except BaseException as failure:  # SystemExit too: a model must not end the comparison
            _log.debug("model %s failed", registration.spec.name, exc_info=True)
            error = reason(failure)
        rows.append(
            Row(
                name=registration.spec.name,
                provider=registration.plugin.distribution,
                version=registration.plugin.version,
                params=registration.spec.num_params,
                measurement=measurement,
                error=error,
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
