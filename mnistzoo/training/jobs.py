"""Several training runs, side by side where the cores allow it."""

import contextlib
import dataclasses
import functools
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

import safetensors.torch
from torch import nn

from mnistzoo import estimators
from mnistzoo.classifier import is_module
from mnistzoo.errors import MnistzooError, reason
from mnistzoo.inference import resolve_device
from mnistzoo.models import create_model
from mnistzoo.training.callbacks import Callback
from mnistzoo.training.job import TrainingJob, run_training
from mnistzoo.training.progress import TrainingProgress
from mnistzoo.training.result import TrainingResult
from mnistzoo.weights import to_bytes


def run_jobs(
    jobs: Sequence[TrainingJob], *, threads: int, cores: int = 1, show_progress: bool = True
) -> Iterator[TrainingResult]:
    """Run jobs, and yield each result at the run's end.

    On a CPU as many run side by side, each in its own process, as the cores allow; they end with
    the weights that they would have had one after the other, bit for bit.

    Args:
        jobs: of one registered model.
        threads: that each computes with.
        cores: how many may be used side by side; above 1 the model must come from an installed
            plugin, and the script that calls this needs the guard ``if __name__ == "__main__"``.
        show_progress: on stderr.

    Raises:
        MnistzooError: if a run fails, once those beside it have come to their end.
    """
    on_cpu = resolve_device(jobs[0].device).type == "cpu"
    at_once = min(len(jobs), cores // threads) if on_cpu else 1
    if at_once <= 1:
        for job in jobs:
            yield run_training(job, [TrainingProgress()] if show_progress else [])
        return
    others = set(multiprocessing.active_children())
    spawn = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    one_run = functools.partial(_run_in_process, show_progress)
    with ProcessPoolExecutor(at_once, spawn, initializer=_leave_ctrl_c_to_the_parent) as pool:
        waiting, running, failure = list(jobs), set[Future[tuple[bytes, TrainingResult]]](), None
        try:
            while running or (waiting and failure is None):
                while waiting and failure is None and len(running) < at_once:
                    with _ctrl_c_held_back():
                        running.add(pool.submit(one_run, waiting.pop(0)))
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                for each in ended:
                    if error := each.exception():
                        failure = failure or error
                        continue
                    state, result = each.result()
                    told = result.provenance
                    model = create_model(told.model, num_classes=len(told.classes))
                    if is_module(model):
                        model.load_state_dict(safetensors.torch.load(state))
                        model.eval()
                    else:
                        estimators.from_bytes(model, state)
                    yield dataclasses.replace(result, model=model)
            if failure is not None:
                raise failure
        except BaseException:  # Ctrl-C, a process that died, or nobody wants the rest
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise


@contextlib.contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Deliver Ctrl-C only after the block; a process started in it never hears of it.

    Not even while it still imports torch, before its initializer runs.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave_ctrl_c_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run_in_process(show_progress: bool, job: TrainingJob) -> tuple[bytes, TrainingResult]:
    """Return the weights as bytes, since not every model can be pickled, and the rest."""
    callbacks: list[Callback] = [TrainingProgress(bar=False)] if show_progress else []
    try:
        result = run_training(dataclasses.replace(job, device="cpu"), callbacks)
    except Exception as error:  # not every error of a model or the trainer can be pickled
        seed = job.overrides.get("seed", "of the recipe")
        raise MnistzooError(f"seed {seed}: {reason(error)}") from None
    return to_bytes(result.model, {}), dataclasses.replace(result, model=nn.Module())
