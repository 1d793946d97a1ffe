"""The training loop, one for all models, driven by a recipe."""

import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnistzoo.data import Split
from mnistzoo.errors import MnistzooError
from mnistzoo.inference import (
    computing_threads,
    keep_freed_memory,
    predict_logits,
    resolve_device,
    to_input,
    to_tensor,
)
from mnistzoo.models import load_model
from mnistzoo.spec import Precision, Recipe
from mnistzoo.training.augment import augment, crop_middle
from mnistzoo.training.checkpoint import Checkpoint
from mnistzoo.training.schedule import learning_rate
from mnistzoo.training.state import StateDict, TrainingState

_log = logging.getLogger("mnistzoo")


@dataclass(frozen=True)
class Epoch:
    """One complete pass over the training images.

    Attributes:
        number: from 1.
        loss: mean training loss of the epoch's steps.
        validation_accuracy: at its end, 0 to 1; None without a validation split.
        seconds: since training began, validation included.
    """

    number: int
    loss: float
    validation_accuracy: float | None
    seconds: float


@dataclass
class TrainingRun:
    """What training came to; the epochs that were completed.

    Attributes:
        recipe: that was followed.
        device: ``"cpu"`` or ``"cuda"``.
        precision: of the training steps; ``"float32"`` where the recipe says ``"bfloat16"`` and the
            processor has no arithmetic for it.
        epochs: in their order.
    """

    recipe: Recipe
    device: str
    precision: Precision
    epochs: list[Epoch] = field(default_factory=list)

    @property
    def validation_accuracy(self) -> float | None:
        """At the end of training, 0 to 1; None without a validation split."""
        return self.epochs[-1].validation_accuracy if self.epochs else None

    @property
    def seconds(self) -> float:
        """From the first step to the end of the last complete epoch."""
        return self.epochs[-1].seconds if self.epochs else 0.0


class TrainingDiverged(MnistzooError):
    """The loss or a weight became NaN or infinite.

    ``model`` is as it was after the last complete epoch, the last of ``run``.
    """

    def __init__(self, epoch: int, step: int, model: nn.Module, run: TrainingRun) -> None:
        super().__init__(
            f"the loss or a weight became NaN or infinite in epoch {epoch}, step {step}; try a "
            "lower learning rate"
        )
        self.model = model
        self.run = run


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C came; ``model`` is as it was after the last complete epoch, the last of ``run``."""

    def __init__(self, model: nn.Module, run: TrainingRun) -> None:
        super().__init__(f"interrupted in epoch {len(run.epochs) + 1}")
        self.model = model
        self.run = run


def train(
    create: Callable[[], nn.Module],
    recipe: Recipe,
    data: Split,
    validation: Split | None = None,
    *,
    device: str = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    on_step: Callable[[int], None] = lambda step: None,
) -> tuple[nn.Module, TrainingRun]:
    """Create a model and train it by a recipe.

    On a CPU the same recipe, data, machine and versions give the same weights, bit for bit; on CUDA
    they may differ in their last bits. The caller's random state is left as it was; the process
    keeps more of the memory that it frees (:func:`~mnistzoo.inference.keep_freed_memory`).

    Args:
        create: makes the model, from the recipe's seed.
        recipe: how to train.
        data: the images to train on.
        validation: images whose accuracy is reported after each epoch; they change nothing else.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        checkpoint: a folder; the whole state of the run is saved there after every epoch.
        resume: go on from the checkpoint in that folder, if there is one, and end with the weights
            of a run that was never stopped, on a CPU bit for bit.
        on_epoch: called after each epoch that is trained now.
        on_step: called after each step with its number in the run, from 1.

    Returns:
        The model as it is at the end of training, in evaluation mode, and the run.

    Raises:
        TrainingDiverged: at the end of an epoch in which the loss or a weight became NaN or
            infinite.
        TrainingInterrupted: on Ctrl-C.
        CheckpointError: if the checkpoint is damaged or of another run, or if there is one and
            ``resume`` is not set.
        DeviceError: if the device is not there.
        ModelError: if the recipe's teacher cannot be loaded.
        OSError: if the checkpoint cannot be written.
        ValueError: if there are no images, or ``resume`` is set without a checkpoint.
    """
    if len(data) == 0:
        raise ValueError("there are no images to train on")
    if resume and checkpoint is None:
        raise ValueError("resume needs the folder of a checkpoint")
    where = resolve_device(device)
    run = TrainingRun(recipe, where.type, _precision(recipe, where))
    cuda = [torch.cuda.current_device()] if where.type == "cuda" else []
    keep_freed_memory()
    with (
        torch.random.fork_rng(cuda),
        computing_threads(recipe.threads),
        _denormals_flushed(),
        # All batches but one have one size, so cuDNN's search for the quickest kernels pays.
        torch.backends.cudnn.flags(enabled=True, benchmark=True),
    ):
        state = TrainingState(create, recipe, where)
        # Before a checkpoint is restored: to load a teacher draws random numbers.
        loss_of = _loss(state.model, run, where)
        saved = None
        if checkpoint is not None:
            saved = Checkpoint(checkpoint, recipe, data, where, state.model)
            if not resume:
                saved.require_absent()
            elif saved.path.exists():
                run.epochs = [Epoch(**facts) for facts in saved.restore(state)]
                _log.info("going on from %s after epoch %d", saved.path, len(run.epochs))
            else:
                _log.info("%s is not there yet: training from the beginning", saved.path)
        model = state.result
        last_good = _copy_of_state(model)
        try:
            for epoch in _epochs(state, loss_of, run, data, validation, where, on_step):
                last_good = _copy_of_state(model)
                run.epochs.append(epoch)
                if saved is not None:
                    saved.save(state, [dataclasses.asdict(each) for each in run.epochs])
                on_epoch(epoch)
        except (KeyboardInterrupt, _NotFinite) as stop:
            model.load_state_dict(last_good)
            model.eval()
            if isinstance(stop, _NotFinite):
                raise TrainingDiverged(len(run.epochs) + 1, stop.step, model, run) from None
            raise TrainingInterrupted(model, run) from None
    return model.eval(), run


class _NotFinite(Exception):
    def __init__(self, step: int) -> None:
        self.step = step


def _epochs(
    state: TrainingState,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    run: TrainingRun,
    data: Split,
    validation: Split | None,
    device: torch.device,
    on_step: Callable[[int], None],
) -> Iterator[Epoch]:
    images = to_tensor(data.images, device)
    labels = torch.tensor(data.labels, device=device, dtype=torch.long)
    held_out = None if validation is None else to_tensor(validation.images, device)
    recipe = run.recipe
    parameters = list(state.model.parameters())
    steps = steps_per_epoch(len(data), recipe.batch_size)
    all_steps = recipe.epochs * steps
    done = len(run.epochs)
    step = done * steps
    started = time.perf_counter() - run.seconds
    for number in range(done + 1, recipe.epochs + 1):
        state.model.train()
        # Losses stay on the device until the epoch ends: reading one would wait for its step.
        step_losses = []
        shuffled = torch.randperm(len(data), generator=state.order).to(device)
        for batch in _batches(shuffled, recipe.batch_size):
            inputs = to_input(images.index_select(0, batch))
            if number <= recipe.epochs - recipe.augmentation.plain_epochs:
                inputs = augment(inputs, recipe.augmentation, state.distortion)
            else:
                inputs = crop_middle(inputs, recipe.augmentation.crop)
            loss = loss_of(inputs, labels.index_select(0, batch))
            state.model.zero_grad()
            loss.backward()
            if recipe.clip_norm is not None:
                nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
            state.optimizer.step(learning_rate(recipe, step, all_steps))
            step += 1
            state.average(step)
            step_losses.append(loss.detach())
            on_step(step)
        losses = torch.stack(step_losses)
        if not losses.isfinite().all():
            raise _NotFinite(step=int((~losses.isfinite()).nonzero()[0]) + 1)
        # A buffer may hold an infinity on purpose, as an attention mask does.
        if not all(parameter.isfinite().all() for parameter in parameters) or any(
            tensor.isnan().any() for tensor in state.model.state_dict().values()
        ):
            raise _NotFinite(step=len(step_losses))
        accuracy = None
        if validation is not None and held_out is not None:
            predicted = predict_logits(state.result, held_out).argmax(1).cpu().numpy()
            accuracy = float((predicted == validation.labels).mean())
        yield Epoch(number, float(losses.mean()), accuracy, time.perf_counter() - started)


def _precision(recipe: Recipe, device: torch.device) -> Precision:
    # Without the arithmetic bfloat16 is emulated: measured, a step takes seven times as long.
    if recipe.precision == "float32" or device.type == "cuda" or cpu_computes_bfloat16():
        return recipe.precision
    _log.info("this processor has no arithmetic for bfloat16: training in float32")
    return "float32"


def cpu_computes_bfloat16() -> bool:
    """Say whether this processor has arithmetic for bfloat16, as torch sees it."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _loss(
    model: nn.Module, run: TrainingRun, device: torch.device
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the function from inputs and labels to the loss of one step."""
    recipe = run.recipe
    # A graph for each size of batch: one for all sizes would differ after a resume, and be slower.
    forward = torch.compile(model, dynamic=False) if recipe.compile else model
    distillation = recipe.distillation
    teacher = None if distillation is None else load_model(distillation.teacher).to(device)
    mixed = run.precision == "bfloat16"
    mixed_precision = torch.autocast(device.type, torch.bfloat16) if mixed else nullcontext()

    def loss_of(inputs: Tensor, labels: Tensor) -> Tensor:
        with mixed_precision:
            logits = forward(inputs)
        logits = logits.float()
        loss = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
        if distillation is None or teacher is None:
            return loss
        with mixed_precision, torch.no_grad():
            taught = teacher(inputs)
        # Times temperature squared, so that the gradient keeps its size (arXiv 1503.02531).
        temperature = distillation.temperature
        softened = (taught.float() / temperature).softmax(1)
        imitation = F.cross_entropy(logits / temperature, softened) * temperature**2
        return torch.lerp(loss, imitation, distillation.weight)

    return loss_of


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


@contextlib.contextmanager
def _denormals_flushed() -> Iterator[None]:
    """Flush denormal numbers to zero: Adam's averages of dead pixels decay into them, and they slow
    a CPU down.

    The processor has the switch once a thread: torch's worker threads take it over when they start,
    so those that ran before keep theirs, and those that start here keep this one.
    """
    flushed_before = bool(torch.tensor(1e-310, dtype=torch.float64).mul(1) == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed_before)
