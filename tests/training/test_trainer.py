import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mnistzoo import Recipe, Split, evaluate, load_dataset, train
from mnistzoo.inference import DeviceError
from mnistzoo.training import Epoch, TrainingDiverged, TrainingInterrupted

RECIPE = Recipe(epochs=2, batch_size=64, optimizer="adam", learning_rate=0.001, seed=3)


class SmallNet(nn.Module):
    """With what a trainer can get wrong: convolution, batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 5, stride=4)
        self.norm = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(8 * 6 * 6, 10)

    def forward(self, images: Tensor) -> Tensor:
        features = torch.relu(self.norm(self.conv(images))).flatten(1)
        return self.head(self.dropout(features))


@pytest.fixture(scope="module")
def data() -> Split:
    return load_dataset("mnist-10k").train


@pytest.fixture(scope="module")
def validation() -> Split:
    return load_dataset("mnist-10k").validation


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def test_a_net_learns_to_recognise_unseen_digits(data: Split, validation: Split) -> None:
    seen: list[Epoch] = []
    model, run = train(SmallNet, RECIPE, data, validation, on_epoch=seen.append)
    assert not model.training
    assert run.epochs == seen
    assert [epoch.number for epoch in seen] == [1, 2]
    assert seen[1].loss < seen[0].loss < math.log(10)
    assert run.validation_accuracy == evaluate(model, validation).accuracy > 0.85
    assert 0 < seen[0].seconds < seen[1].seconds == run.seconds


def test_the_same_seed_gives_the_same_weights_bit_for_bit(data: Split) -> None:
    first, _ = train(SmallNet, RECIPE, data[:1000])
    torch.rand(3)  # what a caller draws in between changes nothing
    second, _ = train(SmallNet, RECIPE, data[:1000])
    other, _ = train(SmallNet, dataclasses.replace(RECIPE, seed=4), data[:1000])
    assert same_weights(first, second)
    assert not same_weights(first, other)


def test_watching_validation_changes_no_weight(data: Split, validation: Split) -> None:
    unwatched, run = train(SmallNet, RECIPE, data[:1000])
    watched, _ = train(SmallNet, RECIPE, data[:1000], validation)
    assert run.validation_accuracy is None
    assert same_weights(unwatched, watched)


def test_the_callers_random_state_is_left_alone(data: Split) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    train(SmallNet, dataclasses.replace(RECIPE, epochs=1), data[:128])
    assert torch.equal(torch.rand(3), expected)


def test_denormals_are_flushed_only_while_training(data: Split) -> None:
    def flushed() -> bool:
        return bool(torch.tensor(1e-310, dtype=torch.float64).mul(1) == 0)

    during: list[bool] = []
    recipe = dataclasses.replace(RECIPE, epochs=1)
    train(SmallNet, recipe, data[:128], on_step=lambda _: during.append(flushed()))
    assert during == [True, True]
    assert not flushed()


def test_every_image_is_seen_once_an_epoch_and_the_last_batch_may_be_smaller(data: Split) -> None:
    batches: list[Tensor] = []

    class Recorder(SmallNet):
        def forward(self, images: Tensor) -> Tensor:
            batches.append(images.detach().clone())
            return super().forward(images)

    recipe = dataclasses.replace(RECIPE, epochs=2, batch_size=64)
    train(Recorder, recipe, data[:150])
    assert [len(batch) for batch in batches] == [64, 64, 22] * 2
    expected = np.sort(data.images[:150].reshape(150, -1).astype(np.float32).sum(1) / 255)
    orders = []
    for epoch in (batches[:3], batches[3:]):
        seen = torch.cat(epoch)
        assert seen.dtype == torch.float32
        assert 0 <= float(seen.min()) <= float(seen.max()) == 1
        sums = seen.flatten(1).sum(1).numpy()
        np.testing.assert_allclose(np.sort(sums), expected, rtol=1e-5)
        orders.append(sums)
    assert not np.array_equal(orders[0], orders[1])


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("schedule", ["constant", "one-cycle"])
def test_every_optimizer_and_schedule_lowers_the_loss(
    optimizer: str, schedule: str, data: Split
) -> None:
    recipe = Recipe(
        epochs=3,
        batch_size=64,
        optimizer=optimizer,  # type: ignore[arg-type]
        schedule=schedule,  # type: ignore[arg-type]
        learning_rate=0.02 if optimizer == "sgd" else 0.005,
        weight_decay=0.001,
        label_smoothing=0.05,
    )
    _, run = train(SmallNet, recipe, data[:2000])
    losses = [epoch.loss for epoch in run.epochs]
    assert all(later < earlier for earlier, later in pairwise(losses))


def test_weight_decay_and_label_smoothing_take_effect(data: Split) -> None:
    plain, _ = train(SmallNet, RECIPE, data[:1000])
    decayed, _ = train(SmallNet, dataclasses.replace(RECIPE, weight_decay=0.1), data[:1000])
    smoothed, _ = train(SmallNet, dataclasses.replace(RECIPE, label_smoothing=0.3), data[:1000])

    def size(model: nn.Module) -> float:
        return sum(float(weight.detach().square().sum()) for weight in model.parameters())

    def confidence(model: nn.Module) -> float:
        return float(evaluate(model, data[:1000]).probabilities.max(1).mean())

    assert size(decayed) < size(plain)
    assert confidence(smoothed) < confidence(plain)


class TurnsNan(SmallNet):
    """Its logits become NaN at a given step, counted over the whole run."""

    def __init__(self, at_step: int) -> None:
        super().__init__()
        self.at_step = at_step
        self.step = 0

    def forward(self, images: Tensor) -> Tensor:
        self.step += self.training
        logits = super().forward(images)
        return logits * math.nan if self.training and self.step == self.at_step else logits


def test_a_loss_of_nan_names_epoch_and_step_and_keeps_the_last_good_state(data: Split) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=3)
    with pytest.raises(TrainingDiverged, match="epoch 2, step 3;") as caught:
        train(lambda: TurnsNan(at_step=10 + 3), recipe, data[:640])
    good, run = train(SmallNet, dataclasses.replace(RECIPE, epochs=1), data[:640])
    assert [epoch.loss for epoch in caught.value.run.epochs] == [run.epochs[0].loss]
    assert same_weights(caught.value.model, good)
    assert not caught.value.model.training


def test_nan_in_the_first_epoch_leaves_the_initial_weights(data: Split) -> None:
    with pytest.raises(TrainingDiverged, match="epoch 1, step 1;") as caught:
        train(lambda: TurnsNan(at_step=1), RECIPE, data[:640])
    assert caught.value.run.epochs == []
    assert all(weight.isfinite().all() for weight in caught.value.model.parameters())


def test_ctrl_c_keeps_the_epoch_that_was_complete(data: Split) -> None:
    def interrupt(step: int) -> None:
        if step == 15:
            raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted, match="in epoch 2") as caught:
        train(SmallNet, RECIPE, data[:640], on_step=interrupt)
    good, _ = train(SmallNet, dataclasses.replace(RECIPE, epochs=1), data[:640])
    assert len(caught.value.run.epochs) == 1
    assert same_weights(caught.value.model, good)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_is_an_error_where_there_is_none_and_auto_is_the_cpu(data: Split) -> None:
    with pytest.raises(DeviceError, match="no CUDA device"):
        train(SmallNet, RECIPE, data[:64], device="cuda")
    _, run = train(SmallNet, dataclasses.replace(RECIPE, epochs=1), data[:64])
    assert run.device == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA")
def test_cuda_trains_by_the_same_code(data: Split, validation: Split) -> None:
    model, run = train(SmallNet, RECIPE, data, validation, device="cuda")
    assert run.device == "cuda"
    assert run.validation_accuracy == evaluate(model, validation, device="cuda").accuracy > 0.85


def test_weights_that_overflow_in_the_last_step_of_an_epoch_are_not_kept(data: Split) -> None:
    recipe = Recipe(epochs=2, batch_size=640, optimizer="sgd", learning_rate=1e39)
    with pytest.raises(TrainingDiverged, match="epoch 1, step 1;") as caught:
        train(lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), recipe, data[:640])
    assert all(weight.isfinite().all() for weight in caught.value.model.parameters())


def test_a_single_image_left_over_joins_the_batch_before_it(data: Split) -> None:
    sizes: list[int] = []

    class Recorder(SmallNet):
        def forward(self, images: Tensor) -> Tensor:
            sizes.append(len(images))
            return super().forward(images)

    train(Recorder, dataclasses.replace(RECIPE, epochs=1), data[:129])
    assert sizes == [64, 65]


def test_no_images_are_an_error(data: Split) -> None:
    with pytest.raises(ValueError, match="no images"):
        train(SmallNet, RECIPE, data[:0])
