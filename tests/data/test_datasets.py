"""The data sets: their splits, and where their files are looked for."""

import dataclasses
import gzip
import hashlib
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mnistzoo.data import (
    DataError,
    Dataset,
    IdxError,
    Split,
    list_datasets,
    load_dataset,
    read_idx,
    write_idx,
)
from mnistzoo.data.datasets import cache_dir

# As published; from the SHA256SUMS that go with the original files.
OFFICIAL_TEST_SET = {
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
TRAIN_LABELS = "train-labels-idx1-ubyte"

SHIPPED = {
    file.name: load_dataset("mnist-10k").locate(file) for file in load_dataset("mnist-10k").files
}


def find_full_mnist() -> Path | None:
    named = os.environ.get("MNISTZOO_DATA_DIR")
    beside = Path(__file__).parents[3] / "shared" / "mnist"
    for folder in (Path(named).absolute(), beside) if named else (beside,):
        if any(folder.glob("train-images*")):
            return folder
    return None


FULL_MNIST = find_full_mnist() or Path("missing")
needs_full_mnist = pytest.mark.skipif(
    not FULL_MNIST.exists(),
    reason="the full MNIST is neither in MNISTZOO_DATA_DIR nor in ../shared/mnist",
)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without data, with an empty cache and no network."""
    for name in ("cwd", "cache", "no-wheels"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("MNISTZOO_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("MNISTZOO_DATA_DIR", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "no-wheels"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return tmp_path


def test_a_data_set_is_shown_by_its_name_without_being_read(nowhere: Path) -> None:
    assert repr(load_dataset("mnist")) == "Dataset('mnist')"


def assert_same(found: Split, expected: Split) -> None:
    np.testing.assert_array_equal(found.images, expected.images)
    np.testing.assert_array_equal(found.labels, expected.labels)


def link_full_mnist(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for source in FULL_MNIST.glob("*ubyte*"):
        (folder / source.name).symlink_to(source)


# mnist-10k ships inside the package.


def test_the_splits_of_mnist_10k_have_their_sizes() -> None:
    dataset = load_dataset("mnist-10k")
    splits = (dataset.train, dataset.validation, dataset.train_and_validation, dataset.test)
    assert [len(split) for split in splits] == [9_000, 1_000, 10_000, 10_000]
    for split in splits:
        assert split.images.shape == (len(split), 28, 28)
        assert split.labels.shape == (len(split),)
        assert split.images.dtype == split.labels.dtype == np.uint8
        assert not split.images.flags.writeable
        assert not split.labels.flags.writeable


def test_validation_is_the_last_1000_training_images() -> None:
    dataset = load_dataset("mnist-10k")
    both = dataset.train_and_validation
    assert_same(dataset.train, Split(both.images[:9_000], both.labels[:9_000]))
    assert_same(dataset.validation, Split(both.images[9_000:], both.labels[9_000:]))


def test_images_are_ink_on_paper() -> None:
    images = load_dataset("mnist-10k").train_and_validation.images
    assert (images.min(), images.max()) == (0, 255)
    assert images[:, 0, :].max() == 0, "the border is paper"
    assert 0.1 < images.mean() / 255 < 0.2, "most of an image is paper"


def test_each_digit_is_there_as_often_as_in_mnist() -> None:
    dataset = load_dataset("mnist-10k")
    train = np.bincount(dataset.train_and_validation.labels)
    test = np.bincount(dataset.test.labels)
    assert train.tolist() == [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978]
    assert test.tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert dataset.train.labels[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]


@pytest.mark.parametrize("name", OFFICIAL_TEST_SET)
def test_the_shipped_test_set_is_the_official_one(name: str) -> None:
    content = gzip.decompress(SHIPPED[name].read_bytes())
    assert hashlib.sha256(content).hexdigest() == OFFICIAL_TEST_SET[name]


@pytest.mark.parametrize("name", ["mnist", "mnist-10k"])
def test_both_data_sets_are_checked_against_the_official_test_set(name: str) -> None:
    expected = {file: f"sha256:{digits}" for file, digits in OFFICIAL_TEST_SET.items()}
    assert expected.items() <= load_dataset(name).checksums.items()


def test_the_licence_ships_beside_the_files() -> None:
    for path in SHIPPED.values():
        notice = (path.parent / "NOTICE").read_text(encoding="utf-8")
        assert "Yann LeCun, Corinna Cortes and Christopher J. C. Burges" in notice
        assert "https://creativecommons.org/licenses/by-sa/3.0/" in notice


def test_mnist_10k_needs_neither_folder_nor_network(nowhere: Path) -> None:
    dataset = load_dataset("mnist-10k")
    folder = dataset.download()
    assert {dataset.verify(file).parent for file in dataset.files} == {folder}
    assert list((nowhere / "cache").iterdir()) == []


def test_mnist_10k_takes_no_data_dir(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mnist-10k ships inside its package.*--data-dir"):
        load_dataset("mnist-10k", tmp_path)


def test_mnist_10k_does_not_look_at_mnistzoo_data_dir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MNISTZOO_DATA_DIR", str(tmp_path))
    assert len(load_dataset("mnist-10k").test) == 10_000


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    for name, near in (("mnits", "did you mean 'mnist'? "), ("cifar", "")):
        with pytest.raises(DataError) as caught:
            load_dataset(name)
        assert str(caught.value) == (
            f"there is no data set and no folder {name!r}; {near}`mnistzoo datasets` lists those "
            "installed"
        )
    assert {"mnist", "mnist-10k"} <= set(list_datasets())


# A data directory that is named is the only place.


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("dot", ["-idx", ".idx"])
def test_the_files_of_a_data_dir_are_found_under_both_namings_plain_or_gzipped(
    tmp_path: Path, dot: str, ending: str
) -> None:
    for name in OFFICIAL_TEST_SET:
        content = SHIPPED[name].read_bytes()
        path = tmp_path / f"{name.replace('-idx', dot)}{ending}"
        path.write_bytes(content if ending else gzip.decompress(content))
    dataset = load_dataset("mnist", tmp_path)
    images, labels = dataset.files[2:]
    assert dataset.verify(images) == tmp_path / f"t10k-images{dot}3-ubyte{ending}"
    assert dataset.verify(labels) == tmp_path / f"t10k-labels{dot}1-ubyte{ending}"
    assert_same(dataset.test, load_dataset("mnist-10k").test)


def test_a_data_dir_without_the_files_is_an_error_never_a_fallback(nowhere: Path) -> None:
    shutil.copy(SHIPPED["t10k-images-idx3-ubyte"], nowhere / "cache")
    shutil.copy(SHIPPED["t10k-labels-idx1-ubyte"], nowhere / "cache")
    dataset = load_dataset("mnist", nowhere / "cwd")
    with pytest.raises(DataError) as caught:
        _ = dataset.test
    for part in (str(nowhere / "cwd"), "mnistzoo data download", "--dataset mnist-10k"):
        assert part in str(caught.value)
    assert str(nowhere / "cache") not in str(caught.value)
    with pytest.raises(DataError):
        dataset.verify(dataset.files[2])


def test_a_data_dir_is_not_looked_at_before_a_split_is_used(tmp_path: Path) -> None:
    dataset = load_dataset("mnist", tmp_path / "missing")
    with pytest.raises(DataError, match="missing"):
        _ = dataset.train


def test_a_data_dir_with_other_content_is_an_error_with_the_checksum(tmp_path: Path) -> None:
    shutil.copy(SHIPPED["t10k-images-idx3-ubyte"], tmp_path)
    path = tmp_path / "t10k-labels-idx1-ubyte"
    write_idx(path, read_idx(SHIPPED["t10k-labels-idx1-ubyte"])[::-1])
    dataset = load_dataset("mnist", tmp_path)
    expected = f"{path} is not the published.*{OFFICIAL_TEST_SET['t10k-labels-idx1-ubyte']}"
    with pytest.raises(DataError, match=expected):
        _ = dataset.test
    with pytest.raises(DataError, match=expected):
        dataset.verify(dataset.files[3])


def test_a_data_dir_with_no_idx_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "t10k-images-idx3-ubyte"
    path.write_text("<html>")
    with pytest.raises(IdxError, match=str(path)):
        _ = load_dataset("mnist", tmp_path).test


def test_mnistzoo_data_dir_is_the_data_dir(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNISTZOO_DATA_DIR", str(nowhere / "cwd"))
    with pytest.raises(DataError, match=str(nowhere / "cwd")):
        _ = load_dataset("mnist").test
    for name in OFFICIAL_TEST_SET:
        shutil.copy(SHIPPED[name], nowhere / "cwd")
    dataset = load_dataset("mnist")
    assert_same(dataset.test, load_dataset("mnist-10k").test)
    assert dataset.locate(dataset.files[2]).parent == nowhere / "cwd"


def test_an_empty_mnistzoo_data_dir_is_none(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNISTZOO_DATA_DIR", "")
    assert len(load_dataset("mnist").test) == 10_000


def test_a_data_dir_that_is_given_wins_over_mnistzoo_data_dir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MNISTZOO_DATA_DIR", str(tmp_path / "elsewhere"))
    shutil.copy(SHIPPED["t10k-images-idx3-ubyte"], tmp_path)
    dataset = load_dataset("mnist", tmp_path)
    assert dataset.locate(dataset.files[2]).parent == tmp_path


# Without one: the package, ./data, the cache, a download.


def test_the_test_split_of_mnist_needs_neither_folder_nor_network(nowhere: Path) -> None:
    assert_same(load_dataset("mnist").test, load_dataset("mnist-10k").test)
    assert list((nowhere / "cache").iterdir()) == []


def test_training_images_that_are_nowhere_are_an_error_with_all_places(nowhere: Path) -> None:
    dataset = load_dataset("mnist")
    with pytest.raises(DataError) as caught:
        dataset.locate(dataset.files[0])
    for part in (nowhere / "cwd" / "data", nowhere / "cache", "mnistzoo data download"):
        assert str(part) in str(caught.value)


def test_a_download_without_a_network_says_what_to_do(nowhere: Path) -> None:
    with pytest.raises(DataError, match=r"tried https://.*pip could not.*--dataset mnist-10k"):
        _ = load_dataset("mnist").train
    assert list((nowhere / "cache").iterdir()) == []


def test_mnistzoo_cache_dir_moves_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MNISTZOO_CACHE_DIR", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("MNISTZOO_CACHE_DIR")
    assert cache_dir().name == "mnistzoo" and cache_dir() != tmp_path


# With the full MNIST.


@needs_full_mnist
def test_the_splits_of_mnist_have_their_sizes() -> None:
    dataset = load_dataset("mnist", FULL_MNIST)
    splits = (dataset.train, dataset.validation, dataset.train_and_validation, dataset.test)
    assert [len(split) for split in splits] == [55_000, 5_000, 60_000, 10_000]
    assert_same(dataset.validation, dataset.train_and_validation[55_000:])


@needs_full_mnist
def test_mnist_10k_is_the_first_10000_of_mnist_and_its_test_set() -> None:
    full, small = load_dataset("mnist", FULL_MNIST), load_dataset("mnist-10k")
    assert_same(small.train_and_validation, full.train[:10_000])
    assert_same(small.test, full.test)


@needs_full_mnist
def test_the_folder_data_of_the_working_directory_is_found(nowhere: Path) -> None:
    link_full_mnist(nowhere / "cwd" / "data")
    assert len(load_dataset("mnist").train) == 55_000
    assert list((nowhere / "cache").iterdir()) == []


@needs_full_mnist
@pytest.mark.parametrize("wrong", ["another array", "no IDX file"])
def test_a_wrong_file_in_the_folder_data_is_passed_over_for_the_cache(
    nowhere: Path, caplog: pytest.LogCaptureFixture, wrong: str
) -> None:
    link_full_mnist(nowhere / "cache")
    path = nowhere / "cwd" / "data" / TRAIN_LABELS
    path.parent.mkdir()
    if wrong == "another array":
        write_idx(path, np.zeros(60_000, np.uint8))
    else:
        path.write_text("<html>")
    with caplog.at_level(logging.WARNING, "mnistzoo"):
        train = load_dataset("mnist").train
    assert_same(train, load_dataset("mnist", FULL_MNIST).train)
    assert [f"data/{TRAIN_LABELS}" in record.getMessage() for record in caplog.records] == [True]


@needs_full_mnist
def test_a_data_dir_that_is_complete_is_not_downloaded_again(nowhere: Path) -> None:
    link_full_mnist(nowhere / "cwd" / "data")
    assert load_dataset("mnist", "data").download() == Path("data")


@needs_full_mnist
def test_a_wrong_file_in_a_data_dir_is_downloaded_again(
    nowhere: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = nowhere / "cwd"
    link_full_mnist(folder)
    (folder / TRAIN_LABELS).write_text("<html>")
    before = sorted(folder.iterdir())
    with pytest.raises(DataError, match="could not be downloaded"):
        load_dataset("mnist", folder).download()
    assert str(folder / TRAIN_LABELS) in caplog.text
    assert sorted(folder.iterdir()) == before


# Where torchvision and people put the files.


@pytest.mark.parametrize("named", ["data_dir", "variable", "./data"])
def test_what_torchvision_downloaded_is_found(
    named: str, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = nowhere / "cwd" / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in OFFICIAL_TEST_SET:
        write_idx(raw / f"{name}.gz", read_idx(SHIPPED[name]), compress=True)
        (raw / name).symlink_to(SHIPPED[name])  # torchvision keeps both
    if named == "variable":
        monkeypatch.setenv("MNISTZOO_DATA_DIR", "data")
    data = load_dataset("mnist", "data" if named == "data_dir" else None)
    assert len(data.test) == 10_000
    if named == "./data":  # the test set ships, so that the package itself comes first
        data = Dataset(dataclasses.replace(data.spec, folders=()))
    found = {file.name: data.locate(file).absolute() for file in data.files[2:]}
    assert found == {name: raw / name for name in OFFICIAL_TEST_SET}


def test_the_files_themselves_come_before_those_of_torchvision(tmp_path: Path) -> None:
    labels = load_dataset("mnist-10k").files[3]
    for folder in (tmp_path / "MNIST" / "raw", tmp_path):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / labels.name).write_bytes(SHIPPED[labels.name].read_bytes())
        assert load_dataset("mnist", tmp_path).locate(labels) == folder / labels.name


@pytest.mark.parametrize(
    ("name", "says"),
    [("misspelt", "does not exist"), ("file", "is a file, not a folder")],
)
def test_a_data_dir_that_is_none_is_called_so(name: str, says: str, nowhere: Path) -> None:
    (nowhere / "file").touch()
    with pytest.raises(DataError, match=says) as caught:
        load_dataset("mnist", nowhere / name).read("test")
    assert str(nowhere / name) in str(caught.value)
    assert "is not in" not in str(caught.value)


def test_a_tilde_is_the_home_folder(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(nowhere / "home"))
    (nowhere / "home" / "data").mkdir(parents=True)
    for name in OFFICIAL_TEST_SET:
        (nowhere / "home" / "data" / name).symlink_to(SHIPPED[name])
    assert len(load_dataset("mnist", "~/data").test) == 10_000
    monkeypatch.setenv("MNISTZOO_DATA_DIR", "~/data")
    assert len(load_dataset("mnist").test) == 10_000
    monkeypatch.setenv("MNISTZOO_CACHE_DIR", "~/cache")
    assert cache_dir() == nowhere / "home" / "cache"
    with pytest.raises(DataError, match="could not be downloaded"):
        load_dataset("mnist", "~/new").download()
    assert (nowhere / "home" / "new").is_dir()
    assert list((nowhere / "cwd").iterdir()) == []


def test_a_split_is_a_torch_data_set() -> None:
    test = load_dataset("mnist-10k").test
    image, label = test[3]
    assert (image.dtype, image.shape, type(label)) == (torch.float32, (1, 28, 28), int)
    assert torch.equal(image, torch.tensor(test.images[3]).unsqueeze(0) / 255)
    assert label == test.labels[3]
    last, _ = test[-1]
    assert torch.equal(last, test[np.int64(9999)][0])
    with pytest.raises(IndexError):
        test[10_000]
    assert [len(test[:5]), len(test[9_990:]), len(test[:0])] == [5, 10, 0]
    assert type(test[:5]) is Split


def test_a_loader_shuffles_a_split_in_worker_processes() -> None:
    train = load_dataset("mnist-10k").train[:256]
    loader = DataLoader(train, batch_size=64, shuffle=True, num_workers=2)
    batches = list(loader)
    assert [tuple(images.shape) for images, _ in batches] == [(64, 1, 28, 28)] * 4
    labels = torch.cat([labels for _, labels in batches])
    assert labels.dtype == torch.int64
    assert sorted(labels.tolist()) == sorted(train.labels.tolist())


def test_tensors_gives_all_at_once_and_leaves_the_split_alone() -> None:
    test = load_dataset("mnist-10k").test
    images, labels = test.tensors()
    assert (images.dtype, images.shape) == (torch.uint8, (10_000, 1, 28, 28))
    assert (labels.dtype, labels.shape) == (torch.int64, (10_000,))
    assert (images.squeeze(1).numpy() == test.images).all()
    images.zero_()
    assert test.images.any()


def test_reading_ahead_finds_missing_files_at_once(tmp_path: Path) -> None:
    data = load_dataset("mnist", tmp_path)
    with pytest.raises(DataError, match="train-images-idx3-ubyte"):
        data.read("train")
    load_dataset("mnist-10k").read("train", "validation", "test")
