"""The files of the page, which the server and a static host have in common."""

import functools
from pathlib import Path

from mnistzoo.data import load_dataset
from mnistzoo.data.idx import idx_bytes

STATIC = Path(__file__).with_name("static")
_EXAMPLES = 100


@functools.cache  # it reads the whole test set
def examples() -> bytes:
    """Return the first 100 digits of MNIST's test set as an IDX file."""
    return idx_bytes(load_dataset("mnist-10k").test.images[:_EXAMPLES])
