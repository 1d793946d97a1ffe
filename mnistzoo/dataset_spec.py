"""What a plugin says about a data set: ``DatasetSpec``, ``DataFile``.

Standard library only.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from mnistzoo.fields import DATASET_NAME, PATH, is_line, require

DIGITS = tuple("0123456789")

_CHECKSUM = re.compile(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}")
_MOST_CLASSES = 256  # labels are bytes


@dataclass(frozen=True, slots=True)
class DataFile:
    """One IDX file of a data set.

    Attributes:
        name: its published name, such as ``"train-images-idx3-ubyte"``, or that of the archive that
            holds it.
        checksum: kind and value, ``"sha256:..."`` or ``"md5:..."``, as its authors publish it: of
            the bytes of the file with this name. Under a name without ``.gz`` these are the
            unzipped ones, and the file may lie there plain or gzipped; under one with ``.gz`` the
            gzipped file itself is checked.
        member: the path inside the archive, if ``name`` is that of a ``.zip``.

    Raises:
        ValueError: if a value breaks a rule above.
    """

    name: str
    checksum: str
    member: str = ""

    def __post_init__(self) -> None:
        require(
            isinstance(self.name, str) and PurePosixPath(self.name).name == self.name != "",
            f"data file {self.name!r} must be the name of a file, without a folder",
        )
        require(
            isinstance(self.checksum, str) and _CHECKSUM.fullmatch(self.checksum) is not None,
            f"checksum {self.checksum!r} of {self.name} must be 'md5:' or 'sha256:' and its "
            "lower-case hexadecimal digits",
        )
        require(
            is_line(self.member) and bool(self.member) == self.name.endswith(".zip"),
            f"member of {self.name} is {self.member!r}, it must be the path inside a .zip archive, "
            "and empty for another file",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetSpec:
    """One data set, as its plugin registers it: images of 28x28 bytes and a label for each.

    Its files are looked for in ``folders``, in ``./data`` and in the cache, and else downloaded
    from one of the ``sources``. They count only if their checksums are right. A data set without
    sources is looked for in its ``folders`` alone, if it has some: it ships with its plugin.

    Attributes:
        name: how users ask for it, ``[a-z][a-z0-9_-]*``.
        summary: one line.
        classes: the names of the labels 0, 1, 2 ...; 2 to 256.
        train: the file with the training images and that with their labels; empty if there are
            none.
        test: the same of the test set.
        train_images: how many training images there are.
        test_images: how many test images.
        validation_size: how many of the training images, the last, are for choices.
        sources: in the order in which they are tried: the start of an address, ``"https://.../"``,
            to which the name of a file is added (and ``.gz`` where it has none); or
            ``"package.module:callable"``, which is called with a folder to put the files into.
        decode: ``"package.module:callable"``; called with the two arrays of a split as the files
            hold them, it returns images, uint8 ``(N, 28, 28)``, 0 (paper) to 255 (ink), and labels,
            integers ``(N,)`` from 0. Empty: the files hold just that.
        folders: where the files may be already: ``"package.module:folder"`` of an installed
            package, or an absolute path, as that of a package of the system.
        subfolders: of ``./data`` and ``--data-dir``, in which they are found too, such as
            ``"MNIST/raw"``, where torchvision puts them.
        cache: the name of its folder in the cache and in ``./data``, where that is not its own:
            data sets that share an archive share it.
        weights_from: another data set whose weights serve this one too, having the same classes and
            images of the same kind.
        license: SPDX identifier of the data, such as ``"MIT"``.
        source: where it comes from: a paper, an address.

    Raises:
        ValueError: if a value breaks a rule above.
    """

    name: str
    summary: str
    classes: tuple[str, ...]
    train: tuple[DataFile, ...]
    test: tuple[DataFile, ...]
    train_images: int
    test_images: int
    validation_size: int
    sources: tuple[str, ...] = ()
    decode: str = ""
    folders: tuple[str, ...] = ()
    subfolders: tuple[str, ...] = ()
    cache: str = ""
    weights_from: str = ""
    license: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        require(
            isinstance(self.name, str) and DATASET_NAME.fullmatch(self.name) is not None,
            f"data set name {self.name!r} must match [a-z][a-z0-9_-]*",
        )
        where = f"of data set {self.name!r}"
        for attribute in ("summary", "license", "source", "cache", "weights_from"):
            require(
                is_line(getattr(self, attribute)),
                f"{attribute} {where} must be one line of printable text",
            )
        for attribute in ("classes", "sources", "folders", "subfolders"):
            values = getattr(self, attribute)
            require(
                isinstance(values, tuple) and all(is_line(each) and each for each in values),
                f"{attribute} {where} must be a tuple of lines of printable text",
            )
        require(
            2 <= len(self.classes) <= _MOST_CLASSES and len(set(self.classes)) == len(self.classes),
            f"classes {where} must be 2 to {_MOST_CLASSES} different names",
        )
        for attribute in ("train", "test"):
            files, images = getattr(self, attribute), getattr(self, f"{attribute}_images")
            require(
                isinstance(files, tuple)
                and len(files) in (0, 2)
                and all(isinstance(each, DataFile) for each in files),
                f"{attribute} {where} must be two DataFiles, the images' and the labels', or none",
            )
            require(
                isinstance(images, int) and images >= 0 and bool(images) == bool(files),
                f"{attribute}_images {where} is {images!r}, it must be a whole number from 1, or 0 "
                "without files",
            )
        require(bool(self.train or self.test), f"train and test {where} must not both be empty")
        require(
            isinstance(self.validation_size, int)
            and (0 < self.validation_size < self.train_images or not self.train),
            f"validation_size {where} must be from 1, and leave images to train on",
        )
        for address in self.sources:
            require(
                (address.startswith(("https://", "http://")) and address.endswith("/"))
                or PATH.fullmatch(address) is not None,
                f"source {address!r} {where} must be an address from 'https://' to '/', or a "
                "string 'package.module:callable'",
            )
        require(
            not self.decode or PATH.fullmatch(self.decode) is not None,
            f"decode {self.decode!r} {where} must be a string 'package.module:callable'",
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> "DatasetSpec":
        """Build it from what :meth:`to_dict` returned, also after JSON made lists of tuples.

        Raises:
            TypeError: if something is missing, or there is more.
            ValueError: if a value breaks a rule.
        """
        values = dict(facts)
        for name in ("train", "test"):
            values[name] = tuple(DataFile(**each) for each in values[name])
        for name in ("classes", "sources", "folders", "subfolders"):
            values[name] = tuple(values[name])
        return cls(**values)
