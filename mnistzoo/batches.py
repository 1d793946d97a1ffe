"""Batches of whatever data set or loader a user has, as evaluations take them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from mnistzoo.data import DataError
from mnistzoo.inference import BATCH_SIZE


def labelled_batches(
    data: "TorchDataset[Any] | DataLoader[Any]", labels: list[Tensor]
) -> Iterator[Tensor]:
    """Yield the images batch by batch, and append each batch's labels to the list.

    Args:
        data: any data set of ``(image, label)``, or a ``DataLoader`` over one; images
            ``(1, 28, 28)`` or ``(28, 28)``, uint8 or float from 0 to 1.
        labels: grows by one tensor ``(N,)`` a batch.

    Yields:
        images ``(N, 1, 28, 28)``, uint8 or float from 0 to 1.

    Raises:
        DataError: if the data is of another kind, or empty.
    """
    loader = data if isinstance(data, DataLoader) else DataLoader(data, batch_size=BATCH_SIZE)
    empty = True
    for batch in loader:
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            raise DataError(
                f"the data gives {type(batch).__name__}, expected pairs of an image and a label"
            )
        images, found = map(torch.as_tensor, batch)
        if images.dim() == 3:
            images = images.unsqueeze(1)
        if images.shape[1:] != (1, 28, 28) or not (
            images.is_floating_point() or images.dtype == torch.uint8
        ):
            raise DataError(
                f"the images are {images.dtype} {tuple(images.shape)}, expected float or uint8 "
                "(N, 1, 28, 28); transform them in the data set"
            )
        if images.is_floating_point() and not 0 <= images.min() <= images.max() <= 1:
            what_next = "divide them by 255"
            if images.min() < 0:
                what_next = "leave out what normalises them, the models do it inside"
            raise DataError(
                f"the images go from {images.min():.4g} to {images.max():.4g}, expected floats "
                f"from 0 (paper) to 1 (ink); {what_next}"
            )
        labels.append(found.cpu())
        empty = False
        yield images
    if empty:
        raise DataError("there are no images to evaluate")


def as_bytes(batch: Tensor) -> NDArray[np.uint8]:
    """Return images ``(N, 1, 28, 28)``, uint8 or float from 0 to 1, as uint8 ``(N, 28, 28)``."""
    images = batch.squeeze(1)
    if images.is_floating_point():
        images = images.mul(255).round()
    return images.cpu().numpy().astype(np.uint8)
