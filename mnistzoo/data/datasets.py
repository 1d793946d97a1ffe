"""The data sets: which files, which splits, and where they are found."""

import logging
import os
import pkgutil
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mnistzoo.data.foreign import conversion
from mnistzoo.data.sources import DataError, download, find, read_verified
from mnistzoo.data.split import Split
from mnistzoo.dataset_spec import DataFile, DatasetSpec
from mnistzoo.errors import MnistzooError, one_line, reason
from mnistzoo.fields import DATASET_NAME
from mnistzoo.files import expanded
from mnistzoo.missing import MissingModuleError, why_not_imported
from mnistzoo.mnist import DATASETS
from mnistzoo.spec import DEFAULT_DATASET

if TYPE_CHECKING:
    from mnistzoo.plugins import Plugin

_log = logging.getLogger("mnistzoo")


class UnknownDatasetError(DataError):
    """No data set, and no folder, has the name that was asked for."""

    exit_code = 2


class Dataset:
    """A data set whose files are found, verified and read when a split is first used.

    Its files are looked for in ``data_dir`` alone if that is given (of mnist also by
    ``MNISTZOO_DATA_DIR``); else in the folders of its spec, in ``./data``, in the cache, and are
    downloaded into the cache if they are nowhere. A data set that ships with its plugin is read
    from there.

    Every choice is made on ``validation``, the last training images. ``train`` leaves them out;
    ``train_and_validation`` is for a recipe's final run.

    Args:
        spec: what its plugin registered.
        data_dir: the folder with its files.
        verified: whether its checksums are published ones.

    Attributes:
        spec: what its plugin registered.
        ships: whether its files lie in its plugin's package.
        verified: whether its checksums are published ones, not those of a folder of one's own.

    Raises:
        DataError: for a ``data_dir`` that does not apply, and, when a split is used, for files that
            are missing or not the published ones.
        IdxError: when a split is used, for a file that is not an IDX file.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        data_dir: str | os.PathLike[str] | None = None,
        *,
        verified: bool = True,
    ) -> None:
        self.spec = spec
        self.verified = verified
        self.ships = bool(spec.folders) and not spec.sources
        if self.ships and data_dir is not None:
            raise DataError(f"{spec.name} ships inside its package; leave --data-dir out")
        if spec.name == DEFAULT_DATASET and data_dir is None:
            data_dir = os.environ.get("MNISTZOO_DATA_DIR") or None
        self._data_dir = None if data_dir is None else expanded(data_dir)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r})"

    @property
    def name(self) -> str:
        """As results show it; a folder of one's own is called unverified in all of them."""
        if self.verified:
            return self.spec.name
        return one_line(f"{Path(self.reference).name} (unverified)")

    @property
    def reference(self) -> str:
        """What :func:`load_dataset` takes for it: the name, or the path of the folder."""
        if self.verified or self._data_dir is None:
            return self.spec.name
        return str(self._data_dir.absolute())

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the labels 0, 1, 2 ..."""
        return self.spec.classes

    @property
    def data_dir(self) -> str | None:
        """The folder in which alone its files are looked for, if one was given beside the name."""
        return None if self._data_dir is None or not self.verified else str(self._data_dir)

    def to_dict(self) -> dict[str, Any]:
        """Return what another process needs to open it, without its plugin, as JSON can hold it."""
        folder = self.data_dir if self.verified else self.reference
        return {"spec": self.spec.to_dict(), "data_dir": folder, "verified": self.verified}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> "Dataset":
        """Open it from what :meth:`to_dict` returned."""
        spec = DatasetSpec.from_dict(facts["spec"])
        return cls(spec, facts["data_dir"], verified=facts["verified"])

    @property
    def files(self) -> tuple[DataFile, ...]:
        """The training files, then the test files."""
        return (*self.spec.train, *self.spec.test)

    @property
    def checksums(self) -> Mapping[str, str]:
        """File name to its checksum, kind and value, such as ``"sha256:..."``."""
        return {file.name: file.checksum for file in self.files}

    @cached_property
    def train_and_validation(self) -> Split:
        return self._split(self.spec.train)

    @cached_property
    def train(self) -> Split:
        return self.train_and_validation[: -self.spec.validation_size]

    @cached_property
    def validation(self) -> Split:
        return self.train_and_validation[-self.spec.validation_size :]

    @cached_property
    def test(self) -> Split:
        return self._split(self.spec.test)

    def read(self, *splits: Literal["train_and_validation", "train", "validation", "test"]) -> None:
        """Find, verify and read the files of these splits now, not at their first use.

        Raises:
            DataError: for files that are missing or not the published ones.
            IdxError: for a file that is not an IDX file.
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
            path = find(folder, file, self.spec.subfolders)
            if path is not None:
                return path
        searched = ", ".join(str(folder.absolute()) for folder in folders)
        packed = file.name.endswith((".gz", ".zip"))
        missing = f"{file.name}{'' if packed else ' (or .gz)'} is not in {searched}"
        instead = "--dataset mnist-10k"
        if self._data_dir is not None:
            instead += " without a data directory"
            if not self._data_dir.exists():
                missing = f"the data directory {searched} does not exist"
            elif not self._data_dir.is_dir():
                missing = f"the data directory {searched} is a file, not a folder"
        raise DataError(
            f"{missing}; {_foreign_hint(folders)}run `{self._how_to_download()}`, or use "
            f"{instead}, which needs no network"
        )

    def verify(self, file: DataFile) -> Path:
        """Return the path at which a file is found, once its checksum was found right.

        Raises:
            DataError: if it is nowhere, or not the published one.
            IdxError: if it is not an IDX file.
        """
        path = self.locate(file)
        read_verified(path, file)
        return path

    def download(self) -> Path:
        """Download what is missing into the data directory or else the cache; return the folder.

        Raises:
            DataError: if no source delivered.
        """
        if self.ships:
            return self.locate(self.files[0]).parent
        folder = self._data_dir or self._cache()
        if any(self._read_from(folder, file) is None for file in self.files):
            download(self.name, self.files, folder, self.spec.sources)
        return folder

    def where(self) -> list[Path]:
        """Return the folders and archives in which all its files are found, unverified.

        Empty if one is missing, and would be downloaded.
        """
        try:
            found = [(self.locate(file), file) for file in self.files]
        except MnistzooError:
            return []
        return list(dict.fromkeys(path if file.member else path.parent for path, file in found))

    def _how_to_download(self) -> str:
        which = "" if self.name == DEFAULT_DATASET else f" --dataset {self.name}"
        into = f" --data-dir {shlex.quote(str(self._data_dir))}" if self._data_dir else ""
        return f"mnistzoo data download{which}{into}"

    def _folders(self) -> Iterator[Path]:
        if self._data_dir is not None:
            yield self._data_dir
            return
        for folder in self.spec.folders:
            yield _installed(folder)
        if self.ships:
            return
        here = Path("data")
        yield here / self._own_folder
        if self._own_folder:
            yield from (here / each for each in self.spec.subfolders)
        yield self._cache()  # last: only this one needs platformdirs

    @property
    def _own_folder(self) -> str:
        """Its folder in the cache and in ./data; the default data set lies there itself."""
        return "" if self.name == DEFAULT_DATASET else self.spec.cache or self.name

    def _cache(self) -> Path:
        return cache_dir() / self._own_folder

    def _split(self, files: tuple[DataFile, ...]) -> Split:
        if not files:
            which, other = ("test", "training") if self.spec.train else ("training", "test")
            raise DataError(
                f"{self.name} has no {which} images but {other} images alone; add {which} images, "
                "or take another data set"
            )
        images, labels = map(self._read, files)
        if self.spec.decode:
            try:
                images, labels = pkgutil.resolve_name(self.spec.decode)(images, labels)
            except Exception as error:  # a plugin's own
                raise DataError(
                    f"{self.name} cannot be decoded by {self.spec.decode!r}: {reason(error)}"
                ) from error
        try:
            split = Split(np.ascontiguousarray(images), labels, self.classes)
        except DataError as error:
            pair = " and ".join(file.member or file.name for file in files)
            raise DataError(f"{pair} of {self.name}: {error}") from error
        for array in (split.images, split.labels):
            array.flags.writeable = False
        return split

    def _read(self, file: DataFile) -> NDArray[Any]:
        if self.ships or self._data_dir is not None:
            return read_verified(self.locate(file), file)
        for folder in self._folders():
            array = self._read_from(folder, file)
            if array is not None:
                return array
        folder = self._cache()
        download(self.name, self.files, folder, self.spec.sources)
        return read_verified(folder / file.name, file)

    def _read_from(self, folder: Path, file: DataFile) -> NDArray[Any] | None:
        """Return the file's array, or None where the folder does not hold the published file."""
        path = find(folder, file, self.spec.subfolders)
        if path is None:
            return None
        try:
            return read_verified(path, file)
        except MnistzooError as error:
            _log.warning("passed over: %s", error)
            return None


def list_datasets() -> list[str]:
    """Return the names of the data sets, as :func:`load_dataset` takes them."""
    from mnistzoo.registry import dataset_registry

    return sorted(dataset_registry().registrations)


def load_dataset(
    name: str | os.PathLike[str] = DEFAULT_DATASET,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    plugins: "Sequence[Plugin] | None" = None,
) -> Dataset:
    """Return a data set; see :class:`Dataset`.

    Args:
        name: of one that is registered, or else a folder with IDX files of one's own; see
            :func:`mnistzoo.data.folder.describe_folder`.
        data_dir: where the files of one that is registered lie.
        plugins: whose data sets are known; by default those of all, which are loaded in this
            process, but for a name that only a folder can have.

    Raises:
        UnknownDatasetError: if there is neither.
        DataError: if several plugins claim the name, for a ``data_dir`` that does not apply, and
            for a folder whose files do not fit each other.
        IdxError: for a file in the folder that is not an IDX file.
        OSError: if the folder cannot be read.
    """
    if isinstance(name, str) and (spec := _spec(name, plugins)) is not None:
        return Dataset(spec, data_dir)
    folder = expanded(name)
    if not folder.is_dir():
        raise _unknown(os.fspath(name), plugins)
    if data_dir is not None:
        raise DataError(f"{folder} is a folder of its own; leave --data-dir out")
    from mnistzoo.data.folder import describe_folder

    return Dataset(describe_folder(folder), folder, verified=False)


def _spec(name: str, plugins: "Sequence[Plugin] | None") -> DatasetSpec | None:
    """Return the data set that is registered by this name, if there is one."""
    # mnistzoo's own are had without any plugin, and where there is nothing but numpy.
    for spec in DATASETS:
        if spec.name == name:
            return spec
    if not DATASET_NAME.fullmatch(name):
        return None
    from mnistzoo.registry import dataset_registry, describe_conflict

    known = dataset_registry(plugins)
    if name in known.conflicts:
        raise DataError(describe_conflict(name, known.conflicts[name]))
    return known.registrations[name].spec if name in known.registrations else None


def _unknown(name: str, plugins: "Sequence[Plugin] | None") -> DataError:
    from mnistzoo.registry import because_of_failures, dataset_registry, hint

    if os.path.exists(name):
        return DataError(f"{name} is a file; name the folder that holds it")
    known = dataset_registry(plugins)
    return UnknownDatasetError(
        f"there is no data set and no folder {name!r}{because_of_failures(known.failed)}; "
        f"{hint(name, known.registrations)}`mnistzoo datasets` lists those installed"
    )


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


def _installed(folder: str) -> Path:
    """Return the folder of an installed package, or of the system."""
    package, colon, inside = folder.partition(":")
    if not colon or os.path.isabs(folder):
        return Path(folder)
    try:
        found = find_spec(package)
    except Exception as error:  # the package's own, which is imported for it
        raise DataError(f"{folder!r} cannot be found: {reason(error)}") from error
    if found is None or found.origin is None:
        raise DataError(f"{folder!r} cannot be found; install its package again")
    return Path(found.origin).parent / inside


def _foreign_hint(folders: list[Path]) -> str:
    """Return how the first file of another format in the folders, or at their place, is used."""
    for place in folders:
        for path in [place, *sorted(place.iterdir() if place.is_dir() else ())]:
            if path.is_file() and (line := conversion(path)):
                return f"there is {path.name}, and {line}; else "
    return ""
