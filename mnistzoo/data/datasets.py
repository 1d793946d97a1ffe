"""The data sets: which files, which splits, which checksums."""

import logging
import operator
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mnistzoo.data.foreign import conversion
from mnistzoo.data.sources import DataError, DataFile, download, find, read_verified
from mnistzoo.errors import MnistzooError
from mnistzoo.files import expanded
from mnistzoo.inputs import as_input, how_to_convert
from mnistzoo.missing import MissingModuleError, why_not_imported

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import Dataset as TorchDataset

    _TorchDataset = TorchDataset[tuple[Tensor, int]]
else:
    _TorchDataset = object  # the data can be had where torch is not installed

_log = logging.getLogger("mnistzoo")
_SHIPPED = Path(__file__).parent / "files"

_TEST_FILES = (
    DataFile(
        "t10k-images-idx3-ubyte",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    DataFile(
        "t10k-labels-idx1-ubyte",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)
_TRAIN_FILES = (
    DataFile(
        "train-images-idx3-ubyte",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    DataFile(
        "train-labels-idx1-ubyte",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
)
_TRAIN_10K_FILES = (
    DataFile(
        "train-10k-images-idx3-ubyte",
        "2889698e6bc3614913e76901316712919d1998fc2b44512451bfe65bc1e668b1",
    ),
    DataFile(
        "train-10k-labels-idx1-ubyte",
        "651e38e2ac0632f5113ec18f1df4977117f953197819034009971a6675a0df78",
    ),
)


@dataclass(frozen=True)
class _Definition:
    train_files: tuple[DataFile, DataFile]
    validation_size: int
    shipped: bool


_DEFINITIONS = {
    "mnist": _Definition(_TRAIN_FILES, validation_size=5_000, shipped=False),
    "mnist-10k": _Definition(_TRAIN_10K_FILES, validation_size=1_000, shipped=True),
}


@dataclass(frozen=True, eq=False, repr=False)
class Split(_TorchDataset):
    """Images and their labels: a data set as ``torch.utils.data.DataLoader`` takes it.

    ``split[3]`` is an image, float32 ``(1, 28, 28)`` from 0 to 1, and its label, an int;
    ``split[:100]`` is a split. :meth:`tensors` gives all of it at once, the fast way.

    Attributes:
        images: uint8 ``(N, 28, 28)``, 0 (paper) to 255 (ink); read-only in a data set's splits.
        labels: uint8 ``(N,)``, 0 to 9; likewise. Given in another integer type or byte order, they
            are converted.

    Raises:
        DataError: if the images or labels are of another shape or kind, or not equally many.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def __post_init__(self) -> None:
        images, labels = np.asarray(self.images), as_labels(self.labels)
        if images.dtype != np.uint8 or images.shape[1:] != (28, 28):
            raise DataError(
                f"the images are {images.dtype} {images.shape}, expected uint8 (N, 28, 28), 0 "
                f"(paper) to 255 (ink); {how_to_convert(images)}"
            )
        if len(images) != len(labels):
            raise DataError(f"there are {len(images):,} images and {len(labels):,} labels")
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "labels", labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Split({len(self):,} images)"

    @overload
    def __getitem__(self, index: slice) -> "Split": ...

    @overload
    def __getitem__(self, index: SupportsIndex) -> tuple["Tensor", int]: ...

    def __getitem__(self, index: slice | SupportsIndex) -> "Split | tuple[Tensor, int]":
        if isinstance(index, slice):
            return Split(self.images[index], self.labels[index])
        import torch

        image = self.images[operator.index(index)]
        return torch.from_numpy(as_input(image[None])[0]), int(self.labels[index])

    def tensors(self) -> tuple["Tensor", "Tensor"]:
        """Return images, uint8 ``(N, 1, 28, 28)``, and labels, int64 ``(N,)``, as torch tensors."""
        import torch

        # Copies: tensors can be written to, and the arrays of a data set are shared and read-only.
        return torch.tensor(self.images).unsqueeze(1), torch.tensor(self.labels, dtype=torch.long)


def as_labels(labels: ArrayLike) -> NDArray[np.uint8]:
    """Return digits ``(N,)`` of any integer type and byte order as uint8.

    Raises:
        DataError: if they are no integers, not in one row, or not from 0 to 9.
    """
    found = np.asarray(labels)
    if found.dtype.kind not in "iu" or found.ndim != 1:
        raise DataError(
            f"the labels are {found.dtype} {found.shape}, expected integers (N,), 0 to 9"
        )
    if found.size and not 0 <= found.min() <= found.max() <= 9:
        raise DataError(f"the labels go from {found.min()} to {found.max()}, expected 0 to 9")
    return found.astype(np.uint8, copy=False)


class Dataset:
    """A data set whose files are found, verified and read when a split is first used.

    ``mnist`` has 60,000 training and 10,000 test images. Its files are looked for in ``data_dir``
    alone if that is given (or ``MNISTZOO_DATA_DIR``); else in the package (which ships the test
    set), in ``./data``, in the cache, and are downloaded into the cache if they are nowhere. In
    each of these folders ``MNIST/raw`` will do, where torchvision puts them.
    ``mnist-10k`` is the first 10,000 training images and the same test set; it ships inside the
    package.

    Every choice is made on ``validation``, the last 5,000 training images (of ``mnist-10k`` the
    last 1,000). ``train`` leaves them out; ``train_and_validation`` is for a recipe's final run.

    Raises:
        DataError: for an unknown name, a ``data_dir`` that does not apply, and, when a split is
            used, for files that are missing or not the published ones.
        IdxError: when a split is used, for a file that is no IDX file.
    """

    def __init__(self, name: str, data_dir: str | os.PathLike[str] | None = None) -> None:
        if name not in _DEFINITIONS:
            raise DataError(
                f"there is no data set {name!r}; take one of {', '.join(list_datasets())}"
            )
        self.name = name
        self._definition = _DEFINITIONS[name]
        if self._definition.shipped and data_dir is not None:
            raise DataError(f"{name} ships inside the package; leave --data-dir out")
        if not self._definition.shipped and data_dir is None:
            data_dir = os.environ.get("MNISTZOO_DATA_DIR") or None
        self._data_dir = None if data_dir is None else expanded(data_dir)

    @property
    def data_dir(self) -> str | None:
        """The folder in which alone its files are looked for, if one was given."""
        return None if self._data_dir is None or self._definition.shipped else str(self._data_dir)

    @property
    def files(self) -> tuple[DataFile, ...]:
        """The training files, then the test files."""
        return (*self._definition.train_files, *_TEST_FILES)

    @property
    def checksums(self) -> Mapping[str, str]:
        """File name to the SHA-256 of the file's unzipped bytes."""
        return {file.name: file.sha256 for file in self.files}

    @cached_property
    def train_and_validation(self) -> Split:
        images, labels = (self._read(file) for file in self._definition.train_files)
        return Split(images, labels)

    @cached_property
    def train(self) -> Split:
        return self.train_and_validation[: -self._definition.validation_size]

    @cached_property
    def validation(self) -> Split:
        return self.train_and_validation[-self._definition.validation_size :]

    @cached_property
    def test(self) -> Split:
        images, labels = (self._read(file) for file in _TEST_FILES)
        return Split(images, labels)

    def read(self, *splits: Literal["train_and_validation", "train", "validation", "test"]) -> None:
        """Find, verify and read the files of these splits now, not at their first use.

        Raises:
            DataError: for files that are missing or not the published ones.
            IdxError: for a file that is no IDX file.
        """
        for split in splits:
            getattr(self, split)

    def locate(self, file: DataFile) -> Path:
        """Return the path at which a file is found without a download; it is not verified.

        Raises:
            DataError: if it is nowhere; lists the folders.
        """
        folders = []
        for folder in self._folders():
            folders.append(folder)
            path = find(folder, file)
            if path is not None:
                return path
        searched = ", ".join(str(folder.absolute()) for folder in folders)
        missing = f"{file.name} (or .gz) is not in {searched}"
        into, instead = "", "--dataset mnist-10k"
        if self._data_dir is not None:
            into = f" --data-dir {shlex.quote(str(self._data_dir))}"
            instead += " without a data directory"
            if not self._data_dir.exists():
                missing = f"the data directory {searched} does not exist"
            elif not self._data_dir.is_dir():
                missing = f"the data directory {searched} is a file, not a folder"
        raise DataError(
            f"{missing}; {_foreign_hint(folders)}run `mnistzoo data download{into}`, or use "
            f"{instead}, which needs no network"
        )

    def verify(self, file: DataFile) -> Path:
        """Return the path at which a file is found, once its checksum was found right.

        Raises:
            DataError: if it is nowhere, or not the published one.
            IdxError: if it is no IDX file.
        """
        path = self.locate(file)
        read_verified(path, file)
        return path

    def download(self) -> Path:
        """Download what is missing into the data directory or else the cache; return the folder.

        Raises:
            DataError: if no source delivered.
        """
        if self._definition.shipped:
            return _SHIPPED
        folder = self._data_dir or cache_dir()
        if any(_read_from(folder, file) is None for file in self.files):
            download(self.files, folder)
        return folder

    def _folders(self) -> Iterator[Path]:
        if self._definition.shipped:
            yield _SHIPPED
        elif self._data_dir is not None:
            yield self._data_dir
        else:
            yield from (_SHIPPED, Path("data"))
            yield cache_dir()  # last: only this one needs platformdirs

    def _read(self, file: DataFile) -> NDArray[Any]:
        if self._definition.shipped or self._data_dir is not None:
            return read_verified(self.locate(file), file)
        for folder in self._folders():
            array = _read_from(folder, file)
            if array is not None:
                return array
        download(self.files, cache_dir())
        return read_verified(cache_dir() / file.name, file)


def list_datasets() -> list[str]:
    """Return the names of the data sets, as :func:`load_dataset` takes them."""
    return list(_DEFINITIONS)


def load_dataset(name: str = "mnist", data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Return a data set; see :class:`Dataset`.

    Raises:
        DataError: for an unknown name, or a ``data_dir`` that does not apply.
    """
    return Dataset(name, data_dir)


def cache_dir() -> Path:
    """Return the folder for downloads: ``MNISTZOO_CACHE_DIR``, or else the platform's own.

    Raises:
        MissingModuleError: if there is no platformdirs to know the platform's.
    """
    chosen = os.environ.get("MNISTZOO_CACHE_DIR")
    if chosen:
        return expanded(chosen)
    try:
        import platformdirs
    except ModuleNotFoundError as error:
        raise MissingModuleError(
            f"where the cache is: {why_not_imported(error)}; or name it with MNISTZOO_CACHE_DIR"
        ) from error
    return platformdirs.user_cache_path("mnistzoo")


def _foreign_hint(folders: list[Path]) -> str:
    """Return how the first file of another format in the folders, or at their place, is used."""
    for place in folders:
        for path in [place, *sorted(place.iterdir() if place.is_dir() else ())]:
            if path.is_file() and (line := conversion(path)):
                return f"there is {path.name}, and {line}; else "
    return ""


def _read_from(folder: Path, file: DataFile) -> NDArray[Any] | None:
    """Return the file's array, or None where the folder does not hold the published file."""
    path = find(folder, file)
    if path is None:
        return None
    try:
        return read_verified(path, file)
    except MnistzooError as error:
        _log.warning("passed over: %s", error)
        return None
