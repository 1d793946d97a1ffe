"""Test images of a data set that a plugin registers, read in a worker."""

import logging
import math

import numpy as np
from numpy.typing import NDArray

from mnistzoo.data import load_dataset
from mnistzoo.errors import MnistzooError, reason
from mnistzoo.workers.discovery import discovered
from mnistzoo.workers.worker import Limits, Worker, can_isolate

_MOST = 2**30  # bytes
_log = logging.getLogger("mnistzoo")


def images_apart(dataset: str, limits: Limits | None = None) -> NDArray[np.uint8] | None:
    """Return a data set's test images ``(N, 28, 28)``, without running a plugin's code here.

    None where they are not here without a download, or no plugin registers the data set.

    Args:
        dataset: its name.
        limits: of the process that reads them.
    """
    try:
        if not can_isolate():
            return read_images(dataset)
        # Those that failed are left out: one of them might end the process.
        known = [each for each in discovered(limits) if each.enabled and not each.error]
        with Worker({each.distribution for each in known}, limits=limits) as worker:
            worker.send({"task": "test images", "dataset": dataset})
            _, arrays = worker.receive(_MOST)
    except MnistzooError as error:
        _log.debug("%s: %s", dataset, reason(error))
        return None
    fits = len(arrays) == 1 and arrays[0].dtype == np.uint8 and arrays[0].shape[1:] == (28, 28)
    return arrays[0] if fits and math.prod(arrays[0].shape) else None


def read_images(dataset: str) -> NDArray[np.uint8]:
    """Return a data set's test images, if they are here without a download.

    Raises:
        DataError: if they are not.
    """
    data = load_dataset(dataset)
    for file in data.spec.test:
        data.verify(file)
    return data.test.images
