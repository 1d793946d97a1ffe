"""The training loop, one for all models, driven by a recipe."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnistzoo.data import Split
from mnistzoo.errors import MnistzooError
from mnistzoo.inference import predict_logits, resolve_device, to_input, to_tensor
from mnistzoo.spec import Recipe
from mnistzoo.training.schedule import learning_rate

StateDict = dict[str, Tensor]


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
        epochs: in their order.
    """

    recipe: Recipe
    device: str
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
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    on_step: Callable[[int], None] = lambda step: None,
) -> tuple[nn.Module, TrainingRun]:
    """Create a model and train it by a recipe.

    On a CPU the same recipe, data, machine and versions give the same weights, bit for bit. The
    caller's random state is left as it was.

    Args:
        create: makes the model, from the recipe's seed.
        recipe: how to train.
        data: the images to train on.
        validation: images whose accuracy is reported after each epoch; they change nothing else.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        on_epoch: called after each epoch.
        on_step: called after each step with its number in the run, from 1.

    Returns:
        The model as it is at the end of training, in evaluation mode, and the run.

    Raises:
        TrainingDiverged: at the end of an epoch in which the loss or a weight became NaN or
            infinite.
        TrainingInterrupted: on Ctrl-C.
        DeviceError: if the device is not there.
        ValueError: if there are no images.
    """
    if len(data) == 0:
        raise ValueError("there are no images to train on")
    where = resolve_device(device)
    run = TrainingRun(recipe, where.type)
    with torch.random.fork_rng(), _denormals_flushed():
        torch.manual_seed(recipe.seed)
        # Convolutions and pooling run faster channels last; other layers do not notice.
        model = create().to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
        last_good = _copy_of_state(model)
        try:
            for epoch in _epochs(model, recipe, data, validation, where, on_step):
                last_good = _copy_of_state(model)
                run.epochs.append(epoch)
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
    model: nn.Module,
    recipe: Recipe,
    data: Split,
    validation: Split | None,
    device: torch.device,
    on_step: Callable[[int], None],
) -> Iterator[Epoch]:
    images = to_tensor(data.images, device)
    labels = torch.tensor(data.labels, device=device, dtype=torch.long)
    held_out = None if validation is None else to_tensor(validation.images, device)
    order = torch.Generator().manual_seed(recipe.seed)
    optimizer = _optimizer(model, recipe)
    total_steps = recipe.epochs * len(_batches(torch.arange(len(data)), recipe.batch_size))
    started = time.perf_counter()
    step = 0
    for number in range(1, recipe.epochs + 1):
        model.train()
        # Losses stay on the device until the epoch ends: reading one would wait for its step.
        step_losses = []
        shuffled = torch.randperm(len(data), generator=order).to(device)
        for batch in _batches(shuffled, recipe.batch_size):
            optimizer.param_groups[0]["lr"] = learning_rate(recipe, step, total_steps)
            inputs = to_input(images.index_select(0, batch))  # augmentation will go here
            targets = labels.index_select(0, batch)
            loss = F.cross_entropy(model(inputs), targets, label_smoothing=recipe.label_smoothing)
            model.zero_grad()
            loss.backward()
            optimizer.step()
            step_losses.append(loss.detach())
            step += 1
            on_step(step)
        losses = torch.stack(step_losses)
        if not losses.isfinite().all():
            raise _NotFinite(step=int((~losses.isfinite()).nonzero()[0]) + 1)
        if not all(tensor.isfinite().all() for tensor in model.state_dict().values()):
            raise _NotFinite(step=len(step_losses))
        accuracy = None
        if validation is not None and held_out is not None:
            predicted = predict_logits(model, held_out).argmax(1).cpu().numpy()
            accuracy = float((predicted == validation.labels).mean())
        yield Epoch(number, float(losses.mean()), accuracy, time.perf_counter() - started)


def _batches(order: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    batches = order.split(batch_size)
    if len(batches) > 1 and len(batches[-1]) == 1:  # batch norm cannot train on a single image
        batches = (*batches[:-2], torch.cat(batches[-2:]))
    return batches


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    parameters = model.parameters()
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "adam":
        return torch.optim.Adam(parameters, rate, weight_decay=decay, fused=True)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(parameters, rate, weight_decay=decay, fused=True)
    return torch.optim.SGD(
        parameters, rate, momentum=0.9, nesterov=True, weight_decay=decay, fused=True
    )


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
