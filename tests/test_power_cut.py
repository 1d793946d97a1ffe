"""What the zoo publishes is on the disk, whole, before it gets its name: no power cut halves it."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import small_data
from comparisons import compared
from disks import Disk
from drawing import write_linear_model
from torch import nn

import mnistzoo
from mnistzoo import DataFile, Recipe, load_dataset
from mnistzoo.data import write_idx
from mnistzoo.data.sources import download
from mnistzoo.output import write
from mnistzoo.scaffold import new_plugin
from mnistzoo.web.models import offered
from mnistzoo.web.site import write_site
from mnistzoo.weights import save_weights

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no folder can be synced")

TRAIN = load_dataset("mnist-10k").train[:64]
RECIPE = Recipe(epochs=2, batch_size=64, optimizer="adam", learning_rate=0.01, threads=1)


@pytest.fixture
def disk() -> Iterator[Disk]:
    with pytest.MonkeyPatch.context() as patch:
        yield Disk(patch)


def test_weights_and_text_are_synced(disk: Disk, tmp_path: Path) -> None:
    save_weights(nn.Linear(1, 1), tmp_path / "w.safetensors", {})
    write("{}", tmp_path / "facts.json")
    write_idx(tmp_path / "labels", TRAIN.labels)
    disk.require_safe("w.safetensors", "facts.json", "labels")


def test_every_checkpoint_is_synced(disk: Disk, tmp_path: Path) -> None:
    def create() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

    mnistzoo.train(create, TRAIN, RECIPE, checkpoint=tmp_path)
    disk.require_safe("checkpoint.safetensors", "checkpoint.safetensors")


def test_every_file_of_a_comparison_is_synced(disk: Disk, tmp_path: Path) -> None:
    files = [f"report.{suffix}" for suffix in ("json", "csv", "md", "html")]
    for each in files:
        compared(["tiny"]).save(tmp_path / each)
    disk.require_safe(*files)


def test_downloaded_files_are_synced(disk: Disk, tmp_path: Path) -> None:
    files = small_data.plain(small_data.arrays())
    wanted = [DataFile(name, small_data.checksum(files[name])) for name in files]
    with small_data.served(small_data.gzipped(files)) as (address, _):
        download("small", wanted, tmp_path / "plain", [address])
    # Each is written whole where nobody looks for it, and all appear once all are verified.
    disk.require_safe(*files, *files)


def test_a_downloaded_archive_is_synced(disk: Disk, tmp_path: Path) -> None:
    served = small_data.zipped(small_data.plain(small_data.arrays()), tmp_path / "all.zip")
    checksum = small_data.checksum(served["all.zip"])
    wanted = [DataFile("all.zip", checksum, f"gzip/{name}") for name in small_data.NAMES]
    with small_data.served(served) as (address, _):
        download("small", wanted, tmp_path / "packed", [address])
    disk.require_safe("all.zip")


def test_a_new_plugin_is_synced_with_all_in_it(disk: Disk, tmp_path: Path) -> None:
    new_plugin("mnistzoo-of-the-tests", tmp_path)
    disk.require_safe("mnistzoo-of-the-tests")


def test_a_static_page_is_synced_with_all_in_it(disk: Disk, tmp_path: Path) -> None:
    model = write_linear_model(tmp_path / "linear.onnx")
    write_site(tmp_path / "page", offered([str(model)]))
    disk.require_safe("page")


def test_a_file_that_is_renamed_unsynced_or_changed_after_its_sync_is_found(
    disk: Disk, tmp_path: Path
) -> None:
    for number in range(2):
        path = tmp_path / str(number)
        with path.open("wb") as stream:
            stream.write(b"begun")
            if number:
                stream.flush()
                os.fsync(stream.fileno())
                stream.write(b" and changed")
        path.rename(tmp_path / "name")
    assert disk.unsafe == [str(tmp_path / "0"), str(tmp_path / "1")]
    shutil.rmtree(tmp_path)
    with pytest.raises(AssertionError):
        disk.require_safe("name", "name")
