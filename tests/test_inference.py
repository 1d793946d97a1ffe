"""The memory of one batch serves the next."""

import os
import platform
import subprocess
import sys

import pytest

# Prints how many pages the system had to hand out for batches that are alike.
_BATCHES = """
import resource, sys, torch
from mnistzoo.inference import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    blocks = [torch.zeros(2 << 20, dtype=torch.uint8) for _ in range(10)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc's allocator")
def test_freed_memory_is_not_given_back_to_the_system() -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    given_back, kept = (
        int(subprocess.check_output([sys.executable, "-c", _BATCHES, how], env=own))
        for how in ("given back", "kept")
    )
    assert kept < given_back / 2
