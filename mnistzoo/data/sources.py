"""Where data files come from: a folder, or else a download into one.

Whatever the source, a file counts only if its checksum is the published one.
"""

import functools
import hashlib
import io
import logging
import os
import pkgutil
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any

from numpy.typing import NDArray

from mnistzoo.data.idx import IdxError, idx_bytes, parse_idx, read_idx, write_idx
from mnistzoo.dataset_spec import DataFile
from mnistzoo.errors import MnistzooError
from mnistzoo.files import publish, temporary_folder
from mnistzoo.missing import MissingModuleError, why_not_imported

_PACKED = (".gz", ".zip")
_MOST_UNPACKED = 2**30
_KINDS = {"md5": "MD5", "sha256": "SHA-256"}

_log = logging.getLogger("mnistzoo")


class DataError(MnistzooError):
    """Data cannot be found, or is not what it should be."""


def find(folder: Path, file: DataFile, subfolders: Iterable[str] = ()) -> Path | None:
    """Return where ``folder`` holds the file, under either naming, plain or gzipped.

    A file whose checksum is that of its packed bytes is found packed only.

    Args:
        folder: is looked into first.
        file: that is wanted.
        subfolders: of it that are looked into too.
    """
    dotted = file.name.replace("-idx", ".idx")
    names = [file.name, dotted]
    if not file.name.endswith(_PACKED):
        names += [f"{file.name}.gz", f"{dotted}.gz"]
    candidates = (folder / below / name for below in ("", *subfolders) for name in names)
    return next((path for path in candidates if path.is_file()), None)


def read_verified(path: Path, file: DataFile) -> NDArray[Any]:
    """Check a file's checksum and read the array in it.

    Raises:
        DataError: if the content is not the expected one.
        IdxError: if it is not an IDX file.
    """
    if not file.name.endswith(_PACKED):
        array = read_idx(path)
        _require_checksum(path, file, _digest(io.BytesIO(idx_bytes(array)), file))
        return array
    with path.open("rb") as stream:
        if not file.member:
            content = stream.read()
            _require_checksum(path, file, _digest(io.BytesIO(content), file))
            return parse_idx(content, str(path))
        found = os.fstat(stream.fileno())
        _verify_archive(path, file.name, file.checksum, (found.st_mtime_ns, found.st_size))
        return parse_idx(_member(path, stream, file.member), f"{path}/{file.member}")


@functools.lru_cache(maxsize=8)
def _verify_archive(path: Path, name: str, checksum: str, stamp: tuple[int, int]) -> None:
    """Check an archive's checksum; once a process, since all files of a data set lie in it.

    Raises:
        DataError: if the content is not the expected one.
    """
    archive = DataFile(name, checksum, "all of it")
    with path.open("rb") as stream:
        _require_checksum(path, archive, _digest(stream, archive))


def _digest(stream: IO[bytes], file: DataFile) -> str:
    kind, _, _ = file.checksum.partition(":")
    return hashlib.file_digest(stream, kind).hexdigest()  # type: ignore[arg-type]


def _require_checksum(path: Path, file: DataFile, found: str) -> None:
    kind, _, expected = file.checksum.partition(":")
    if found != expected:
        packed = "" if file.name.endswith(_PACKED) else "unzipped "
        raise DataError(
            f"{path} is not the published {file.name}: its {packed}{_KINDS[kind]} is {found}, "
            f"expected {expected}; replace it, or run `mnistzoo data download`"
        )


def _member(path: Path, stream: IO[bytes], name: str) -> bytes:
    try:
        with zipfile.ZipFile(stream) as archive:
            if archive.getinfo(name).file_size > _MOST_UNPACKED:
                raise IdxError(f"{path} would unpack {name} to over {_MOST_UNPACKED} bytes")
            return archive.read(name)
    except (zipfile.BadZipFile, KeyError, NotImplementedError, EOFError) as error:
        raise IdxError(f"{path} has no readable {name} in it ({error})") from error


def download(
    name: str,
    files: Sequence[DataFile],
    folder: Path,
    sources: Sequence[str],
    *,
    answer_within: float = 10,
) -> None:
    """Download the files of a data set into ``folder``, from the first source that has them all.

    Each source in turn must deliver every file with the right checksum, or is passed over with a
    warning; so is one that does not answer within ``answer_within`` seconds. Files appear in
    ``folder`` whole and verified, also with two processes at once.

    Args:
        name: of the data set, for messages.
        files: of it.
        folder: is created if it is not there.
        sources: as :class:`mnistzoo.DatasetSpec` has them.
        answer_within: seconds.

    Raises:
        DataError: if no source delivered; lists what was tried.
        OSError: if ``folder`` cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    failures = []
    for source in sources:
        _log.info("downloading %s from %s", name, source)
        # Inside the folder, so that the final renames stay on one file system.
        with temporary_folder(folder, ".download-") as temporary:
            try:
                _fetch(source, files, answer_within)(temporary)
                kept = [_kept(temporary, file) for file in files]
            # ImportError: of the module that a source names; ValueError: malformed HTTP
            except (OSError, ValueError, ImportError, AttributeError, MnistzooError) as error:
                failures.append(f"{source} ({error})")
                _log.warning("passed over %s", failures[-1])
                continue
            for path in dict.fromkeys(kept):
                publish(path, folder / path.name)
            return
    raise DataError(
        f"{name} could not be downloaded; tried {'; '.join(failures) or 'nothing'}. Put its files "
        "into a folder and name it with --data-dir (that of mnist also with MNISTZOO_DATA_DIR), or "
        "use --dataset mnist-10k, which needs no network"
    )


def _kept(folder: Path, file: DataFile) -> Path:
    """Verify a fetched file and return it, unzipped if its checksum is of the unzipped bytes.

    Raises:
        DataError: if it is not there, or not the published one.
        IdxError: if it is not an IDX file.
    """
    fetched = find(folder, file)
    if fetched is None:
        raise DataError(f"it has no {file.name}")
    array = read_verified(fetched, file)
    if file.name.endswith(_PACKED):
        return fetched
    write_idx(folder / file.name, array)
    return folder / file.name


def _fetch(
    source: str, files: Sequence[DataFile], answer_within: float
) -> Callable[[Path], object]:
    """Return the function that puts a source's files into a folder."""
    if source.endswith("/"):
        return functools.partial(_fetch_from_mirror, source, files, answer_within)
    found: Callable[[Path], object] = pkgutil.resolve_name(source)
    return found


def _fetch_from_mirror(
    url: str, files: Sequence[DataFile], answer_within: float, into: Path
) -> None:
    try:
        import requests
        from pooch import HTTPDownloader

        from mnistzoo.data.progress import DownloadBar
    except ImportError as error:
        raise MissingModuleError(why_not_imported(error)) from error

    names = [file.name if file.name.endswith(_PACKED) else f"{file.name}.gz" for file in files]
    with DownloadBar() as bar:
        fetch = HTTPDownloader(timeout=answer_within, progressbar=bar)
        for name in dict.fromkeys(names):
            bar.describe(name)
            try:
                fetch(f"{url}{name}", into / name, pooch=None)
            except requests.Timeout as error:
                raise DataError(f"no answer within {answer_within:g} seconds") from error
            except requests.ConnectionError as error:
                raise DataError("no connection, or it broke off") from error
