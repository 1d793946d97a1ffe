"""Data sets of plugins: registered, found, downloaded, verified, decoded."""

import contextlib
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_data import (
    LETTERS,
    NAMES,
    arrays,
    checksum,
    gzipped,
    plain,
    registered,
    served,
    spec,
    zipped,
)

from mnistzoo import DataFile, list_datasets, load_dataset
from mnistzoo.data import DataError, Dataset, IdxError


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("MNISTZOO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@contextlib.contextmanager
def published(form: str, tmp_path: Path, **changes: Any) -> Iterator[tuple[Dataset, list[str]]]:
    """Publish the small letters in a form; yield the data set and what was asked of the server."""
    files = plain(arrays())
    packed = gzipped(files)
    match form:
        case "unzipped bytes":  # as MNIST's are checked, by what is in the .gz
            found = [DataFile(name, checksum(files[name], "sha256")) for name in NAMES]
        case "gzip":
            found = [DataFile(f"{name}.gz", checksum(packed[f"{name}.gz"])) for name in NAMES]
        case _:
            packed = zipped(packed, tmp_path / "all.zip")
            whole = checksum(packed["all.zip"])
            found = [DataFile("all.zip", whole, f"gzip/{name}.gz") for name in NAMES]
    with served(packed) as (address, asked):
        of_plugin = spec(found, sources=(address,), **changes)
        with registered(of_plugin):
            yield load_dataset("small-letters"), asked


FORMS = ["unzipped bytes", "gzip", "zip"]


@pytest.mark.parametrize("form", FORMS)
def test_a_registered_data_set_is_downloaded_once_and_verified(form: str, tmp_path: Path) -> None:
    train_images, train_labels, test_images, test_labels = arrays()
    with published(form, tmp_path) as (data, asked):
        assert data.where() == []
        np.testing.assert_array_equal(data.test.images, test_images)
        np.testing.assert_array_equal(data.test.labels, test_labels)
        np.testing.assert_array_equal(data.train_and_validation.images, train_images)
        np.testing.assert_array_equal(data.validation.labels, train_labels[-26:])
        assert [len(data.train), len(data.validation)] == [78, 26]
        assert data.classes == data.test.classes == data.train[:3].classes == LETTERS
        assert not (data.test.images.flags.writeable or data.test.labels.flags.writeable)
        assert len(asked) == len(set(asked)) == (1 if form == "zip" else 4)
        cache = tmp_path / "cache" / "small-letters"
        assert data.download() == cache
        assert [data.verify(file).parent for file in data.files] == [cache] * 4
        load_dataset("small-letters").read("train", "test")
        assert len(asked) == (1 if form == "zip" else 4)  # found in the cache from now on
    assert {path.name for path in cache.iterdir()} == {file.name for file in data.files}


@pytest.mark.parametrize("form", FORMS)
def test_one_wrong_byte_is_found(form: str, tmp_path: Path) -> None:
    with published(form, tmp_path) as (data, _):
        folder = data.download()
        path = folder / data.files[-1].name
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"{path} is not the published"):
            load_dataset("small-letters", folder).read("test")


def test_a_published_checksum_of_the_gzip_file_is_that_of_no_other(tmp_path: Path) -> None:
    with published("gzip", tmp_path) as (data, _):
        folder = data.download()
        for path in list(folder.iterdir()):  # the right images, but nothing to verify them by
            path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
            path.unlink()
        with pytest.raises(DataError, match=r"ubyte\.gz is not in .*mnistzoo data download") as no:
            load_dataset("small-letters", folder).read("test")
        assert "--dataset small-letters" in str(no.value) and "or .gz" not in str(no.value)


def test_an_archive_without_the_member_is_an_error(tmp_path: Path) -> None:
    content = zipped({"x": b"y"}, tmp_path / "all.zip")["all.zip"]
    files = [DataFile("all.zip", checksum(content), f"gzip/{name}.gz") for name in NAMES]
    with registered(spec(files)), pytest.raises(IdxError, match="no readable gzip/t10k-images"):
        load_dataset("small-letters", tmp_path).read("test")


def test_decode_turns_what_the_files_hold_into_images_and_labels(tmp_path: Path) -> None:
    train_images, train_labels, test_images, test_labels = arrays()
    turned = [
        *(train_images.transpose(0, 2, 1), train_labels + 1),
        *(test_images.transpose(0, 2, 1), test_labels + 1),
    ]
    for name, content in plain(turned).items():
        (tmp_path / name).write_bytes(content)
    files = [DataFile(name, checksum(content)) for name, content in plain(turned).items()]
    with registered(spec(files, decode="small_data:as_emnist")):
        test = load_dataset("small-letters", tmp_path).test
        np.testing.assert_array_equal(test.images, test_images)
        np.testing.assert_array_equal(test.labels, test_labels)
        assert test.images.flags.c_contiguous and not test.images.flags.writeable
    with registered(spec(files)), pytest.raises(DataError, match=r"1 to 26, expected 0 to 25"):
        load_dataset("small-letters", tmp_path).read("test")
    for decode in ("small_data:failing", "small_data:nosuch"):
        with (
            registered(spec(files, decode=decode)),
            pytest.raises(DataError, match=f"small-letters cannot be decoded by '{decode}': "),
        ):
            load_dataset("small-letters", tmp_path).read("test")


@pytest.mark.parametrize("place", ["small-letters", "Letters/raw"])
def test_it_is_found_in_a_folder_of_its_own_below_data(place: str, tmp_path: Path) -> None:
    folder = tmp_path / "cwd" / "data" / place
    folder.mkdir(parents=True)
    for name, content in gzipped(plain(arrays())).items():
        (folder / name).write_bytes(content)
        (folder.parents[len(Path(place).parts) - 1] / name).write_bytes(b"MNIST's own")
    files = [DataFile(name, checksum(content)) for name, content in plain(arrays()).items()]
    with registered(spec(files, subfolders=("Letters/raw",))):
        data = load_dataset("small-letters")
        data.read("train", "test")
        assert [path.absolute() for path in data.where()] == [folder]
        assert load_dataset("small-letters", folder).where() == [folder]


def test_the_root_that_torchvision_was_given_is_a_data_dir(tmp_path: Path) -> None:
    raw = tmp_path / "root" / "Letters" / "raw"
    raw.mkdir(parents=True)
    for name, content in plain(arrays()).items():
        (raw / name).write_bytes(content)
    files = [DataFile(name, checksum(content)) for name, content in plain(arrays()).items()]
    with registered(spec(files, subfolders=("Letters/raw",))):
        assert load_dataset("small-letters", tmp_path / "root").where() == [raw]


def test_it_may_ship_inside_a_package_or_lie_in_a_folder_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "letters_of_the_tests"
    (package / "idx").mkdir(parents=True)
    (package / "__init__.py").touch()
    for name, content in plain(arrays()).items():
        (package / "idx" / name).write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    files = [DataFile(name, checksum(content)) for name, content in plain(arrays()).items()]
    for folder in ("letters_of_the_tests:idx", str(package / "idx")):
        with registered(spec(files, folders=(folder,))):
            data = load_dataset("small-letters")
            assert (data.ships, len(data.train), data.download()) == (True, 78, package / "idx")
            with pytest.raises(DataError, match="small-letters ships inside its package"):
                load_dataset("small-letters", tmp_path)
    with registered(spec(files, folders=("nosuchpackage:idx",))):
        with pytest.raises(DataError, match="'nosuchpackage:idx' cannot be found"):
            load_dataset("small-letters").read("test")
        assert load_dataset("small-letters").where() == []


def test_mnistzoo_data_dir_is_for_mnist_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MNISTZOO_DATA_DIR", str(tmp_path / "mnist"))
    with published("gzip", tmp_path) as (data, _):
        assert data.data_dir is None and len(data.test) == 52


def test_data_sets_that_share_an_archive_share_its_place_in_the_cache(tmp_path: Path) -> None:
    packed = zipped(gzipped(plain(arrays())), tmp_path / "all.zip")
    whole = checksum(packed["all.zip"])
    files = [DataFile("all.zip", whole, f"gzip/{name}.gz") for name in NAMES]
    with served(packed) as (address, asked):
        pair = [
            spec(files, name=name, cache="all", sources=(address,)) for name in ("one", "another")
        ]
        with registered(*pair):
            for name in ("one", "another"):
                assert len(load_dataset(name).test) == 52
                assert load_dataset(name).where() == [tmp_path / "cache" / "all" / "all.zip"]
    assert asked == ["all.zip"]


def test_a_source_may_be_a_function_of_the_plugin(tmp_path: Path) -> None:
    files = [DataFile(name, checksum(content)) for name, content in plain(arrays()).items()]
    with registered(spec(files, sources=("http://127.0.0.1:9/", "small_data:put"))):
        assert len(load_dataset("small-letters").test) == 52


def test_registered_names_are_listed_and_suggested() -> None:
    files = [DataFile(name, checksum(b"")) for name in NAMES]
    with registered(spec(files)):
        assert "small-letters" in list_datasets()
        with pytest.raises(DataError, match=r"'small-leters'; did you mean 'small-letters'\?"):
            load_dataset("small-leters")
    assert "small-letters" not in list_datasets()


def test_two_plugins_that_claim_a_name_both_lose_it() -> None:
    files = [DataFile(name, checksum(b"")) for name in NAMES]
    with registered(spec(files), plugin="one"), registered(spec(files), plugin="two"):
        assert "small-letters" not in list_datasets()
        with pytest.raises(DataError, match="'small-letters' is claimed by one and two"):
            load_dataset("small-letters")
