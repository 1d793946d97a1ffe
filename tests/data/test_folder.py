"""A folder of one's own with IDX files."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_data import LETTERS, NAMES, arrays, plain

from mnistzoo import load_dataset, write_idx
from mnistzoo.data import DataError, IdxError


def fill(folder: Path, found: list[Any], names: tuple[str, ...] = NAMES) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(names, found, strict=True):
        if array is not None:
            write_idx(folder / name, array)
    return folder


@pytest.mark.parametrize("below", ["", "MNIST/raw"])
@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("dot", ["-idx", ".idx"])
def test_the_four_files_are_found_in_either_spelling_plain_or_gzipped(
    dot: str, ending: str, below: str, tmp_path: Path
) -> None:
    folder = tmp_path / "my scans" / below
    folder.mkdir(parents=True)
    for name, content in plain(arrays()).items():
        packed = gzip.compress(content) if ending else content
        (folder / f"{name.replace('-idx', dot)}{ending}").write_bytes(packed)
    data = load_dataset(tmp_path / "my scans")
    for name, split in zip(NAMES[::2], (data.train_and_validation, data.test), strict=True):
        np.testing.assert_array_equal(split.images, arrays()[NAMES.index(name)])
    assert data.name == "my scans (unverified)" and not data.verified
    assert data.classes == data.train.classes == tuple(map(str, range(26)))
    assert [len(data.train), len(data.validation), len(data.test)] == [96, 8, 52]  # a twelfth
    assert [path.parent for path in map(data.verify, data.files)] == [folder] * 4


def test_it_is_loaded_again_by_its_reference_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "own", arrays())
    monkeypatch.chdir(tmp_path)
    reference = load_dataset("own").reference
    monkeypatch.chdir("/")
    again = load_dataset(reference)
    assert (again.name, len(again.test), again.data_dir) == ("own (unverified)", 52, None)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_dataset("~/own").reference == reference


def test_classes_txt_names_the_classes(tmp_path: Path) -> None:
    folder = fill(tmp_path, arrays())
    (folder / "classes.txt").write_text("\ufeff" + "\n".join(LETTERS) + "\n\n")
    data = load_dataset(folder)
    assert data.classes == data.test.classes == LETTERS


def test_classes_txt_may_lie_beside_the_files_of_torchvision(tmp_path: Path) -> None:
    folder = fill(tmp_path / "MNIST/raw", arrays())
    (folder / "classes.txt").write_text("\n".join(LETTERS))
    assert load_dataset(tmp_path).classes == LETTERS


def test_ten_classes_without_names_are_taken_for_the_digits_which_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path, arrays(classes=10))
    data = load_dataset(tmp_path)
    assert data.spec.weights_from == "mnist"
    (told,) = caplog.messages
    assert "taken for MNIST's digits; name other classes in" in told and "classes.txt" in told
    caplog.clear()
    (tmp_path / "classes.txt").write_text("\n".join("0123456789"))  # yes, the digits
    assert load_dataset(tmp_path).spec.weights_from == "mnist" and not caplog.messages
    (tmp_path / "classes.txt").write_text("\n".join(LETTERS[:10]))
    assert load_dataset(tmp_path).spec.weights_from == "" and not caplog.messages


def test_a_test_set_alone_is_enough_to_evaluate_and_digits_are_digits(tmp_path: Path) -> None:
    images, labels = arrays(classes=3)[2:]
    data = load_dataset(fill(tmp_path, [images, labels.astype(np.int32)], NAMES[2:]))
    assert data.classes == tuple("0123456789") and len(data.test) == 52
    with pytest.raises(DataError, match="has no training images but test images alone"):
        data.read("train")
    assert data.checksums.keys() == set(NAMES[2:])
    alone = load_dataset(fill(tmp_path / "more", arrays()[2:], NAMES[2:]))
    assert len(alone.classes) == 26


def test_a_training_set_alone_has_no_test_images(tmp_path: Path) -> None:
    data = load_dataset(fill(tmp_path, arrays()[:2], NAMES[:2]))
    assert len(data.train) == 96
    with pytest.raises(DataError, match="has no test images but training images alone"):
        data.read("test")


IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = arrays()


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([None, None, TEST_LABELS, TEST_IMAGES], "holds labels and .* images; swap their names"),
        ([None, None, TEST_IMAGES, TEST_LABELS[:50]], r"holds 52 images and .* 50 labels; each"),
        ([None, None, TEST_IMAGES[:, :20], TEST_LABELS], r"uint8 \(52, 20, 28\), expected"),
        ([None, None, TEST_IMAGES / 255, TEST_LABELS], r"are float64 .*, expected uint8"),
        ([None, None, TEST_IMAGES, TEST_LABELS / 1.0], r"labels in .* are float64 \(52,\), exp"),
        ([None, None, TEST_IMAGES, TEST_LABELS.astype("i4") - 1], "go from -1 to 24, expected"),
        ([None, None, TEST_IMAGES, TEST_LABELS.astype("i4") + 300], "go from 300 to 325, expected"),
        ([None, None, TEST_IMAGES[:0], TEST_LABELS[:0]], "holds no images"),
        ([None, None, TEST_IMAGES, None], "but no t10k-labels-idx1-ubyte .* beside it"),
        ([None, LABELS, TEST_IMAGES, TEST_LABELS], "but no train-images-idx3-ubyte .* beside it"),
        ([IMAGES[:1], LABELS[:1], None, None], "a single training image"),
        ([None] * 4, "holds neither t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte nor"),
    ],
)
def test_files_that_do_not_fit_each_other_are_one_sentence(
    found: list[Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=says) as caught:
        load_dataset(fill(tmp_path, found))
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\n".join(LETTERS[:20]), r"label 25, but .* names 20 classes, for labels from 0 to 19"),
        ("a\na\n", "2 names, 1 of them different"),
        ("", "0 names"),
        ("a\nb\x1b[31m\n", "printable"),
        (b"a\n\xe4\n", "not UTF-8"),
    ],
)
def test_a_wrong_classes_txt_is_one_sentence(text: Any, says: str, tmp_path: Path) -> None:
    folder = fill(tmp_path, arrays())
    content = text if isinstance(text, bytes) else text.encode()
    (folder / "classes.txt").write_bytes(content)
    with pytest.raises(DataError, match=says):
        load_dataset(folder)


def test_a_file_that_is_no_idx_file_is_named(tmp_path: Path) -> None:
    folder = fill(tmp_path, arrays())
    (folder / NAMES[1]).write_text("<html>")
    with pytest.raises(IdxError, match=NAMES[1]):
        load_dataset(folder)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (lambda folder: folder / "missing", "there is no data set and no folder"),
        (lambda folder: folder / NAMES[0], "is a file; name the folder that holds it"),
    ],
)
def test_what_is_no_folder_is_called_so(
    name: Callable[[Path], Path], says: str, tmp_path: Path
) -> None:
    fill(tmp_path, arrays())
    for given in (name(tmp_path), str(name(tmp_path))):
        with pytest.raises(DataError, match=says):
            load_dataset(given)
    with pytest.raises(DataError, match="leave --data-dir out"):
        load_dataset(tmp_path, tmp_path)


def test_a_registered_name_comes_before_a_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "mnist-10k", arrays())
    monkeypatch.chdir(tmp_path)
    assert load_dataset("mnist-10k").verified
    assert load_dataset("./mnist-10k").name == "mnist-10k (unverified)"
