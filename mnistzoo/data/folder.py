"""A folder of one's own with IDX files: a data set that nobody published, so unverified."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistzoo.data.idx import idx_bytes, read_idx
from mnistzoo.data.sources import DataError, find
from mnistzoo.dataset_spec import DIGITS, DataFile, DatasetSpec
from mnistzoo.spec import DEFAULT_DATASET

TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SUBFOLDERS = ("MNIST/raw",)

_log = logging.getLogger("mnistzoo")
_CLASSES = "classes.txt"
_MOST_CLASSES = 256
_VALIDATION = 12  # one of so many training images
_NO_CHECKSUM = f"sha256:{'0' * 64}"


def describe_folder(folder: Path) -> DatasetSpec:
    """Return the spec of the data set in a folder, with the checksums that its files have now.

    The names of the classes stand in ``classes.txt``, in the folder or beside the files, one a line
    in the order of the labels; without it they are the numbers from 0 to the highest label, and
    those of the ten digits where there is a test set alone.

    Raises:
        DataError: if there are no pairs of images and labels, or they do not fit each other.
        IdxError: if a file is not an IDX file.
        OSError: if a file cannot be read.
    """
    found = {names: pair for names in (TRAIN, TEST) if (pair := _pair(folder, names))}
    if not found:
        raise DataError(
            f"{folder} holds neither {' and '.join(TEST)} nor {' and '.join(TRAIN)} (or .gz); put "
            "a test set there, or a training set, or both"
        )
    arrays = {names: _read(pair) for names, pair in found.items()}
    highest = max(int(labels.max()) for _, labels in arrays.values())
    named = _classes_file(folder)
    classes = _classes(named, highest, test_alone=TRAIN not in found)
    if named is None and classes == DIGITS:
        _log.warning(
            "%s is taken for MNIST's digits; name other classes in %s", folder, folder / _CLASSES
        )
    for (_, path), (_, labels) in zip(found.values(), arrays.values(), strict=True):
        if labels.max() >= len(classes):
            raise DataError(
                f"{path} has the label {labels.max()}, but {named} names "
                f"{len(classes)} classes, for labels from 0 to {len(classes) - 1}; add the others"
            )
    counts = {names: len(labels) for names, (_, labels) in arrays.items()}
    if counts.get(TRAIN) == 1:
        raise DataError(f"{folder} has a single training image; put more there")
    return DatasetSpec(
        name="own",
        summary="Of one's own",
        classes=classes,
        train=_files(TRAIN, arrays),
        test=_files(TEST, arrays),
        train_images=counts.get(TRAIN, 0),
        test_images=counts.get(TEST, 0),
        validation_size=max(1, counts[TRAIN] // _VALIDATION) if TRAIN in counts else 0,
        subfolders=SUBFOLDERS,
        weights_from=DEFAULT_DATASET if classes == DIGITS else "",
    )


def _pair(folder: Path, names: tuple[str, str]) -> tuple[Path, Path] | None:
    """Return where the images and the labels lie; None if both are missing."""
    images, labels = (find(folder, DataFile(name, _NO_CHECKSUM), SUBFOLDERS) for name in names)
    if images is not None and labels is not None:
        return images, labels
    if images is None and labels is None:
        return None
    there, missing = (images, names[1]) if images is not None else (labels, names[0])
    raise DataError(f"there is {there}, but no {missing} (or .gz) beside it; put it there")


def _read(paths: tuple[Path, Path]) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Return images and labels that fit each other.

    Raises:
        DataError: if they do not.
        IdxError: if a file is not an IDX file.
    """
    images, labels = map(read_idx, paths)
    if images.ndim == 1 and labels.ndim == 3:
        raise DataError(f"{paths[0]} holds labels and {paths[1]} images; swap their names")
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28):
        raise DataError(
            f"the images in {paths[0]} are {images.dtype.name} {images.shape}, expected uint8 "
            "(N, 28, 28); scale them to 28x28 pixels"
        )
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise DataError(
            f"the labels in {paths[1]} are {labels.dtype.name} {labels.shape}, expected integers "
            "(N,); write one number an image"
        )
    if len(images) != len(labels):
        raise DataError(
            f"{paths[0]} holds {len(images):,} images and {paths[1]} {len(labels):,} labels; each "
            "image needs one"
        )
    if not len(labels):
        raise DataError(f"{paths[0]} holds no images; put some there")
    if labels.min() < 0 or labels.max() >= _MOST_CLASSES:
        raise DataError(
            f"the labels in {paths[1]} go from {labels.min()} to {labels.max()}, expected numbers "
            f"from 0 to at most {_MOST_CLASSES - 1}; count the classes from 0"
        )
    return images, labels


def _classes_file(folder: Path) -> Path | None:
    places = (folder, *(folder / each for each in SUBFOLDERS))
    return next((path for each in places if (path := each / _CLASSES).exists()), None)


def _classes(path: Path | None, highest: int, *, test_alone: bool) -> tuple[str, ...]:
    if path is None:
        if test_alone and highest < len(DIGITS):
            return DIGITS
        return tuple(str(label) for label in range(max(2, highest + 1)))
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8; save it as such") from error
    names = tuple(" ".join(line.split()) for line in text.splitlines() if line.strip())
    if not 2 <= len(names) <= _MOST_CLASSES or len(set(names)) < len(names):
        raise DataError(
            f"{path} holds {len(names)} names, {len(set(names))} of them different, expected 2 to "
            f"{_MOST_CLASSES} different ones; write one a line, in the order of the labels"
        )
    if unprintable := next((name for name in names if not name.isprintable()), None):
        raise DataError(f"{path} has the name {unprintable!r}; take printable characters")
    return names


def _files(
    names: tuple[str, str],
    arrays: dict[tuple[str, str], tuple[NDArray[np.uint8], NDArray[Any]]],
) -> tuple[DataFile, ...]:
    return tuple(
        DataFile(name, f"sha256:{hashlib.sha256(idx_bytes(array)).hexdigest()}")
        for name, array in zip(names, arrays.get(names, ()), strict=False)
    )
