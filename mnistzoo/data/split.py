"""Images and their labels."""

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, SupportsIndex, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mnistzoo.data.sources import DataError
from mnistzoo.dataset_spec import DIGITS
from mnistzoo.inputs import as_input, how_to_convert

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import Dataset as TorchDataset

    _TorchDataset = TorchDataset[tuple[Tensor, int]]
else:
    _TorchDataset = object  # the data can be had where torch is not installed


@dataclass(frozen=True, eq=False, repr=False)
class Split(_TorchDataset):
    """Images and their labels: a data set as ``torch.utils.data.DataLoader`` takes it.

    ``split[3]`` is an image, float32 ``(1, 28, 28)`` from 0 to 1, and its label, an int;
    ``split[:100]`` is a split. :meth:`tensors` gives all of it at once, the fast way.

    Attributes:
        images: uint8 ``(N, 28, 28)``, 0 (paper) to 255 (ink); read-only in a data set's splits.
        labels: uint8 ``(N,)``, from 0; likewise. Given in another integer type or byte order, they
            are converted.
        classes: the names of the labels, by default of the ten digits.

    Raises:
        DataError: if the images or labels are of another shape or kind, or not equally many, or a
            label has no class.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    classes: tuple[str, ...] = DIGITS

    def __post_init__(self) -> None:
        images, labels = np.asarray(self.images), as_labels(self.labels, len(self.classes))
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
            return Split(self.images[index], self.labels[index], self.classes)
        import torch

        image = self.images[operator.index(index)]
        return torch.from_numpy(as_input(image[None])[0]), int(self.labels[index])

    def tensors(self) -> tuple["Tensor", "Tensor"]:
        """Return images, uint8 ``(N, 1, 28, 28)``, and labels, int64 ``(N,)``, as torch tensors."""
        import torch

        # Copies: tensors can be written to, and the arrays of a data set are shared and read-only.
        return torch.tensor(self.images).unsqueeze(1), torch.tensor(self.labels, dtype=torch.long)


def as_labels(labels: ArrayLike, classes: int) -> NDArray[np.uint8]:
    """Return labels ``(N,)`` of any integer type and byte order as uint8.

    Args:
        labels: 0 to ``classes - 1``.
        classes: how many there are, at most 256.

    Raises:
        DataError: if they are not integers, not in one row, or beyond the classes.
    """
    found, last = np.asarray(labels), classes - 1
    if found.dtype.kind not in "iu" or found.ndim != 1:
        raise DataError(
            f"the labels are {found.dtype} {found.shape}, expected integers (N,), 0 to {last}"
        )
    if found.size and not 0 <= found.min() <= found.max() <= last:
        raise DataError(f"the labels go from {found.min()} to {found.max()}, expected 0 to {last}")
    return found.astype(np.uint8, copy=False)
