"""Another number of classes goes through every room: none assumes ten, or digits."""

import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from first_party import first_party
from PIL import Image
from small_data import LETTERS, NAMES, arrays, checksum, plain, registered, spec
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from mnistzoo import (
    DataFile,
    Dataset,
    ModelSpec,
    Predictor,
    Recipe,
    Split,
    Weights,
    compare,
    create_model,
    evaluate,
    export_onnx,
    load_dataset,
    load_model,
    train,
)
from mnistzoo.classifier import is_module
from mnistzoo.cli import main
from mnistzoo.comparison import TrainingPlan
from mnistzoo.data import DataError
from mnistzoo.evaluation import Evaluation, EvaluationError
from mnistzoo.models import weights_path
from mnistzoo.modules import ModelFailed
from mnistzoo.registry import ModelError, get_spec
from mnistzoo.report.text import comparison_notes, comparison_table, show_evaluation
from mnistzoo.shipping import ship
from mnistzoo.testing.runner import count, run_check
from mnistzoo.training import TrainingJob, run_training
from mnistzoo.weights import read_metadata, save_weights

Register = Callable[..., None]

_CODE = """\
from torch import nn


def net(num_classes=10):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes))


def ten():
    return net()
"""
RECIPE = Recipe(epochs=2, batch_size=16, optimizer="adam", learning_rate=0.01)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A package with the module letters_net, and the IDX files of 26 letters beside it."""
    path = tmp_path_factory.mktemp("letters")
    (path / "letters_net.py").write_text(_CODE)
    for name, content in plain(arrays()).items():
        (path / name).write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(path)
        yield path


@pytest.fixture
def letters(folder: Path) -> Iterator[Dataset]:
    files = [DataFile(name, checksum(content)) for name, content in plain(arrays()).items()]
    with registered(spec(files, folders=(str(folder),))):
        yield load_dataset("small-letters")


@pytest.fixture
def define(register: Register) -> Callable[..., ModelSpec]:
    def defining(name: str = "lettersnet", factory: str = "net", **changes: object) -> ModelSpec:
        declared: dict[str, object] = {
            "name": name,
            "summary": "Softmax regression",
            "factory": f"letters_net:{factory}",
            "num_params": 7850,
            "recipes": {"default": RECIPE},
            "license": "MIT",
            "source": "the tests",
        }
        of_model = ModelSpec(**declared | changes)  # type: ignore[arg-type]
        register(of_model, plugin=name)
        return of_model

    return defining


@pytest.fixture
def with_weights(
    define: Callable[..., ModelSpec], letters: Dataset, folder: Path
) -> tuple[ModelSpec, float]:
    """A model that ships weights trained on the letters, beside some trained on MNIST."""
    define()
    declared = []
    accuracies = []
    for data in (load_dataset("mnist-10k"), letters):
        result = train("lettersnet", data.train[:64], RECIPE, seed=1)
        path = result.save(folder / f"{data.name}.safetensors")
        accuracies.append(evaluate(result.model, data.test).accuracy)
        declared.append(
            Weights(
                file=path.name,
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                metrics={"test_accuracy": accuracies[-1]},
                measured="by a test",
                dataset="mnist" if data.name == "mnist-10k" else data.name,
            )
        )
    return define(weights=declared[0], further_weights=(declared[1],)), accuracies[1]


def test_a_model_is_trained_for_the_classes_of_the_data(
    letters: Dataset, define: Callable[..., ModelSpec]
) -> None:
    define()
    result = train("lettersnet", letters, seed=3)
    assert result.model[1].out_features == 26
    told = result.provenance
    assert (told.dataset, tuple(told.classes)) == ("small-letters", LETTERS)
    assert told.checksums == letters.checksums
    evaluation = evaluate(result.model, letters.test)
    assert evaluation.confusion.shape == (26, 26) and evaluation.classes == LETTERS
    assert len(evaluation.to_dict()["per_class_accuracy"]) == 26
    loaded = evaluate(result.model, DataLoader(letters.test, batch_size=8))
    np.testing.assert_array_equal(loaded.confusion, evaluation.confusion)
    assert loaded.classes == LETTERS
    assert evaluate(result.model, _Pairs(letters.test)).classes == tuple(map(str, range(26)))
    ten = train("lettersnet", load_dataset("mnist-10k").train[:64], epochs=1)
    assert ten.model[1].out_features == 10
    with pytest.raises(EvaluationError, match=r"\(52, 10\), expected \(52, 26\), one a class"):
        evaluate(ten.model, letters.test)
    with pytest.raises(DataError, match="the labels go from 0 to 25, expected 0 to 9"):
        evaluate(ten.model, _Pairs(letters.test))


class _Pairs(TorchDataset[Any]):
    """A data set that says nothing of its classes."""

    def __init__(self, split: Split) -> None:
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> Any:
        return self.split[index]


def test_a_factory_without_num_classes_is_for_ten(
    letters: Dataset, define: Callable[..., ModelSpec]
) -> None:
    define("fixednet", "ten")
    assert train("fixednet", load_dataset("mnist-10k").train[:32], epochs=1).complete
    assert create_model("fixednet", num_classes=10) is not None
    says = "'fixednet' of fixednet is made for 10 classes, not for 26; take a data set of 10, or "
    with pytest.raises(ModelError, match=f"{says}add num_classes to the arguments"):
        train("fixednet", letters)


def test_a_factory_of_ones_own_is_called_with_the_number_of_classes(letters: Dataset) -> None:
    from letters_net import net, ten  # type: ignore[import-not-found]

    assert train(net, letters, RECIPE).model[1].out_features == 26
    split = letters.train[:16]
    assert train(net, split, RECIPE).provenance.classes == list(LETTERS)
    with pytest.raises(ModelFailed, match="a training step"):
        train(ten, letters, RECIPE)


@pytest.mark.parametrize("name", first_party())
def test_every_architecture_of_this_repository_takes_another_number(name: str) -> None:
    model = create_model(name, num_classes=26)
    if is_module(model):  # others learn it from the labels
        assert model.eval()(torch.zeros(2, 1, 28, 28)).shape == (2, 26)


def test_num_params_is_checked_at_the_default_arguments(
    letters: Dataset, define: Callable[..., ModelSpec]
) -> None:
    define(num_params=785)
    for arguments in ({}, {"num_classes": 10}):
        with pytest.raises(ModelError, match="declares 785 parameters but has 7,850"):
            create_model("lettersnet", **arguments)
    assert create_model("lettersnet", num_classes=26) is not None


def test_compare_trains_and_names_classes_and_data_set_in_every_output(
    folder: Path, letters: Dataset, define: Callable[..., ModelSpec], tmp_path: Path
) -> None:
    define()
    own = load_dataset(folder)
    for data, name in ((letters, "small-letters"), (own, f"{folder.name} (unverified)")):
        comparison = compare(["lettersnet"], data, train=TrainingPlan(seeds=2), out=tmp_path)
        (row,) = comparison.rows
        assert row.error is None and row.accuracy is not None
        facts = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
        assert facts["dataset"]["name"] == name
        assert facts["dataset"]["verified"] == (data is letters)
        assert facts["dataset"]["classes"] == list(data.classes)
        assert len(facts["models"][0]["per_class_accuracy"]) == 26
        (worst,) = (
            column.value(row)
            for column in comparison_table(comparison).columns
            if column.heading == "worst class"
        )
        assert worst.partition(":")[0] in data.classes
        notes = " ".join(comparison_notes(comparison))
        assert f"trained now on {name}" in notes
        assert ("official" in notes) == (data is letters)
        for suffix in (".csv", ".md", ".json"):
            comparison.save(tmp_path / f"report{suffix}")
            assert name in (tmp_path / f"report{suffix}").read_text()
        (record,) = csv.DictReader((tmp_path / "report.csv").read_text().splitlines())
        assert record["dataset"] == name
        assert {f"accuracy_{each}" for each in data.classes} <= record.keys()
    slug = f"{folder.name}-unverified"
    assert {path.name for path in tmp_path.glob("*.safetensors")} == {
        f"lettersnet-default-seed{seed}-{name}.safetensors"
        for seed in (0, 1)
        for name in ("small-letters", slug)
    }


def test_shipped_weights_are_those_that_were_trained_on_the_data_set(
    with_weights: tuple[ModelSpec, float], letters: Dataset, folder: Path
) -> None:
    _, accuracy = with_weights
    for asked in ("small-letters", letters):
        assert evaluate(load_model("lettersnet", dataset=asked), letters.test).accuracy == accuracy
    ten = load_model("lettersnet")
    assert evaluate(ten, load_dataset("mnist-10k").test).accuracy > 0.3
    (row,) = compare(["lettersnet"], letters).rows
    assert (row.accuracy, row.error) == (accuracy, None)


def test_where_none_are_shipped_it_is_said_how_to_train(
    letters: Dataset, folder: Path, define: Callable[..., ModelSpec]
) -> None:
    define()
    comparison = compare(["lettersnet"], letters)
    (row,) = comparison.rows
    assert row.error == (
        "model 'lettersnet' ships no weights trained on small-letters; `mnistzoo compare --train "
        "lettersnet --dataset small-letters` trains it now, and `mnistzoo train lettersnet "
        "--dataset small-letters` saves weights for `--weights`"
    )
    assert comparison_notes(comparison) == [f"lettersnet: {row.error}"]
    with pytest.raises(ModelError, match=rf"trained on {folder.name} \(unverified\); .*{folder}"):
        load_model("lettersnet", dataset=folder)


def test_where_some_of_another_data_set_are_shipped_it_is_said_how_to_have_them(
    with_weights: tuple[ModelSpec, float], define: Callable[..., ModelSpec]
) -> None:
    both, _ = with_weights
    define("lettersonly", weights=both.further_weights[0])
    says = (
        r"no weights trained on mnist \(with --dataset small-letters it has weights\); `mnistzoo "
    )
    with pytest.raises(ModelError, match=says):
        load_model("lettersonly")


def test_digits_of_ones_own_are_evaluated_with_the_weights_of_mnist(
    with_weights: tuple[ModelSpec, float], tmp_path: Path
) -> None:
    images, labels = load_dataset("mnist-10k").test.images, load_dataset("mnist-10k").test.labels
    for name, content in list(plain([images, labels, images, labels]).items())[2:]:
        (tmp_path / name).write_bytes(content)
    own = load_dataset(tmp_path)
    (row,) = compare(["lettersnet"], own).rows
    assert row.accuracy == evaluate(load_model("lettersnet"), own.test).accuracy


def test_exported_files_know_their_classes(
    with_weights: tuple[ModelSpec, float],
    letters: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    done = export_onnx("lettersnet", "letters.onnx", dataset="small-letters")
    assert (done.dataset, done.images, done.fp32.changed) == ("small-letters", 52, 0)
    predictor = Predictor("letters.onnx")
    assert predictor.labels == LETTERS
    assert json.loads(predictor.metadata["labels"]) == list(LETTERS)
    assert predictor.metadata["dataset"] == "small-letters"
    assert predictor.probabilities(letters.test.images[:3]).shape == (3, 26)
    Image.fromarray(load_dataset("mnist-10k").test.images[0]).resize((280, 280)).save("x.png")
    found = predictor.predict("x.png")
    assert (found.label, len(found.probabilities)) == (LETTERS[found.digit], 26)
    for line in ("--model letters.onnx", "--model lettersnet --dataset small-letters"):
        with pytest.raises(SystemExit) as caught:
            main(["predict", "x.png", *line.split(), "--json", "-"])
        assert caught.value.code == 0
        (picture,) = json.loads(capsys.readouterr().out)["predictions"]
        assert picture["text"] == picture["label"] == found.label


def test_a_wide_confusion_matrix_becomes_a_column(capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.arange(26)
    logits = np.eye(26, dtype=np.float32)[labels]
    logits[3] = logits[7]
    show_evaluation(Evaluation.from_logits(logits, labels, LETTERS), "letters")
    shown = capsys.readouterr().out
    assert "d as h (1)" in shown
    assert ["3", "d", "0.00", "h", "(1)"] in [line.split() for line in shown.splitlines()]
    assert max(map(len, shown.splitlines())) <= 80


def test_the_checks_look_at_the_data_of_the_weights(
    with_weights: tuple[ModelSpec, float], define: Callable[..., ModelSpec]
) -> None:
    both, _ = with_weights
    alone = define(
        "lettersalone", weights=both.further_weights[0], further_weights=(), license="MIT"
    )
    assert alone.metrics_on("mnist") == {}
    assert count([run_check("lettersalone", "metadata")]) == "1 check: 1 passed"  # needs no image
    for model in ("lettersnet", "lettersalone"):
        for check in ("parameters", "output", "training_mode", "weights", "metrics"):
            result = run_check(model, check)
            assert result.status == "passed", result
    for quick, images in ((False, 52), (True, 6)):
        results = [run_check("lettersalone", each, quick=quick) for each in ("output", "weights")]
        assert count(results) == f"2 checks on {images} test images: 2 passed"


def test_what_ship_declares_passes_the_checks_whatever_the_number_of_test_images(
    letters: Dataset, define: Callable[..., ModelSpec], tmp_path: Path
) -> None:
    """Of 52 images nearly every share has more decimals than are declared."""
    define()
    result = run_training(TrainingJob(model="lettersnet", dataset="small-letters", device="cpu"))
    result.with_test(evaluate(result.model, letters.test)).save(tmp_path / "a.safetensors")
    shipped = ship([tmp_path / "a.safetensors"]).weights
    define(weights=shipped)
    told = read_metadata(weights_path(get_spec("lettersnet")))["metrics"]["test_accuracy"]
    assert told != shipped.metrics["test_accuracy"]
    for check in ("weights", "metrics"):
        of_check = run_check("lettersnet", check)
        assert of_check.status == "passed", of_check


def test_a_folder_of_ones_own_goes_through_the_commands(
    folder: Path,
    define: Callable[..., ModelSpec],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    define()
    monkeypatch.chdir(tmp_path)
    name = f"{folder.name} (unverified)"

    def facts(line: str) -> Any:
        with pytest.raises(SystemExit) as caught:
            main([*line.split(), "--dataset", str(folder), "--json", "-"])
        assert caught.value.code == 0
        return json.loads(capsys.readouterr().out)

    told = facts("train lettersnet --checkpoint run")
    assert (told["dataset"], len(told["classes"]), told["evaluation"]["images"]) == (name, 26, 52)
    assert told["file"] == f"lettersnet-default-seed0-{folder.name}-unverified.safetensors"
    assert told["checksums"].keys() == set(NAMES)
    found = facts(f"evaluate lettersnet --weights {told['file']}")
    assert (found["dataset"], found["accuracy"]) == (name, told["metrics"]["test_accuracy"])
    exported = facts(f"export lettersnet --weights {told['file']} -o net.onnx")
    assert (exported["dataset"], exported["images"]) == (name, 52)
    with pytest.raises(SystemExit) as caught:
        main(["data", "verify", "--dataset", str(folder)])
    lines = capsys.readouterr().out.splitlines()
    assert (caught.value.code, [line.split()[-1] for line in lines]) == (0, ["unverified"] * 4)


def test_the_parameters_of_a_row_are_those_that_were_measured_not_the_declared_ones_of_ten_classes(
    define: Callable[..., ModelSpec], folder: Path, tmp_path: Path
) -> None:
    for name, content in plain(arrays(classes=3)).items():
        (tmp_path / name).write_bytes(content)
    define()
    found = compare(["lettersnet"], load_dataset(tmp_path), train=TrainingPlan(), device="cpu")
    assert found.rows[0].error is None
    assert found.to_dict()["models"][0]["params"] == 785 * 3
    shown = [column.value(found.rows[0]) for column in comparison_table(found).columns]
    assert "2,355" in shown


def test_a_file_of_other_classes_is_refused_with_what_to_do(
    define: Callable[..., ModelSpec], letters: Dataset, tmp_path: Path
) -> None:
    define()
    result = train("lettersnet", letters, epochs=1)
    weights, graph = tmp_path / "a.safetensors", tmp_path / "a.onnx"
    result.save(weights)
    export_onnx("lettersnet", graph, weights=weights, dataset=letters)
    says = (
        r"has 26 classes \(a, b, c, d, e, \.\.\.\), but mnist-10k has 10; name the data set that "
        "it was trained on, small-letters, with --dataset small-letters "
    )
    digits = load_dataset("mnist-10k")
    for file in (weights, graph):
        assert compare([str(file)], letters, device="cpu").rows[0].error is None
        (row,) = compare([str(file)], digits, device="cpu").rows
        assert re.search(says, row.error or "")
    for file in (weights, graph):
        with pytest.raises(ModelError, match=says):
            load_model("lettersnet", file, digits)
    says = r"a, b, c, d, e, \.\.\.\), but the data to train on has 10; begin with weights for 10 "
    with pytest.raises(ModelError, match=says):
        train("lettersnet", digits, epochs=1, weights=weights)


@pytest.fixture
def ten_letters(folder: Path) -> Iterator[Dataset]:
    """As many classes as MNIST has, and others."""
    files = plain(arrays(classes=10))
    path = folder / "ten"
    path.mkdir(exist_ok=True)
    for name, content in files.items():
        (path / name).write_bytes(content)
    with registered(
        spec(
            [DataFile(name, checksum(content)) for name, content in files.items()],
            name="ten-letters",
            classes=LETTERS[:10],
            folders=(str(path),),
        ),
        plugin="ten",
    ):
        yield load_dataset("ten-letters")


def test_a_file_of_as_many_other_classes_is_refused_with_what_to_do(
    define: Callable[..., ModelSpec],
    ten_letters: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    define()
    train("lettersnet", ten_letters, epochs=1).save("a.safetensors")
    export_onnx("lettersnet", "a.onnx", weights="a.safetensors", dataset=ten_letters)
    Image.fromarray(load_dataset("mnist-10k").test.images[0]).resize((280, 280)).save("x.png")
    says = (
        " has 10 classes (a, b, c, d, e, ...), but mnist has others (0, 1, 2, 3, 4, ...); name the "
        "data set that it was trained on, ten-letters, with --dataset ten-letters (in Python, "
        "dataset=)\n"
    )
    for line in (
        "evaluate lettersnet --weights a.safetensors",
        "evaluate lettersnet --weights a.onnx",
        "evaluate a.safetensors",
        "evaluate a.onnx",
        "export lettersnet --weights a.safetensors -o b.onnx",
        "predict x.png --model lettersnet --weights a.safetensors",
    ):
        for dataset, code in (("mnist", 1), ("ten-letters", 0)):
            with pytest.raises(SystemExit) as caught:
                main([*line.split(), "--dataset", dataset])
            said = capsys.readouterr().err
            assert (caught.value.code, said.endswith(says)) == (code, code == 1), (line, said)
    for file in ("a.safetensors", "a.onnx"):
        assert compare([file], ten_letters, device="cpu").rows[0].error is None
        (row,) = compare([file], load_dataset("mnist-10k"), device="cpu").rows
        assert "with --dataset ten-letters" in (row.error or "")
    digits = train("lettersnet", load_dataset("mnist-10k"), epochs=1, weights="a.safetensors")
    digits.save("b.safetensors")
    assert read_metadata("b.safetensors")["classes"] == list("0123456789")


def test_weights_go_on_working_wherever_the_classes_are_the_same_or_not_named(
    define: Callable[..., ModelSpec], ten_letters: Dataset, tmp_path: Path
) -> None:
    define()
    mine = tmp_path / "mine"
    mine.mkdir()
    for name, content in plain(arrays(classes=10)).items():
        (mine / name).write_bytes(content)
    names = tmp_path / "mine" / "classes.txt"
    file = tmp_path / "a.safetensors"
    train("lettersnet", ten_letters, epochs=1).save(file)
    with pytest.raises(ModelError, match=rf"--dataset ten-letters .*, or write their .* {names}"):
        load_model("lettersnet", file, mine)
    names.write_text("\n".join(LETTERS[:10]))
    load_model("lettersnet", file, mine)
    train("lettersnet", load_dataset(mine), epochs=1).save(file)
    load_model("lettersnet", file, ten_letters)
    names.write_text("\n".join([*LETTERS[:9], "x"]))
    says = (  # it may be of another folder of that name
        r"\(\.\.\., j\), but mine \(unverified\) has others \(\.\.\., x\); name the data set "
        r"that it was trained on, mine \(unverified\), with --dataset "
    )
    with pytest.raises(ModelError, match=says):
        load_model("lettersnet", file, mine)

    # Trained on a part of MNIST; on arrays without names; by 0.1, which named none; elsewhere.
    few = load_dataset("mnist-10k").train[:64]
    train("lettersnet", load_dataset("mnist-10k"), epochs=1).save(file)
    load_model("lettersnet", file, "mnist")
    told = read_metadata(file)
    del told["classes"]
    save_weights(load_model("lettersnet", file), file, told)
    load_model("lettersnet", file, "mnist")
    with pytest.raises(ModelError, match="on, mnist-10k, with --dataset mnist-10k"):
        load_model("lettersnet", file, ten_letters)
    model = train("lettersnet", Split(few.images, few.labels), epochs=1)
    model.save(file)
    load_model("lettersnet", file, ten_letters)
    torch.save(model.model.state_dict(), file.with_suffix(".pth"))
    load_model("lettersnet", file.with_suffix(".pth"), ten_letters)
    for metadata in ({}, {"model": "lettersnet"}):
        save_weights(model.model, file, metadata)
        load_model("lettersnet", file, ten_letters)
    export_onnx("lettersnet", tmp_path / "a.onnx", weights=file)
    graph = onnx.load(tmp_path / "a.onnx")
    del graph.metadata_props[:]
    onnx.save(graph, tmp_path / "a.onnx")
    load_model("lettersnet", tmp_path / "a.onnx", ten_letters)
