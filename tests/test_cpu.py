"""What is done to the machine: the memory of one batch serves the next, and no thread spins."""

import contextlib
import os
import platform
import sys
import threading

import pytest
import torch
from processes import run

from mnistzoo.cpu import computing_threads

# Prints how many bytes of a freed batch the process no longer holds. (Not its page faults: how many
# there are depends on the huge pages that the kernel has at hand.)
_BATCH = """
import resource, sys, torch
from mnistzoo.cpu import keep_freed_memory

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


_OPENMP = ("GOMP_", "OMP_")
# Prints the nanoseconds for which the second thread of torch computes, and then spins before it
# sleeps: before a block of `computing_threads`, in it, after it, in evaluation and in training.
# These are of the thread's own time on the processor: a busy machine does not change them.
_SPINS = """
import sys, threading
first = sys.argv[1]
if first == "torch":
    import torch
import mnistzoo
assert ("torch" in sys.modules) == (first == "torch")
import torch
from pathlib import Path
from torch import nn
from mnistzoo.cpu import computing_threads
from mnistzoo.inference import predict_logits

def cpu_time(thread):
    return int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[0])

def state(thread):
    return Path(f"/proc/self/task/{thread}/stat").read_text().rpartition(")")[2].split()[0]

def threads():
    return {each.name for each in Path("/proc/self/task").iterdir()}

torch.set_num_threads(2)
before = threads()
many = torch.ones(1 << 17)
(worker,) = threads() - before

def spins():
    spent = []
    for _ in range(9):
        started = cpu_time(worker)
        many.add_(1)
        while state(worker) != "S":
            pass
        spent.append(cpu_time(worker) - started)
    return sorted(spent)[4]

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(784, 10)
    def forward(self, images):
        found[self.training] = spins()
        return self.linear(images.flatten(1))

found = {}
print(spins())
with computing_threads(2):
    print(spins())
print(spins())
predict_logits(Net(), torch.zeros(8, 1, 28, 28, dtype=torch.uint8))
recipe = mnistzoo.Recipe(
    epochs=1, batch_size=8, optimizer="sgd", learning_rate=0.1, threads=2
)
mnistzoo.train(Net, mnistzoo.load_dataset("mnist-10k").train[:8], recipe, device="cpu")
print(found[False])
print(found[True])
"""


@pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2,
    reason="needs libgomp, torch's OpenMP on Linux, which never spins for long on one core",
)
@pytest.mark.parametrize("first", ["torch", "mnistzoo"])
def test_waiting_threads_sleep_soon_whichever_is_imported_first(first: str) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith(_OPENMP)}
    command = [sys.executable, "-c", _SPINS, first]
    printed = run(command, env=own, check=True).stdout
    before, block, after, evaluation, training = map(int, printed.split())
    for within in (block, evaluation, training):
        assert within < min(before, after) / 4


def test_as_many_threads_as_asked_for_and_then_as_before() -> None:
    before = torch.get_num_threads()
    with computing_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        with computing_threads():
            assert torch.get_num_threads() == before + 1
        with computing_threads(1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


@pytest.mark.skipif(sys.platform != "linux", reason="only there a team is kept")
def test_the_team_that_was_kept_ends_with_the_block() -> None:
    def threads() -> set[str]:
        return {thread.name for thread in threading.enumerate()}

    with computing_threads(1):
        assert "mnistzoo-openmp-team" not in threads()  # one thread waits for none
    with contextlib.suppress(ZeroDivisionError), computing_threads(2):
        assert "mnistzoo-openmp-team" in threads()
        raise ZeroDivisionError
    assert "mnistzoo-openmp-team" not in threads()
