"""Random numbers from a seed, for a while."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw the random numbers of torch, NumPy and Python from a seed in the block.

    Afterwards each generator is where it was before.

    Args:
        seed: from 0 to 2**63 - 1.
        device: whose generator is seeded too.
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)
