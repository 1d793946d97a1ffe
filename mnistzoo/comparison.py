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
from mnistzoo.evaluation import Evaluation
from mnistzoo.files import check_replaceable, expanded
from mnistzoo.gallery import telling_images
from mnistzoo.inference import resolve_device
from mnistzoo.models import is_file
from mnistzoo.provenance import environment
from mnistzoo.registry import ModelError, Registration, get_registration
from mnistzoo.rows import Measurement, Row, TrainingPlan, measurements, row
from mnistzoo.statistics import holm, mcnemar

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
        dataset: its name, split, number of images, and SHA-256 of its files.
        environment: see :func:`mnistzoo.provenance.environment`.
        training: None for shipped weights.
        gallery: test images; see :func:`mnistzoo.gallery.telling_images`. None where no model could
            be evaluated.
        interrupted: some models are missing after Ctrl-C.
        benchmarks: that were joined.
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

    @classmethod
    def of(
        cls,
        rows: Iterable[Row],
        data: Dataset,
        device: torch.device,
        training: TrainingPlan | None = None,
        interrupted: bool = False,
    ) -> "Comparison":
        """Put rows in their order and find how they differ.

        Args:
            rows: of models that were evaluated on the data's test set, on the device.
            data: the data set.
            device: that was computed on.
            training: how the models were trained; None for shipped weights.
            interrupted: whether some are missing after Ctrl-C.
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
        )

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
    show_progress: bool = False,
) -> Comparison:
    """Evaluate models on the data set's test images and measure them.

    Args:
        names: of the models, or aliases; one named twice appears once. Without a plan also files:
            ``.onnx``, and ``.safetensors`` as ``mnistzoo train`` saves them.
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
    chosen = _chosen(names, train)
    data.read("test")
    if train is not None:
        data.read("train_and_validation")
    folder = None if out is None else expanded(out)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        check_replaceable(folder / "weights.safetensors")
    rows: list[Row] = []
    interrupted = False
    for name, registration in chosen.items():
        measurement = None
        error = "interrupted" if interrupted else None
        try:
            if not interrupted:
                steps = measurements(
                    name,
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
            _log.debug("model %s failed", name, exc_info=True)
            error = reason(failure)
        rows.append(row(name, registration, measurement, error))
    return Comparison.of(rows, data, where, train, interrupted)


def _chosen(names: Iterable[str], train: TrainingPlan | None) -> dict[str, Registration | None]:
    """Return the models by name, and the files by path."""
    chosen: dict[str, Registration | None] = {}
    for name in names:
        if not is_file(name):
            found = get_registration(name)
            chosen[found.spec.name] = found
            continue
        if train is not None:
            raise ModelError(f"{name} is a file and is not trained; name its model")
        if not expanded(name).is_file():
            raise FileNotFoundError(2, "there is no such file", name)
        chosen[name] = None
    return chosen


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
