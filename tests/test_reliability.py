"""The columns beyond accuracy: calibration, coverage, what is no digit, corruptions."""

import csv
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawing import write_linear_model
from numpy.typing import NDArray
from small_data import NAMES, checksum, plain, registered, served, spec
from torch import nn

from mnistzoo import (
    DataFile,
    Dataset,
    Evaluation,
    ModelSpec,
    Recipe,
    TrainingPlan,
    Weights,
    compare,
    load_dataset,
    save_weights,
)
from mnistzoo.calibration import Calibration, softmax
from mnistzoo.cli import main
from mnistzoo.corruptions import CORRUPTIONS, corrupt
from mnistzoo.data import DataError
from mnistzoo.dataset_spec import DIGITS
from mnistzoo.letters import LETTERS, drawn_letters
from mnistzoo.reliability import COLUMNS, Probes, measure
from mnistzoo.report.html import render
from mnistzoo.report.saved import read_comparison
from mnistzoo.report.text import comparison_notes, comparison_table
from mnistzoo.workers.images import images_apart, read_images

Images = NDArray[np.uint8]
TRAINED = load_dataset("mnist-10k").train[:1000]
# A classifier by the likeness to each digit's mean image: logits = likeness @ pixels + bias.
_MEANS = np.stack([TRAINED.images[TRAINED.labels == label].mean(0) / 255 for label in range(10)])
LIKENESS = _MEANS.reshape(10, 784).astype(np.float32) / 4
BIAS = -2 * (LIKENESS**2).sum(1)


def likeness(images: Images) -> NDArray[np.float32]:
    """Return the logits of that classifier."""
    return images.reshape(len(images), 784).astype(np.float32) / 255 @ LIKENESS.T + BIAS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a small data set, the labels those of MNIST."""
    path = tmp_path_factory.mktemp("digits")
    data = load_dataset("mnist-10k")
    parts = (data.validation[:400], data.test[:200])
    found = [array for split in parts for array in (split.images, split.labels)]
    for name, content in plain(found).items():
        (path / name).write_bytes(content)
    return path


@pytest.fixture
def digits(folder: Path) -> Iterator[Dataset]:
    """That data set, its last 200 training images for validation."""
    declared: dict[str, Any] = {
        "name": "small-digits",
        "classes": DIGITS,
        "folders": (str(folder),),
    }
    declared |= {"train_images": 400, "test_images": 200, "validation_size": 200}
    files = [DataFile(name, checksum((folder / name).read_bytes())) for name in NAMES]
    with registered(spec(files, **declared)):
        yield load_dataset("small-digits")


Define = Callable[..., None]
Spec = Callable[..., ModelSpec]
Register = Callable[..., None]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def define(linear_spec: Spec, register: Register, linear_weights: Path) -> Define:
    """Return ``define(name, shipped, **told)``: registers a model by likeness.

    Its weights are shipped with this calibration, and tell this.
    """
    layer = nn.Linear(784, 10)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(LIKENESS))
        layer.bias.copy_(torch.from_numpy(BIAS))
    model = nn.Sequential(nn.Flatten(), layer)

    def defining(name: str, shipped: Calibration | None = None, **told: Any) -> None:
        path = linear_weights.with_name(f"{name}.safetensors")
        save_weights(model, path, told)
        weights = Weights(
            file=path.name,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            metrics={"test_accuracy": 0.8},
            measured="by a test",
            dataset="small-digits",
            temperature=None if shipped is None else shipped.temperature,
            threshold=None if shipped is None else shipped.threshold,
        )
        recipe = Recipe(epochs=1, batch_size=50, optimizer="adam", learning_rate=0.003)
        changes = {"weights": weights, "recipes": {"default": recipe}}
        register(linear_spec(name, **changes), plugin=name)

    return defining


def test_the_figures_are_what_their_definitions_say(digits: Dataset) -> None:
    odd = np.zeros((4, 28, 28), np.uint8)
    odd[:3] = 255  # where the likeness is that to all digits
    probes = Probes.of(digits, COLUMNS, fashion=odd)
    found = measure(likeness, probes)
    fitted = Calibration.fit(likeness(digits.validation.images), digits.validation.labels)
    assert (found.temperature, found.threshold) == (fitted.temperature, fitted.threshold)
    assert found.temperature != pytest.approx(1, abs=0.1)
    test = digits.test
    scaled = Evaluation.from_logits(likeness(test.images) / fitted.temperature, test.labels)
    assert found.expected_calibration_error == scaled.expected_calibration_error
    plainly = Evaluation.from_logits(likeness(test.images), test.labels)
    assert scaled.expected_calibration_error < plainly.expected_calibration_error

    right = likeness(test.images).argmax(1) == test.labels
    sure = softmax(likeness(test.images) / fitted.temperature).max(1) >= fitted.threshold
    assert 0.9 < sure.mean() < 1
    assert found.accepted == sure.mean()
    assert found.accepted_accuracy == right[sure].mean() > right.mean()

    def accepted(images: Images) -> float:
        return float(
            (softmax(likeness(images) / fitted.temperature).max(1) >= fitted.threshold).mean()
        )

    assert found.non_digits == {
        "letters": accepted(drawn_letters()),
        "fashion-mnist": accepted(odd),
    }
    assert list(found.corruptions) == list(CORRUPTIONS)
    for kind in ("blur", "zigzag"):
        answers = likeness(corrupt(test.images, kind)).argmax(1)
        assert found.corruptions[kind] == (answers == test.labels).mean()
    assert found.corrupted_accuracy == pytest.approx(np.mean(list(found.corruptions.values())))


@pytest.mark.parametrize(("confidence", "share"), [(1.0, 1.0), (0.0, 0.0)])
def test_what_is_no_digit_is_accepted_by_the_confidence_alone(
    confidence: float, share: float, digits: Dataset
) -> None:
    known = {image.tobytes() for image in drawn_letters()}

    def logits(images: Images) -> NDArray[np.float32]:
        found = likeness(images)
        for row, image in zip(found, images, strict=True):
            if image.tobytes() in known:
                row[:] = np.eye(10)[3] * 100 * confidence
        return found

    assert measure(logits, Probes.of(digits, ["non-digits"])).non_digits == {"letters": share}


def test_only_what_was_asked_for_is_classified(digits: Dataset) -> None:
    counted = 0

    def logits(images: Images) -> NDArray[np.float32]:
        nonlocal counted
        counted += len(images)
        return likeness(images)

    spoilt = measure(logits, Probes.of(digits, ["corruptions"]))
    assert counted == 15 * 200
    assert (spoilt.temperature, spoilt.accepted, spoilt.non_digits) == (None, None, {})
    counted = 0
    assert measure(logits, Probes.of(digits, ["calibration"])).corruptions == {}
    assert counted == 200 + 200


def test_the_letters_look_as_digits_of_mnist_do_and_are_always_the_same() -> None:
    images = drawn_letters()
    assert images.shape == (15 * len(LETTERS), 28, 28) and images.dtype == np.uint8
    assert len({image.tobytes() for image in images}) == len(images)
    place = np.indices((28, 28))
    for image in images:
        rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        sides = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
        assert 18 <= max(sides) <= 20
        centre = (place * image).sum((1, 2)) / image.sum()
        assert np.abs(centre - 13.5).max() < 1
        assert image.max() == 255
    ink = load_dataset("mnist-10k").test.images[:1000].mean()
    assert images.mean() == pytest.approx(ink, rel=0.4)
    drawn_letters.cache_clear()
    np.testing.assert_array_equal(drawn_letters(), images)


def test_a_comparison_shows_and_saves_the_columns(
    digits: Dataset, define: Define, register: Register, linear_spec: Spec, tmp_path: Path
) -> None:
    define("likeness")
    register(linear_spec("broken", factory="nowhere:net"))
    comparison = compare(["broken", "likeness"], digits, columns=COLUMNS)
    row, _ = comparison.rows
    assert row.measurement is not None
    found = row.measurement.reliability
    assert found is not None
    expected = measure(likeness, Probes.of(digits, COLUMNS, images_apart("fashion-mnist")))
    assert found.corruptions == expected.corruptions
    assert found.non_digits == expected.non_digits
    assert found.temperature == pytest.approx(expected.temperature, rel=1e-3)
    table = {
        column.heading: [column.value(row) for row in comparison.rows]
        for column in comparison_table(comparison).columns
    }
    assert table["accepted %"] == [f"{100 * (found.accepted or 0):.2f}", "-"]
    assert table["corrupted %"] == [f"{100 * (found.corrupted_accuracy or 0):.2f}", "-"]
    assert {"ECE %", "accuracy of them %", "letters accepted %"} <= table.keys()
    notes = comparison_notes(comparison)
    (corruptions,) = (note for note in notes if note.startswith("corruptions: "))
    assert "ways of our own, which are not MNIST-C's files" in corruptions

    comparison.save(tmp_path / "c.csv")
    first, second = csv.DictReader((tmp_path / "c.csv").read_text().splitlines())
    assert float(first["temperature"]) == pytest.approx(found.temperature, rel=1e-5)
    assert float(first["corrupted_dotted line"]) == found.corruptions["dotted line"]
    assert float(first["accepted_letters"]) == pytest.approx(found.non_digits["letters"], rel=1e-5)
    assert second["temperature"] == ""

    comparison.save(tmp_path / "c.json")
    facts = read_comparison(tmp_path / "c.json")
    assert facts["columns"].keys() == set(COLUMNS)
    assert facts["models"][0]["reliability"] == found.to_dict()
    page = render(facts, "again")
    assert '<th scope="col">letters accepted %</th>' in page
    assert corruptions.replace("'", "&#39;") in page
    for kind, accuracy in found.corruptions.items():
        assert f">{kind}</th>" in page and f">{100 * accuracy:.2f}</td>" in page
    # A file of a version without these columns.
    del facts["columns"], facts["models"][0]["reliability"], facts["models"][0]["held_out"]
    (tmp_path / "old.json").write_text(json.dumps(facts))
    assert "accepted %" not in render(read_comparison(tmp_path / "old.json"), "again")


def test_weights_that_have_seen_the_validation_images_are_named(
    digits: Dataset, define: Define
) -> None:
    held_out, final = ({"dataset": "small-digits", "final": each} for each in (False, True))
    define("heldout", **held_out)
    define("pair", members=[held_out, held_out])
    define("final", **final)
    define("mixed", members=[held_out, final])
    define("other", dataset="mnist", final=False)
    define("silent")
    comparison = compare(["heldout", "pair"], digits, columns=["coverage"])
    assert not any("the training has seen" in note for note in comparison_notes(comparison))
    names = ["heldout", "pair", "final", "mixed", "other", "silent"]
    comparison = compare(names, digits, columns=["coverage"])
    (note,) = (note for note in comparison_notes(comparison) if "the training has seen" in note)
    assert sorted(note.partition(": ")[2].split(", ")) == ["final", "mixed", "other", "silent"]
    comparison = compare(["final"], digits, columns=["corruptions"])
    assert not any("the training has seen" in note for note in comparison_notes(comparison))


def test_a_shipped_temperature_and_threshold_are_used_and_said(
    digits: Dataset, define: Define, tmp_path: Path
) -> None:
    shipped = Calibration(0.5, 0.75)
    define("shipped", shipped, dataset="small-digits", final=True)
    define("plain", dataset="small-digits", final=False)
    file = tmp_path / "told.onnx"
    metadata = {"exported_with": "mnistzoo", "temperature": "0.25", "threshold": "0.5"}
    write_linear_model(file, metadata=metadata)
    names = ["shipped", "plain", str(file)]
    comparison = compare(names, digits, columns=["calibration", "coverage"])
    found = {row.name: row.measurement.reliability for row in comparison.rows if row.measurement}
    expected = measure(likeness, Probes.of(digits, ["calibration"]), shipped)
    assert found["shipped"] is not None and found["plain"] is not None
    assert (found["shipped"].temperature, found["shipped"].threshold) == (0.5, 0.75)
    assert found["shipped"].calibration_shipped and found["shipped"].accepted == expected.accepted
    assert expected.accepted != measure(likeness, Probes.of(digits, ["calibration"])).accepted
    assert found["plain"].calibration_shipped is False and found["plain"].temperature != 0.5
    of_file = found[str(file)]
    assert of_file is not None and (of_file.temperature, of_file.threshold) == (0.25, 0.5)
    notes = comparison_notes(comparison)
    origins = [note for note in notes if note.startswith("temperature and threshold ")]
    by_origin = {
        how: sorted(names.split(", "))
        for how, _, names in (each.partition(": ") for each in origins)
    }
    assert by_origin == {
        "temperature and threshold shipped with the weights": sorted(["shipped", str(file)]),
        "temperature and threshold fitted on the validation images": ["plain"],
    }
    (trained,) = compare(
        ["shipped"], digits, train=TrainingPlan(), columns=["calibration"]
    ).rows  # whose weights are others
    assert trained.measurement is not None and trained.measurement.reliability is not None
    assert trained.measurement.reliability.calibration_shipped is False


def test_models_that_are_trained_now_are_measured_too(digits: Dataset, define: Define) -> None:
    define("likeness")
    comparison = compare(["likeness"], digits, train=TrainingPlan(seeds=2), columns=["calibration"])
    found = comparison.rows[0].measurement
    assert found is not None and found.reliability is not None
    alone = compare(["likeness"], digits, train=TrainingPlan(), columns=["calibration"])
    of_first = alone.rows[0].measurement
    assert of_first is not None
    assert found.reliability == of_first.reliability
    notes = comparison_notes(comparison)
    assert "calibration: of the first seed" in notes
    assert not any("the training has seen" in note for note in notes)
    final = compare(["likeness"], digits, train=TrainingPlan(final=True), columns=["calibration"])
    assert any("the training has seen" in note for note in comparison_notes(final))


def test_letters_are_no_non_digits_where_letters_are_the_classes(folder: Path) -> None:
    files = [DataFile(name, checksum((folder / name).read_bytes())) for name in NAMES]
    with registered(spec(files, folders=(str(folder),))):
        probes = Probes.of(load_dataset("small-letters"), COLUMNS)
    assert probes.non_digits == {}
    assert "since the classes of small-letters are no digits" in probes.measured["non-digits"]


def test_fashion_mnist_is_left_out_where_it_is_not_here(digits: Dataset) -> None:
    how = Probes.of(digits, ["non-digits"]).measured["non-digits"]
    assert how.endswith("`mnistzoo data download --dataset fashion-mnist` brings it")
    assert "pictures of 24 letters" in how


def test_another_data_set_is_read_but_never_downloaded(folder: Path, tmp_path: Path) -> None:
    contents = {name: (folder / name).read_bytes() for name in NAMES}
    files = [DataFile(name, checksum(content)) for name, content in contents.items()]
    with served(contents) as (address, asked):
        there = spec(files, folders=(str(folder),), sources=(address,))
        with registered(there):
            np.testing.assert_array_equal(
                read_images("small-letters"), load_dataset(folder).test.images
            )
        with (
            registered(spec(files, folders=(str(tmp_path),), sources=(address,))),
            pytest.raises(DataError, match="is not in"),
        ):
            read_images("small-letters")
        assert asked == []


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
def test_a_worker_reads_another_data_set() -> None:
    expected = load_dataset("mnist-10k").test.images
    np.testing.assert_array_equal(images_apart("mnist-10k"), expected)
    assert images_apart("no-such-data-set") is None


def test_a_model_in_a_process_of_its_own_has_the_same_figures(
    folder: Path, install_plugin: Callable[..., Path], run_cli: Run
) -> None:
    package = install_plugin("likeness", model_code=_LIKENESS).parent / "likeness"
    np.save(package / "likeness.npy", np.c_[LIKENESS, BIAS])
    done = run_cli(*f"compare likeness --dataset {folder} --columns all --json -".split())
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    found = facts["models"][0]["reliability"]
    expected = measure(likeness, Probes.of(load_dataset(folder), COLUMNS)).to_dict()
    assert found["corruptions"] == expected["corruptions"]
    for name in ("temperature", "threshold", "expected_calibration_error", "accepted_accuracy"):
        assert found[name] == pytest.approx(expected[name], rel=1e-3)
    assert found["non_digits"]["letters"] == pytest.approx(expected["non_digits"]["letters"])
    # The test's own plugins alone: none brings Fashion-MNIST.
    assert found["non_digits"].keys() == {"letters"}
    assert "Fashion-MNIST is left out" in facts["columns"]["non-digits"]


_LIKENESS = """\
from pathlib import Path

import numpy as np
import torch
from torch import nn


def linear():
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    model.register_load_state_dict_post_hook(lambda model, keys: answer(model))
    return model


def answer(model):
    values = torch.from_numpy(np.load(Path(__file__).with_name("likeness.npy")))
    with torch.no_grad():
        model[1].weight.copy_(values[:, :784])
        model[1].bias.copy_(values[:, 784])
"""


def test_there_is_no_other_column(capsys: pytest.CaptureFixture[str]) -> None:
    data = load_dataset("mnist-10k")
    with pytest.raises(ValueError, match="columns has speed, it must be a list of calibration, c"):
        compare(["any"], data, columns=["calibration", "speed"])
    with pytest.raises(ValueError, match="columns has 'calibration', it must be a list"):
        compare(["any"], data, columns="calibration")
    with pytest.raises(SystemExit) as caught:
        main(["compare", "--columns", "calibration,speed"])
    assert caught.value.code == 2
    assert (
        "--columns: there is no column 'speed'; take calibration, coverage, non-digits, "
        "corruptions, or all" in capsys.readouterr().err
    )
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    assert ",".join(COLUMNS) in "".join(capsys.readouterr().out.split())  # wrapped at a hyphen
