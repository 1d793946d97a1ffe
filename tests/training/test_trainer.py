import math
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from training_runs import Watch, trained

from mnistzoo import ModelSpec, Recipe, Split, evaluate, load_dataset, load_model, train
from mnistzoo.cpu import computing_threads, cpu_computes_bfloat16
from mnistzoo.inference import DeviceError
from mnistzoo.registry import ModelError
from mnistzoo.training import Epoch, TrainingDiverged, TrainingInterrupted
from mnistzoo.training.augment import crop_middle
from mnistzoo.training.callbacks import StopWhen

Register = Callable[..., None]
Spec = Callable[..., ModelSpec]

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


class Uncopied(SmallNet):
    """Takes the training's images alone: no copy of it tries out a layout on others."""

    def __deepcopy__(self, memo: dict[int, object]) -> nn.Module:
        raise TypeError("it records the images")


class Recorded:
    """A training run, and the weights and buffers of its model before it and after each step."""

    def __init__(self, recipe: Recipe, data: Split) -> None:
        self.states: list[dict[str, Tensor]] = []
        self.model, self.run = trained(self._create, recipe, data, on_step=lambda _: self._record())

    def _create(self) -> nn.Module:
        self._trained = SmallNet()
        self._record()
        return self._trained

    def _record(self) -> None:
        state = self._trained.state_dict()
        self.states.append({name: tensor.clone() for name, tensor in state.items()})

    def step_lengths(self) -> list[float]:
        """Return how far each step moved the parameters, all of them together."""
        names = [name for name, _ in self._trained.named_parameters()]
        paths = [torch.cat([state[name].flatten() for name in names]) for state in self.states]
        return [float((later - earlier).norm()) for earlier, later in pairwise(paths)]


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


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
    model, run = trained(SmallNet, RECIPE, data, validation, on_epoch=seen.append)
    assert not model.training
    assert run.history == seen
    assert [epoch.number for epoch in seen] == [1, 2]
    assert seen[1].loss < seen[0].loss < math.log(10)
    assert run.validation_accuracy == evaluate(model, validation).accuracy > 0.85
    assert 0 < seen[0].seconds < seen[1].seconds == run.seconds


def test_the_same_seed_gives_the_same_weights_bit_for_bit(data: Split) -> None:
    first, _ = trained(SmallNet, RECIPE, data[:1000])
    torch.rand(3)  # what a caller draws in between changes nothing
    second, _ = trained(SmallNet, RECIPE, data[:1000])
    other, _ = trained(SmallNet, RECIPE.replace(seed=4), data[:1000])
    assert same_weights(first, second)
    assert not same_weights(first, other)


def test_watching_validation_changes_no_weight(data: Split, validation: Split) -> None:
    unwatched, run = trained(SmallNet, RECIPE, data[:1000])
    watched, _ = trained(SmallNet, RECIPE, data[:1000], validation)
    assert run.validation_accuracy is None
    assert same_weights(unwatched, watched)


def test_the_callers_random_state_is_left_alone(data: Split) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    trained(SmallNet, RECIPE.replace(epochs=1), data[:128])
    assert torch.equal(torch.rand(3), expected)


def test_denormals_are_flushed_only_while_training(data: Split) -> None:
    def flushed() -> bool:
        return bool(torch.tensor(1e-310, dtype=torch.float64).mul(1) == 0)

    during: list[bool] = []
    recipe = RECIPE.replace(epochs=1)
    trained(SmallNet, recipe, data[:128], on_step=lambda _: during.append(flushed()))
    assert during == [True, True]
    assert not flushed()


def test_every_image_is_seen_once_an_epoch_and_the_last_batch_may_be_smaller(data: Split) -> None:
    batches: list[Tensor] = []

    class Recorder(Uncopied):
        def forward(self, images: Tensor) -> Tensor:
            batches.append(images.detach().clone())
            return super().forward(images)

    recipe = RECIPE.replace(epochs=2, batch_size=64)
    trained(Recorder, recipe, data[:150])
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
@pytest.mark.parametrize("schedule", ["constant", "cosine", "one-cycle", "step"])
def test_every_optimizer_and_schedule_lowers_the_loss(
    optimizer: str, schedule: str, data: Split
) -> None:
    recipe = Recipe(
        epochs=3,
        batch_size=64,
        optimizer=optimizer,
        schedule=schedule,  # type: ignore[arg-type]
        learning_rate=0.02 if optimizer == "sgd" else 0.005,
        weight_decay=0.001,
        label_smoothing=0.05,
    )
    _, run = trained(SmallNet, recipe, data[:2000])
    losses = [epoch.loss for epoch in run.history]
    assert all(later < earlier for earlier, later in pairwise(losses))


def test_weight_decay_and_label_smoothing_take_effect(data: Split) -> None:
    plain, _ = trained(SmallNet, RECIPE, data[:1000])
    decayed, _ = trained(SmallNet, RECIPE.replace(weight_decay=0.1), data[:1000])
    smoothed, _ = trained(SmallNet, RECIPE.replace(label_smoothing=0.3), data[:1000])

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
    recipe = RECIPE.replace(epochs=3)
    with pytest.raises(TrainingDiverged, match="epoch 2, step 3;") as caught:
        trained(lambda: TurnsNan(at_step=10 + 3), recipe, data[:640])
    good, run = trained(SmallNet, RECIPE.replace(epochs=1), data[:640])
    assert [epoch.loss for epoch in caught.value.result.history] == [run.history[0].loss]
    assert same_weights(caught.value.result.model, good)
    assert not caught.value.result.model.training


def test_nan_in_the_first_epoch_leaves_the_initial_weights(data: Split) -> None:
    with pytest.raises(TrainingDiverged, match="epoch 1, step 1;") as caught:
        trained(lambda: TurnsNan(at_step=1), RECIPE, data[:640])
    assert caught.value.result.history == []
    assert all(weight.isfinite().all() for weight in caught.value.result.model.parameters())


def test_ctrl_c_keeps_the_epoch_that_was_complete(data: Split) -> None:
    def interrupt(step: int) -> None:
        if step == 15:
            raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted, match="in epoch 2") as caught:
        trained(SmallNet, RECIPE, data[:640], on_step=interrupt)
    good, _ = trained(SmallNet, RECIPE.replace(epochs=1), data[:640])
    assert len(caught.value.result.history) == 1
    assert same_weights(caught.value.result.model, good)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_is_an_error_where_there_is_none_and_auto_is_the_cpu(data: Split) -> None:
    with pytest.raises(DeviceError, match="no CUDA device"):
        trained(SmallNet, RECIPE, data[:64], device="cuda")
    _, run = trained(SmallNet, RECIPE.replace(epochs=1), data[:64])
    assert run.provenance.environment["device"] == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA")
def test_cuda_trains_by_the_same_code(data: Split, validation: Split) -> None:
    model, run = trained(SmallNet, RECIPE, data, validation, device="cuda")
    assert run.provenance.environment["device"] == torch.cuda.get_device_name()
    assert run.validation_accuracy == evaluate(model, validation, device="cuda").accuracy > 0.85


def test_weights_that_overflow_in_the_last_step_of_an_epoch_are_not_kept(data: Split) -> None:
    recipe = Recipe(epochs=2, batch_size=640, optimizer="sgd", learning_rate=1e39)
    with pytest.raises(TrainingDiverged, match="epoch 1, step 1;") as caught:
        trained(linear, recipe, data[:640])
    assert all(weight.isfinite().all() for weight in caught.value.result.model.parameters())


def test_a_single_image_left_over_joins_the_batch_before_it(data: Split) -> None:
    sizes: list[int] = []

    class Recorder(Uncopied):
        def forward(self, images: Tensor) -> Tensor:
            sizes.append(len(images))
            return super().forward(images)

    trained(Recorder, RECIPE.replace(epochs=1), data[:129])
    assert sizes == [64, 65]


def test_no_images_are_an_error(data: Split) -> None:
    with pytest.raises(ValueError, match="no images"):
        trained(SmallNet, RECIPE, data[:0])


AUGMENTATION: dict[str, Any] = {
    "rotation": 10,
    "scale": 0.1,
    "shift": 2,
    "shear": 10,
    "elastic": 1,
    "erasing": 0.5,
    "crop": 24,
}


@pytest.mark.parametrize("field", AUGMENTATION)
def test_each_augmentation_changes_the_training(field: str, data: Split) -> None:
    recipe = RECIPE.replace(epochs=1)
    plain, _ = trained(SmallNet, recipe, data[:128])
    changed = recipe.replace(**{field: AUGMENTATION[field]})
    augmented, _ = trained(SmallNet, changed, data[:128])
    assert not same_weights(plain, augmented)


def test_augmentation_is_repeated_bit_for_bit_and_differs_by_seed(data: Split) -> None:
    recipe = RECIPE.replace(**AUGMENTATION)
    first, _ = trained(SmallNet, recipe, data[:500])
    torch.rand(3)
    second, _ = trained(SmallNet, recipe, data[:500])
    assert same_weights(first, second)
    batches: list[Tensor] = []

    class Recorder(Uncopied):
        def forward(self, images: Tensor) -> Tensor:
            batches.append(images.detach().clone())
            return super().forward(images)

    for seed in (3, 4):
        shifted = RECIPE.replace(epochs=2, batch_size=2, shift=2, seed=seed)
        trained(Recorder, shifted, data[:2])
    masses = [batch.sum(2).flatten(1).sort(0).values for batch in batches]  # whatever the order
    assert not any(torch.equal(one, other) for one, other in pairwise(masses))


def test_the_images_that_a_model_learns_are_augmented_and_the_validation_is_not(
    data: Split, validation: Split
) -> None:
    learned: list[Tensor] = []
    judged: list[Tensor] = []

    class Recorder(Uncopied):
        def forward(self, images: Tensor) -> Tensor:
            (learned if self.training else judged).append(images.detach().clone())
            return super().forward(images)

    recipe = RECIPE.replace(epochs=1, erasing=1)
    trained(Recorder, recipe, data[:64], validation[:64])
    (images,) = learned
    assert (images.dtype, images.shape) == (torch.float32, (64, 1, 28, 28))
    sums = np.sort(images.sum((1, 2, 3)).numpy())
    unchanged = np.sort(data.images[:64].astype(np.float32).sum((1, 2)) / 255)
    assert (sums < unchanged - 1).sum() > 32
    expected = torch.tensor(validation.images[:64]).unsqueeze(1) / 255
    torch.testing.assert_close(torch.cat(judged), expected)


@pytest.mark.parametrize("crop", [28, 24])
def test_the_last_epochs_are_plain_where_the_recipe_says_so(crop: float, data: Split) -> None:
    seen: list[Tensor] = []

    class Recorder(Uncopied):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images.detach().clone())
            return super().forward(images)

    recipe = RECIPE.replace(epochs=3, batch_size=16, rotation=20, crop=crop, plain_epochs=2)
    trained(Recorder, recipe, data[:16])
    masses = [batch.sum((1, 2, 3)).sort().values for batch in seen]
    inputs = crop_middle(torch.tensor(data.images[:16]).unsqueeze(1) / 255, crop)
    plain = inputs.sum((1, 2, 3)).sort().values
    assert not torch.allclose(masses[0], plain, atol=0.01)
    torch.testing.assert_close(masses[1], plain)
    torch.testing.assert_close(masses[2], plain)


def test_the_result_is_the_average_of_weights_and_buffers_over_the_steps(data: Split) -> None:
    recipe = RECIPE.replace(ema_decay=0.8)
    recorded = Recorded(recipe, data[:1000])
    expected = recorded.states[0]
    for step, state in enumerate(recorded.states[1:], start=1):
        decay = min(0.8, step / (step + 10))
        expected = {
            name: tensor.lerp(state[name], 1 - decay) if tensor.is_floating_point() else state[name]
            for name, tensor in expected.items()
        }
    found = recorded.model.state_dict()
    assert found.keys() == expected.keys()
    assert len(recorded.states) == 1 + 32
    assert found["norm.num_batches_tracked"] == 32
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-6)
        assert name.endswith("tracked") or not torch.equal(tensor, recorded.states[-1][name])
    assert not recorded.model.training


def test_averaging_changes_nothing_in_the_model_that_learns(data: Split) -> None:
    plain = Recorded(RECIPE, data[:500])
    averaged = Recorded(RECIPE.replace(ema_decay=0.9), data[:500])
    assert [epoch.loss for epoch in averaged.run.history] == [
        epoch.loss for epoch in plain.run.history
    ]
    for name, tensor in plain.states[-1].items():
        assert torch.equal(tensor, averaged.states[-1][name])


def test_validation_judges_the_average(data: Split, validation: Split) -> None:
    recipe = RECIPE.replace(ema_decay=0.9)
    model, run = trained(SmallNet, recipe, data[:1000], validation)
    assert run.validation_accuracy == evaluate(model, validation).accuracy


def test_ctrl_c_keeps_the_average_of_the_epoch_that_was_complete(data: Split) -> None:
    def interrupt(step: int) -> None:
        if step == 15:
            raise KeyboardInterrupt

    recipe = RECIPE.replace(ema_decay=0.9)
    with pytest.raises(TrainingInterrupted) as caught:
        trained(SmallNet, recipe, data[:640], on_step=interrupt)
    good, _ = trained(SmallNet, recipe.replace(epochs=1), data[:640])
    assert same_weights(caught.value.result.model, good)
    assert not caught.value.result.model.training


def test_clipping_bounds_the_length_of_a_step(data: Split) -> None:
    momentum, rate, norm = 0.9, 0.1, 0.01
    plain = Recipe(epochs=2, batch_size=64, optimizer="sgd", learning_rate=rate)
    free = Recorded(plain, data[:640]).step_lengths()
    clipped = Recorded(plain.replace(clip_norm=norm), data[:640]).step_lengths()
    assert len(clipped) == 20
    # Nesterov: a gradient counts once at once, and by its share of the momentum.
    assert clipped[0] == pytest.approx(rate * norm * (1 + momentum), rel=1e-3)
    assert max(clipped) <= rate * norm / (1 - momentum) * 1.001
    assert min(free) > max(clipped)


def test_gradients_within_the_norm_are_not_clipped(data: Split) -> None:
    plain, _ = trained(SmallNet, RECIPE, data[:500])
    clipped, _ = trained(SmallNet, RECIPE.replace(clip_norm=1e6), data[:500])
    assert same_weights(plain, clipped)


def test_bfloat16_is_used_where_the_processor_computes_it_and_leaves_float32(
    data: Split, validation: Split
) -> None:
    recipe = RECIPE.replace(precision="bfloat16")
    learned: set[torch.dtype] = set()
    judged: set[torch.dtype] = set()

    class Watched(Uncopied):
        def forward(self, images: Tensor) -> Tensor:
            logits = super().forward(images)
            (learned if self.training else judged).add(logits.dtype)
            return logits

    model, run = trained(Watched, recipe, data[:2000], validation)
    used = torch.bfloat16 if cpu_computes_bfloat16() else torch.float32
    assert (learned, judged) == ({used}, {torch.float32})
    assert f"torch.{run.provenance.precision}" == str(used)
    assert run.history[1].loss < run.history[0].loss < math.log(10)
    assert (run.validation_accuracy or 0) > 0.6
    assert {tensor.dtype for tensor in model.state_dict().values()} == {
        torch.float32,
        torch.int64,
    }
    full, _ = trained(SmallNet, RECIPE, data[:2000])
    assert same_weights(model, full) == (run.provenance.precision == "float32")


@pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="there is no C++ compiler"
)
def test_compiling_gives_about_the_same_weights(data: Split) -> None:
    recipe = RECIPE.replace(epochs=1)
    plain, _ = trained(linear, recipe, data[:256])
    compiled, _ = trained(linear, recipe.replace(compile=True), data[:256])
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    for name, tensor in compiled.state_dict().items():
        torch.testing.assert_close(tensor, plain.state_dict()[name], rtol=1e-3, atol=1e-5)


@pytest.fixture
def taught(register: Register, linear_spec: Spec) -> Recipe:
    """Return a recipe with a teacher that takes every image for a one."""
    register(linear_spec("ones"))
    return RECIPE.replace(learning_rate=0.005, teacher="ones", teacher_weight=1)


def test_a_student_imitates_its_teacher_not_the_labels(taught: Recipe, data: Split) -> None:
    student, run = trained(linear, taught, data[:1000])
    said = evaluate(student, data[:1000])
    ones = float((data.labels[:1000] == 1).mean())
    assert said.accuracy == pytest.approx(ones, abs=0.05)
    teacher = evaluate(load_model("ones"), data[:1000])
    assert said.probabilities.mean(0) == pytest.approx(teacher.probabilities.mean(0), abs=0.05)
    assert run.history[1].loss < run.history[0].loss


def test_half_a_teacher_leaves_room_for_the_labels(taught: Recipe, data: Split) -> None:
    student, _ = trained(linear, taught.replace(teacher_weight=0.5), data[:1000])
    assert evaluate(student, data[:1000]).accuracy > 0.6


@pytest.mark.parametrize(("weight", "temperature"), [(0, 2), (0.3, 1), (0.3, 4), (1, 0.5)])
def test_the_loss_is_shared_between_labels_and_teacher(
    weight: float, temperature: float, taught: Recipe, data: Split
) -> None:
    recipe = taught.replace(
        epochs=1, teacher_weight=weight, temperature=temperature, label_smoothing=0.1
    )
    part = data[:64]
    untrained: list[dict[str, Tensor]] = []

    def create() -> nn.Module:
        model = linear()
        untrained.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return model

    _, run = trained(create, recipe, part)
    images = torch.tensor(part.images).flatten(1) / 255
    logits = images @ untrained[0]["1.weight"].T + untrained[0]["1.bias"]
    right = torch.zeros(64, 10).scatter_(1, torch.tensor(part.labels).long()[:, None], 0.9) + 0.01
    from_labels = -(right * logits.log_softmax(1)).sum(1).mean()
    teacher = (torch.eye(10)[1] / temperature).softmax(0)
    from_teacher = -((logits / temperature).log_softmax(1) @ teacher).mean() * temperature**2
    expected = (1 - weight) * from_labels + weight * from_teacher
    assert run.history[0].loss == pytest.approx(float(expected), rel=1e-4)


def test_a_teacher_that_is_not_there_or_has_no_weights_is_an_error(
    register: Register, linear_spec: Spec, data: Split
) -> None:
    register(linear_spec("unlearned", weights=None))
    for teacher, message in (("nobody", "no model 'nobody'"), ("unlearned", "no weights")):
        recipe = RECIPE.replace(teacher=teacher)
        with pytest.raises(ModelError, match=message):
            trained(SmallNet, recipe, data[:64])


def test_threads_are_the_recipes_while_training_and_the_callers_again(data: Split) -> None:
    before = torch.get_num_threads()
    wanted = before + 1
    during: set[int] = set()
    recipe = RECIPE.replace(threads=wanted)
    trained(SmallNet, recipe, data[:128], on_step=lambda _: during.add(torch.get_num_threads()))
    assert during == {wanted}
    assert torch.get_num_threads() == before

    def interrupt(step: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted):
        trained(SmallNet, recipe, data[:128], on_step=interrupt)
    assert torch.get_num_threads() == before


def test_without_threads_the_callers_number_stays(data: Split) -> None:
    before = torch.get_num_threads()
    during: set[int] = set()
    recipe = RECIPE.replace(threads=None)
    trained(SmallNet, recipe, data[:128], on_step=lambda _: during.add(torch.get_num_threads()))
    assert during == {before}


def test_a_recipe_that_names_no_threads_takes_one(data: Split) -> None:
    recipe = Recipe(epochs=1, batch_size=64, optimizer="adam", learning_rate=0.001)
    during: set[int] = set()
    with computing_threads(2):
        trained(SmallNet, recipe, data[:128], on_step=lambda _: during.add(torch.get_num_threads()))
    assert during == {1}


def test_a_run_stops_at_the_next_step_once_a_condition_holds(data: Split) -> None:
    steps: list[int] = []
    watch = [Watch(on_step=steps.append), StopWhen(lambda: len(steps) == 13)]
    with pytest.raises(TrainingInterrupted) as caught:
        train(SmallNet, data[:640], RECIPE, callbacks=watch, epochs=3)
    assert steps == list(range(1, 14))
    assert len(caught.value.result.history) == 1


def test_runs_in_several_threads_end_as_one_after_the_other(data: Split) -> None:
    recipes = [RECIPE.replace(seed=seed, threads=1) for seed in range(4)]
    expected = [trained(SmallNet, recipe, data[:256])[0] for recipe in recipes]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda recipe: trained(SmallNet, recipe, data[:256])[0], recipes))
    for each, other in zip(found, expected, strict=True):
        assert same_weights(each, other)


def test_somebody_else_who_draws_torchs_random_numbers_is_told_of(
    data: Split, caplog: pytest.LogCaptureFixture
) -> None:
    trained(SmallNet, RECIPE, data[:256])
    assert caplog.messages == []
    trained(SmallNet, RECIPE, data[:256], on_step=lambda _: torch.rand(1))
    (message,) = caplog.messages
    assert "something else draws torch's random numbers" in message
