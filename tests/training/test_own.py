"""A loss, a training function and an augmentation of one's own, and how they fail."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.nn import functional as F

from mnistzoo import (
    ModelSpec,
    Recipe,
    Split,
    TrainingPlan,
    compare,
    create_model,
    evaluate,
    load_dataset,
    load_model,
    train,
)
from mnistzoo.classifier import as_features
from mnistzoo.errors import MnistzooError
from mnistzoo.modules import ModelFailed
from mnistzoo.paths import PathError
from mnistzoo.registry import ModelError
from mnistzoo.training import Callback, Epoch, Start, TrainingFailed, TrainingInterrupted
from mnistzoo.training.checkpoint import CheckpointError
from mnistzoo.weights import save_weights

DATA = load_dataset("mnist-10k")
TRAIN, VALIDATION = DATA.train[:300], DATA.validation[:200]
RECIPE = Recipe(epochs=2, batch_size=50, optimizer="adam", learning_rate=0.003)
HERE = __name__


class Net(nn.Module):
    """Trained by the loss that it is given."""

    def __init__(self, loss: Callable[..., Any] = F.cross_entropy) -> None:
        super().__init__()
        self.head = nn.Linear(784, 10)
        self.loss = loss
        self.seen: list[torch.dtype] = []

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.flatten(1))

    def training_loss(self, images: Tensor, labels: Tensor) -> Any:
        self.seen.append(labels.dtype)
        return self.loss(self(images), labels)


class Plain(nn.Module):
    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.head = nn.Linear(784, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.flatten(1))


def test_a_model_is_trained_by_its_own_loss() -> None:
    own = train(Net, TRAIN, RECIPE, device="cpu")
    plain = train(Plain, TRAIN, RECIPE, device="cpu")
    assert torch.equal(own.model.head.weight, plain.model.head.weight)
    assert own.history[-1].loss == plain.history[-1].loss
    doubled = train(
        lambda: Net(lambda logits, labels: 2 * F.cross_entropy(logits, labels)),
        TRAIN,
        RECIPE,
        device="cpu",
    )
    assert doubled.history[0].loss == pytest.approx(2 * own.history[0].loss, rel=0.2)


def test_a_loss_sees_what_an_augmentation_makes_of_the_labels() -> None:
    mixed = train(Net, TRAIN, RECIPE.replace(augment="training_runs:mixup"), device="cpu")
    assert set(mixed.model.seen) == {torch.float32}
    plain = RECIPE.replace(augment="training_runs:mixup", plain_epochs=1)
    assert set(train(Net, TRAIN, plain, device="cpu").model.seen) == {torch.float32, torch.int64}


def test_mixed_labels_have_a_share_for_each_class_of_the_data() -> None:
    letters = Split(TRAIN.images, TRAIN.labels, tuple("abcdefghijklmnopqrstuvwxyz"))
    recipe = RECIPE.replace(augment="training_runs:mixup")
    create = functools.partial(Plain, 26)
    assert train(create, letters, recipe, device="cpu").history[-1].loss < 3


@pytest.mark.parametrize("changes", [{"label_smoothing": 0.1}, {"teacher": "any"}])
def test_a_recipe_that_an_own_loss_would_not_follow_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="Net has a training_loss of its own"):
        train(Net, TRAIN, RECIPE.replace(**changes), device="cpu")


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (lambda logits, labels: 0.5, "training_loss.. returns float, expected a tensor"),
        (lambda logits, labels: logits, r"returns Tensor \(50, 10\), expected a tensor"),
    ],
)
def test_a_loss_that_is_no_single_number_is_one_sentence(loss: Any, says: str) -> None:
    with pytest.raises(ModelFailed, match=says):
        train(lambda: Net(loss), TRAIN, RECIPE, device="cpu")


def three(images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return images[:3], labels[:3]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("no_such:mixup", "the augmentation 'no_such:mixup' needs the module 'no_such'"),
        (f"{HERE}:three", "the augmentation '.*:three' returns .*expected images"),
        (f"{HERE}:Net", "the augmentation '.*:Net' failed: TypeError"),
    ],
)
def test_an_augmentation_that_fails_is_one_sentence(path: str, says: str) -> None:
    with pytest.raises(PathError, match=says):
        train(Plain, TRAIN, RECIPE.replace(augment=path), device="cpu")


def logistic(C: float = 1.0) -> LogisticRegression:  # noqa: N803
    return LogisticRegression(C=C, max_iter=30, solver="saga")


def fit(model: LogisticRegression, recipe: Recipe, data: Split, report: Any) -> LogisticRegression:
    assert recipe.seed == 7
    order = np.random.permutation(len(data))
    return model.fit(as_features(data.images[order]), data.labels[order])


def fit_in_epochs(model: nn.Module, recipe: Recipe, data: Split, report: Any) -> None:
    images, labels = data.tensors()
    for _ in range(recipe.epochs):
        loss = F.cross_entropy(model(images / 255), labels)
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter.sub_(0.1 * parameter.grad)
        report(loss.item(), learning_rate=0.1)


def fit_with_checkpoint(
    model: nn.Module, recipe: Recipe, data: Split, report: Any, checkpoint: Path
) -> None:
    (checkpoint / "here").touch()


def fit_another(model: nn.Module, recipe: Recipe, data: Split, report: Any) -> nn.Module:
    return Plain()


def fit_and_fail(model: nn.Module, recipe: Recipe, data: Split, report: Any) -> None:
    report()
    raise ArithmeticError("halfway")


@pytest.fixture
def define(
    linear_spec: Callable[..., ModelSpec], register: Callable[..., None]
) -> Callable[..., None]:
    def defining(**declared: Any) -> None:
        base = {"factory": f"{HERE}:Plain", "weights": None}
        register(linear_spec("own", **base | declared))

    return defining


class Watch(Callback):
    def __init__(self) -> None:
        self.events: list[object] = []

    def on_train_begin(self, start: Start) -> None:
        self.events.append(start.model)

    def on_epoch_end(self, epoch: Epoch) -> None:
        self.events.append(epoch)

    def on_train_end(self, result: Any) -> None:
        self.events.append("end")


def test_an_estimator_is_fitted_by_a_function_of_the_plugins(
    define: Callable[..., None], tmp_path: Path
) -> None:
    define(
        factory=f"{HERE}:logistic",
        fit=f"{HERE}:fit",
        num_params=None,
        recipes={},
        arguments={"C": 0.5},
    )
    assert create_model("own").C == 0.5 and create_model("own", C=2.0).C == 2.0
    watch = Watch()
    state: Any = np.random.get_state()
    options: dict[str, Any] = {"validation": VALIDATION, "callbacks": [watch], "seed": 7}
    result = train("own", TRAIN, device="cpu", **options)
    assert np.array_equal(np.random.get_state()[1], state[1])  # type: ignore[index]
    first, (epoch,), last = watch.events[0], watch.events[1:-1], watch.events[-1]
    assert (first, last) == ("own", "end") and result.complete
    assert isinstance(epoch, Epoch) and epoch.validation_accuracy == result.validation_accuracy
    assert result.validation_accuracy == evaluate(result.model, VALIDATION).accuracy > 0.7
    told = result.provenance
    assert told.fit == f"{HERE}:fit" and told.recipe == {"seed": 7, "threads": 1}
    again = train("own", TRAIN, device="cpu", seed=7)
    assert np.array_equal(again.model.coef_, result.model.coef_)
    path = result.save(tmp_path / "own.safetensors")
    loaded = load_model("own", path)
    assert np.array_equal(
        loaded.predict_proba(as_features(TRAIN.images)),
        result.model.predict_proba(as_features(TRAIN.images)),
    )


def test_a_function_reports_its_epochs(define: Callable[..., None]) -> None:
    define(fit=f"{HERE}:fit_in_epochs", recipes={"default": RECIPE.replace(epochs=3)})
    result = train("own", TRAIN, validation=VALIDATION, device="cpu")
    assert [each.number for each in result.history] == [1, 2, 3]
    assert result.history[0].loss > result.history[2].loss
    assert result.history[0].learning_rate == 0.1 and result.complete
    assert not result.model.training

    class Stop(Callback):
        def on_epoch_end(self, epoch: Epoch) -> None:
            if epoch.number == 2:
                raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted) as caught:
        train("own", TRAIN, validation=VALIDATION, device="cpu", callbacks=[Stop()])
    stopped = caught.value.result
    assert len(stopped.history) == 2 and not stopped.complete
    assert evaluate(stopped.model, VALIDATION).accuracy == stopped.validation_accuracy


def test_a_function_that_fails_keeps_what_it_reported(define: Callable[..., None]) -> None:
    define(fit=f"{HERE}:fit_and_fail")
    with pytest.raises(TrainingFailed, match=r"fit_and_fail' failed: ArithmeticError: halfway"):
        train("own", TRAIN, device="cpu")
    define(fit="no_such_module:fit")
    with pytest.raises(PathError, match="needs the module 'no_such_module'"):
        train("own", TRAIN, device="cpu")


def test_a_function_that_returns_another_model_is_refused(define: Callable[..., None]) -> None:
    define(fit=f"{HERE}:fit_another")
    with pytest.raises(
        PathError, match=r"fit_another' returns Plain, which nothing takes; train the"
    ):
        train("own", TRAIN, device="cpu")


def test_settings_that_a_function_without_a_recipe_cannot_know_are_refused(
    define: Callable[..., None],
) -> None:
    define(factory=f"{HERE}:logistic", fit=f"{HERE}:fit", num_params=None, recipes={})
    with pytest.raises(ModelError, match="without a recipe, so epochs, learning_rate would change"):
        train("own", TRAIN, device="cpu", epochs=5, learning_rate=0.1, seed=7)
    assert train("own", TRAIN, device="cpu", seed=7, threads=1).complete
    plan = TrainingPlan(overrides={"epochs": 5, "seed": 7})  # beside models that have a recipe
    (row,) = compare(["own"], DATA, train=plan, device="cpu").rows
    assert row.error is None and row.accuracy


def test_a_checkpoint_is_refused_unless_the_function_knows_of_it(
    define: Callable[..., None], tmp_path: Path
) -> None:
    define(fit=f"{HERE}:fit_in_epochs")
    with pytest.raises(CheckpointError, match="saves no checkpoints; leave --checkpoint out"):
        train("own", TRAIN, device="cpu", checkpoint=tmp_path / "new")
    define(fit=f"{HERE}:fit_with_checkpoint")
    train("own", TRAIN, device="cpu", checkpoint=tmp_path / "saved")
    assert (tmp_path / "saved" / "here").exists()
    with pytest.raises(CheckpointError, match="is not empty; add --resume"):
        train("own", TRAIN, device="cpu", checkpoint=tmp_path / "saved")
    train("own", TRAIN, device="cpu", checkpoint=tmp_path / "saved", resume=True)


def test_what_cannot_be_saved_without_a_pickle_is_named(tmp_path: Path) -> None:
    class Odd:
        def __init__(self) -> None:
            self.rule = object()

        def logits(self, images: Any) -> Any:
            return np.zeros((len(images), 10), np.float32)

    assert evaluate(Odd(), VALIDATION).accuracy < 0.2
    with pytest.raises(MnistzooError, match=r"Odd has learned cannot be saved.*rule is a object"):
        save_weights(Odd(), tmp_path / "odd.safetensors", {})
    with pytest.raises(MnistzooError, match=r"int is not a torch.nn.Module or an estimator"):
        evaluate(3, VALIDATION)
