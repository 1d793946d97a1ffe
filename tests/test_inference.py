"""The memory of one batch serves the next."""

import os
import platform
import sys

import pytest
from processes import run

# Prints how many bytes of a freed batch the process no longer holds. (Not its page faults: how many
# there are depends on the huge pages that the kernel has at hand.)
_BATCH = """
import resource, sys, torch
from mnistzoo.inference import keep_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

if sys.argv[1] == "kept":
    keep_freed_memory()
blocks = [torch.zeros(2 << 20, dtype=torch.uint8) for _ in range(10)]
held = resident()
del blocks
print(held - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc's allocator")
def test_freed_memory_is_not_given_back_to_the_system() -> None:
    set_for_all = ("MALLOC_", "GLIBC_TUNABLES")
    own = {name: value for name, value in os.environ.items() if not name.startswith(set_for_all)}
    given_back, kept = (
        int(run([sys.executable, "-c", _BATCH, how], env=own, check=True).stdout)
        for how in ("given back", "kept")
    )
    assert given_back > 15 << 20
    assert kept < 5 << 20
