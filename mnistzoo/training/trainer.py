"""The training loop, one for all models, driven by a recipe."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnistzoo.cpu import (
    computing_threads,
    cpu_computes_bfloat16,
    denormals_flushed,
    keep_freed_memory,
    laid_out,
)
from mnistzoo.data import Split
from mnistzoo.errors import MnistzooError
from mnistzoo.inference import predict_logits
from mnistzoo.inputs import to_input
from mnistzoo.modules import calling, training_loss
from mnistzoo.recipe import Precision, Recipe
from mnistzoo.registry import ModelError
from mnistzoo.training.augment import augment, crop_middle, mix
from mnistzoo.training.callbacks import Callback, Epoch, Start, Step
from mnistzoo.training.checkpoint import Checkpoint
from mnistzoo.training.schedule import learning_rate
from mnistzoo.training.state import StateDict, TrainingState

_log = logging.getLogger("mnistzoo")
_GLOBAL_GENERATOR = threading.RLock()


class NotFinite(Exception):
    """The loss or a weight became NaN or infinite.

    Attributes:
        step: of the epoch, from 1.
    """

    def __init__(self, step: int) -> None:
        self.step = step


@dataclass
class Fit:
    """How far training came.

    Attributes:
        model: as it is after the last complete epoch, in evaluation mode.
        history: the complete epochs.
        stopped: by what, if it did not come to the end of the recipe.
    """

    model: Any
    history: list[Epoch]
    stopped: KeyboardInterrupt | NotFinite | MnistzooError | OSError | None = None


@contextlib.contextmanager
def global_generator(device: torch.device) -> Iterator[None]:
    """Have torch's global generator for oneself in the block, and leave it as it was.

    Initial weights and dropout are drawn by it, one for all threads.
    """
    forked = torch.random.fork_rng([device] if device.type == "cuda" else [])
    with _GLOBAL_GENERATOR, forked:
        yield


def fit(
    create: Callable[[], nn.Module],
    name: str,
    recipe: Recipe,
    data: Split,
    validation: Split | None,
    device: torch.device,
    checkpoint: Callable[[nn.Module], Checkpoint | None],
    load_teacher: Callable[[str], nn.Module],
    callbacks: Sequence[Callback],
) -> Fit:
    """Create a model and train it.

    Args:
        create: makes the model, from the recipe's seed. A copy of it sees a few images more than
            the training's (:func:`~mnistzoo.cpu.prefer_channels_last`).
        name: of the model, for the callbacks.
        recipe: how to train.
        data: the images to train on.
        validation: images whose accuracy is found after each epoch; they change nothing else.
        device: to train on.
        checkpoint: returns the checkpoint of the run, if it has one, which may hold epochs already.
        load_teacher: returns a trained model by its name.
        callbacks: are told of each step and epoch.

    Raises:
        CheckpointError: if the checkpoint is damaged or of another run.
        ModelError: if the recipe's teacher cannot be loaded.
        ModelFailed: if the model raises an exception.
        OSError: if the checkpoint cannot be read.
    """
    keep_freed_memory()
    with (
        global_generator(device),
        computing_threads(recipe.threads),
        denormals_flushed(),
        # All batches but one have one size, so cuDNN's search for the quickest kernels pays.
        torch.backends.cudnn.flags(enabled=True, benchmark=True),
    ):
        steps = steps_per_epoch(len(data), recipe.batch_size)
        state = TrainingState(create, recipe, recipe.epochs * steps, device)
        # Before a checkpoint is restored: to load a teacher draws random numbers.
        loss_of = _loss(state.model, recipe, device, load_teacher)
        saved = checkpoint(state.model)
        fitted = Fit(state.result, [])
        if saved is not None and saved.path.exists():
            fitted.history = saved.restore(state)
            _log.info("going on from %s after epoch %d", saved.path, len(fitted.history))
        start = Start(name, recipe, len(data), steps, len(fitted.history))
        for callback in callbacks:
            callback.on_train_begin(start)
        last_good = _copy_of_state(fitted.model)
        try:
            for epoch in _epochs(state, loss_of, start, data, validation, fitted, callbacks):
                last_good = _copy_of_state(fitted.model)
                fitted.history.append(epoch)
                if saved is not None:
                    saved.save(state, fitted.history)
                for callback in callbacks:
                    callback.on_epoch_end(epoch)
        except (KeyboardInterrupt, NotFinite, MnistzooError, OSError) as stop:
            fitted.model.load_state_dict(last_good)
            fitted.stopped = stop
    fitted.model.eval()
    fitted.model.to(memory_format=torch.contiguous_format)
    return fitted


def _epochs(
    state: TrainingState,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    start: Start,
    data: Split,
    validation: Split | None,
    fitted: Fit,
    callbacks: Sequence[Callback],
) -> Iterator[Epoch]:
    images, labels = (tensor.to(state.device) for tensor in data.tensors())
    held_out = None if validation is None else validation.tensors()[0].to(state.device)
    recipe, amount, classes = start.recipe, start.recipe.augmentation, len(data.classes)
    parameters = list(state.model.parameters())
    all_steps = recipe.epochs * start.steps
    step = start.epochs_done * start.steps
    before = fitted.history[-1].seconds if fitted.history else 0.0
    started = time.perf_counter() - before
    left: Tensor | None = torch.get_rng_state()
    for number in range(start.epochs_done + 1, recipe.epochs + 1):
        state.model.train()
        # Losses stay on the device until the epoch ends: reading one would wait for its step.
        step_losses = []
        shuffled = torch.randperm(len(data), generator=state.order).to(state.device)
        for batch in _batches(shuffled, recipe.batch_size):
            left = _warn_of_strangers(left)
            inputs = to_input(images.index_select(0, batch))
            targets = labels.index_select(0, batch)
            if number <= recipe.epochs - amount.plain_epochs:
                inputs = augment(inputs, amount, state.distortion)
                if amount.function is not None:
                    inputs, targets = mix(inputs, targets, amount, classes, state.distortion)
            else:
                inputs = crop_middle(inputs, amount.crop)
            with calling(state.model, f"a training step on a batch of {len(batch)}"):
                loss = loss_of(inputs, targets)
                state.model.zero_grad()
                loss.backward()
            left = None if left is None else torch.get_rng_state()
            if recipe.clip_norm is not None:
                nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
            rate = learning_rate(recipe, step, all_steps)
            state.optimizer.step(rate)
            step += 1
            state.average(step)
            step_losses.append(loss.detach())
            for callback in callbacks:
                callback.on_step(Step(step, rate, step_losses[-1]))
        losses = torch.stack(step_losses)
        if not losses.isfinite().all():
            raise NotFinite(step=int((~losses.isfinite()).nonzero()[0]) + 1)
        # A buffer may hold an infinity on purpose, as an attention mask does.
        if not all(parameter.isfinite().all() for parameter in parameters) or any(
            tensor.isnan().any() for tensor in state.model.state_dict().values()
        ):
            raise NotFinite(step=len(step_losses))
        accuracy = None
        if validation is not None and held_out is not None:
            state.result.eval()
            # A model may draw random numbers in evaluation too; those of training stay the same.
            with torch.random.fork_rng([state.device] if state.device.type == "cuda" else []):
                predicted = predict_logits(state.result, held_out).argmax(1).cpu().numpy()
            accuracy = float((predicted == validation.labels).mean())
        seconds = time.perf_counter() - started
        yield Epoch(number, float(losses.mean()), rate, accuracy, seconds)


def _warn_of_strangers(left: Tensor | None) -> Tensor | None:
    """Say so, once, if the state of the global generator is another than the last step left it.

    Returns:
        The state, or None once it was said.
    """
    if left is None or torch.equal(left, torch.get_rng_state()):
        return left
    _log.warning(
        "something else draws torch's random numbers while this run trains (a callback, or another "
        "thread); the same seed will not give these weights again"
    )
    return None


def training_precision(recipe: Recipe, device: torch.device) -> Precision:
    """Return the precision of the recipe's training steps on the device.

    It is ``"float32"`` where the recipe says ``"bfloat16"`` and the processor has no arithmetic for
    it.
    """
    if recipe.precision == "float32" or device.type == "cuda" or cpu_computes_bfloat16():
        return recipe.precision
    return "float32"


def _loss(
    model: nn.Module,
    recipe: Recipe,
    device: torch.device,
    load_teacher: Callable[[str], nn.Module],
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the function from inputs and labels to the loss of one step."""
    distillation = recipe.distillation
    own = training_loss(model)
    if own is not None and (distillation is not None or recipe.label_smoothing):
        raise ModelError(
            f"{type(model).__name__} has a training_loss of its own, to which label_smoothing and "
            "teacher mean nothing; leave them out of the recipe"
        )
    # A graph for each size of batch: one for all sizes would differ after a resume, and be slower.
    forward: Any = own or model
    if recipe.compile:
        forward = torch.compile(forward, dynamic=False)
    teacher = None
    if distillation is not None:
        teacher = laid_out(load_teacher(distillation.teacher).to(device))
    mixed = training_precision(recipe, device) == "bfloat16"
    mixed_precision = torch.autocast(device.type, torch.bfloat16) if mixed else nullcontext()

    def own_loss(inputs: Tensor, labels: Tensor) -> Tensor:
        with mixed_precision:
            loss = forward(inputs, labels)
        if not isinstance(loss, Tensor) or loss.dim():
            shape = f" {tuple(loss.shape)}" if isinstance(loss, Tensor) else ""
            raise TypeError(
                f"training_loss() returns {type(loss).__name__}{shape}, expected a tensor of one "
                "number"
            )
        return loss.float()

    def loss_of(inputs: Tensor, labels: Tensor) -> Tensor:
        with mixed_precision:
            logits = forward(inputs)
        logits = logits.float()
        loss = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
        if distillation is None or teacher is None:
            return loss
        with mixed_precision, torch.no_grad(), calling(teacher, "forward() as the teacher"):
            taught = teacher(inputs)
        # Times temperature squared, so that the gradient keeps its size (arXiv 1503.02531).
        temperature = distillation.temperature
        softened = (taught.float() / temperature).softmax(1)
        imitation = F.cross_entropy(logits / temperature, softened) * temperature**2
        return torch.lerp(loss, imitation, distillation.weight)

    return loss_of if own is None else own_loss


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Return how many steps an epoch of so many images has."""
    return len(_batches(torch.arange(images), batch_size))


def _batches(order: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    batches = order.split(batch_size)
    if len(batches) > 1 and len(batches[-1]) == 1:  # batch norm cannot train on a single image
        batches = (*batches[:-2], torch.cat(batches[-2:]))
    return batches


def _copy_of_state(model: nn.Module) -> StateDict:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
