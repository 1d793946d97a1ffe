"""Training runs of a registered model, with their progress on stderr."""

import contextlib
import functools
import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import safetensors.torch
import torch
from torch import nn

from mnistzoo.data import Dataset
from mnistzoo.errors import MnistzooError, reason
from mnistzoo.models import create_model
from mnistzoo.spec import Recipe
from mnistzoo.training.progress import TrainingProgress
from mnistzoo.training.trainer import TrainingRun, train


def train_registered(
    name: str,
    recipe: Recipe,
    dataset: Dataset,
    *,
    final: bool = False,
    device: str = "auto",
    checkpoint: str | None = None,
    resume: bool = False,
    show_progress: bool = True,
    bar: bool = True,
) -> tuple[nn.Module, TrainingRun]:
    """Train a registered model as :func:`mnistzoo.train` does, on a data set's training images.

    Args:
        name: of the model.
        recipe: how to train.
        dataset: whose training images are used; its validation images are watched.
        final: train on the validation images too.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        checkpoint: a folder to save the run's state in.
        resume: go on from there.
        show_progress: on stderr, a line an epoch.
        bar: and a bar below them, if stderr is a terminal.
    """
    images = dataset.train_and_validation if final else dataset.train
    title = f"{name} seed {recipe.seed}"
    with TrainingProgress(title, recipe, len(images), show=show_progress, bar=bar) as progress:
        return train(
            lambda: create_model(name),
            recipe,
            images,
            None if final else dataset.validation,
            device=device,
            checkpoint=checkpoint,
            resume=resume,
            on_epoch=progress.on_epoch,
            on_step=progress.on_step,
        )


def train_seeds(
    name: str,
    recipes: list[Recipe],
    dataset: Dataset,
    *,
    final: bool = False,
    device: str = "auto",
    cores: int = 1,
    show_progress: bool = True,
) -> Iterator[tuple[nn.Module, TrainingRun]]:
    """Train a model by several recipes that differ in their seed, in their order.

    Runs whose recipe does not take all the cores run side by side, each in its own process, and end
    with the weights that they would have had one after the other, bit for bit.

    Args:
        name: of the model.
        recipes: of the runs.
        dataset: whose training images are used.
        final: train on the validation images too.
        device: ``"cpu"``; on ``"cuda"`` the runs follow one another.
        cores: how many may be used side by side; above 1 the model must come from an installed
            plugin, and the script that calls this needs the guard ``if __name__ == "__main__"``.
        show_progress: on stderr.

    Raises:
        MnistzooError: if a run fails.
    """
    threads = recipes[0].threads or cores
    at_once = min(len(recipes), cores // threads) if device == "cpu" else 1
    if at_once <= 1:
        for recipe in recipes:
            yield train_registered(
                name, recipe, dataset, final=final, device=device, show_progress=show_progress
            )
        return
    others = set(multiprocessing.active_children())
    spawn = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    one_run = functools.partial(
        _train_in_process, name, dataset=dataset, final=final, show_progress=show_progress
    )
    with ProcessPoolExecutor(at_once, spawn, initializer=_leave_ctrl_c_to_the_parent) as pool:
        try:
            with _ctrl_c_held_back():
                results = pool.map(one_run, recipes)
            for state, run in results:
                model = create_model(name)
                model.load_state_dict(safetensors.torch.load(state))
                yield model.to(memory_format=torch.channels_last).eval(), run  # type: ignore[call-overload]
        except BaseException:  # Ctrl-C, a failed run, or nobody wants the rest
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


def _train_in_process(
    name: str, recipe: Recipe, dataset: Dataset, final: bool, show_progress: bool
) -> tuple[bytes, TrainingRun]:
    try:
        model, run = train_registered(
            name,
            recipe,
            dataset,
            final=final,
            device="cpu",
            show_progress=show_progress,
            bar=False,
        )
    except Exception as error:  # not every error of a model or the trainer can be pickled
        raise MnistzooError(f"seed {recipe.seed}: {reason(error)}") from None
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    return safetensors.torch.save(state), run
