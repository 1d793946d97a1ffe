"""``train`` and ``TrainingJob``: what they take, and what they return."""

import dataclasses
import importlib
import logging
import multiprocessing
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnistzoo import (
    Callback,
    MnistzooError,
    ModelSpec,
    Recipe,
    TrainingJob,
    TrainingPlan,
    TrainingProgress,
    TrainingResult,
    compare,
    evaluate,
    get_recipe,
    get_spec,
    load_dataset,
    load_model,
    run_training,
    train,
    write_idx,
)
from mnistzoo.provenance import Provenance
from mnistzoo.registry import ModelError
from mnistzoo.training import Epoch, Start, Step, TrainingFailed, TrainingInterrupted
from mnistzoo.weights import read_metadata

DATA = load_dataset("mnist-10k")
RECIPE = Recipe(epochs=1, batch_size=256, optimizer="adam", learning_rate=0.01)

Register = Callable[..., None]
Spec = Callable[..., ModelSpec]


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(784, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.flatten(1))


@pytest.mark.parametrize("order", ["sorted", "shuffled"])
def test_images_in_the_order_of_their_classes_are_warned_of(
    order: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images, labels = DATA.train.images[:240], DATA.train.labels[:240]
    by_class = np.argsort(labels) if order == "sorted" else np.arange(240)
    write_idx(tmp_path / "train-images-idx3-ubyte", images[by_class])
    write_idx(tmp_path / "train-labels-idx1-ubyte", labels[by_class])
    data = load_dataset(tmp_path)
    caplog.clear()
    train(Linear, data, RECIPE, device="cpu")
    said = "are in the order of their classes, and the last 20 are its validation split; shuffle"
    assert [said in each for each in caplog.messages] == ([True] if order == "sorted" else [])
    caplog.clear()
    train(Linear, data, RECIPE, device="cpu", final=True)
    assert caplog.messages == []


@pytest.fixture
def name(register: Register, linear_spec: Spec) -> str:
    """Return the name of a registered model."""
    register(linear_spec("jobnet", weights=None))
    return "jobnet"


def weights(model: nn.Module) -> Tensor:
    return torch.cat([each.detach().flatten() for each in model.parameters()])


def test_a_name_is_trained_by_its_recipe_on_the_training_images_of_a_data_set(name: str) -> None:
    result = train(name, DATA, epochs=2, seed=3)
    assert isinstance(result, TrainingResult)
    assert result.recipe == get_recipe(get_spec(name)).replace(epochs=2, seed=3)
    assert [epoch.number for epoch in result.history] == [1, 2]
    assert result.complete
    assert not result.model.training
    found = evaluate(result.model, DATA.validation).accuracy
    assert result.validation_accuracy == result.history[-1].validation_accuracy == found
    told = result.provenance
    assert (told.model, told.recipe_name, told.seed) == (name, "default", 3)
    assert told.overrides == {"epochs": 2}
    assert (told.dataset, told.training_images, told.final) == ("mnist-10k", 9_000, False)
    assert told.metrics == {"validation_accuracy": found}
    assert told.checksums == dict(DATA.checksums)


def test_final_trains_on_the_validation_images_too_and_watches_none(name: str) -> None:
    result = train(name, DATA, final=True, epochs=1)
    assert (result.provenance.training_images, result.provenance.final) == (10_000, True)
    assert result.validation_accuracy is None


def test_a_factory_and_a_class_are_trained_alike_from_the_recipes_seed() -> None:
    by_class = train(Linear, DATA.train[:512], RECIPE)
    by_factory = train(lambda: Linear(), DATA.train[:512], RECIPE)
    assert torch.equal(weights(by_class.model), weights(by_factory.model))
    assert by_class.provenance.model == "Linear"
    assert (by_class.provenance.recipe_name, by_class.provenance.dataset) == ("", "")


def test_a_module_is_trained_on_from_what_it_holds_and_stays_as_it_is() -> None:
    first = train(Linear, DATA.train[:2_000], RECIPE).model
    before = weights(first)
    images, labels = DATA.train[:2_000].tensors()
    with torch.no_grad():
        loss = float(F.cross_entropy(first(images / 255), labels))
    tuned = train(first, DATA.train[:2_000], RECIPE, learning_rate=0.001)
    assert torch.equal(weights(first), before)
    assert tuned.model is not first
    assert (
        tuned.history[0].loss
        < 1.5 * loss
        < train(Linear, DATA.train[:2_000], RECIPE).history[0].loss
    )


def test_a_split_is_watched_beside_another(name: str) -> None:
    result = train(name, DATA.train[:500], validation=DATA.validation[:200], epochs=1)
    assert result.validation_accuracy == evaluate(result.model, DATA.validation[:200]).accuracy
    assert train(name, DATA.train[:500], epochs=1).validation_accuracy is None


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: train(Linear, DATA), ModelError, "Linear is not registered"),
        (lambda: train("jobnett", DATA), ModelError, "jobnet"),
        (lambda: train("jobnet", DATA, "slow"), ModelError, "no recipe 'slow'"),
        (lambda: train("jobnet", DATA, speed=3), TypeError, "no field 'speed'"),
        (lambda: train("jobnet", DATA, epochs=0), ValueError, "epochs is 0"),
        (lambda: train("jobnet", DATA, validation=DATA.test), ValueError, "brings its own"),
        (lambda: train("jobnet", DATA.train, final=True), ValueError, "final goes with a data set"),
        (lambda: train("jobnet", DATA.train[:0]), ValueError, "no images"),
        (lambda: train("jobnet", cast(Any, DATA.train.images)), ValueError, "not ndarray"),
        (lambda: compare("jobnet", DATA), ValueError, "a list of names"),
        (
            lambda: compare(["jobnet"], cast(Any, DATA.test)),
            ValueError,
            "a data set of load_dataset",
        ),
        (lambda: TrainingPlan(seeds=0), ValueError, "seeds is 0"),
        (lambda: train("jobnet", DATA, resume=True), ValueError, "folder of a checkpoint"),
    ],
)
def test_what_contradicts_itself_is_refused(
    call: Callable[[], object], error: type[Exception], message: str, name: str
) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_job_can_be_pickled_and_run_gives_what_train_gives(name: str) -> None:
    job = TrainingJob(
        model=name, overrides={"epochs": 1, "seed": 5}, dataset="mnist-10k", device="cpu"
    )
    sent = pickle.loads(pickle.dumps(job))
    assert sent == job
    result = run_training(sent)
    expected = train(name, DATA, epochs=1, seed=5, device="cpu")
    assert torch.equal(weights(result.model), weights(expected.model))
    received = pickle.loads(pickle.dumps(result))
    assert torch.equal(weights(received.model), weights(result.model))
    assert (received.history, received.recipe) == (result.history, result.recipe)
    assert received.provenance == result.provenance


def test_a_job_of_a_factory_runs_in_a_pool_of_spawned_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_net.py").write_text(
        "from torch import nn\n"
        "NUMBER = 1\n"
        "def linear(): return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)  # which a spawned process takes over
    job = TrainingJob(
        model="own_net:linear",
        recipe=RECIPE,
        overrides={"seed": 3},
        dataset="mnist-10k",
        device="cpu",
    )
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        result = pool.submit(run_training, job).result(timeout=300)
    own_net = importlib.import_module("own_net")
    expected = train(own_net.linear, DATA, RECIPE, seed=3, device="cpu")
    assert all(
        torch.equal(each, expected.model.state_dict()[name])
        for name, each in result.model.state_dict().items()
    )
    assert (result.provenance.model, result.provenance.seed) == ("linear", 3)
    for wrong, says in (
        ("own_net:nothing", "'own_net:nothing' cannot be found: AttributeError"),
        ("own_nets:linear", "'own_nets:linear' cannot be found: ModuleNotFoundError"),
        ("own_net:NUMBER", "'own_net:NUMBER' is not a factory but int"),
    ):
        with pytest.raises(ModelError, match=says):
            run_training(dataclasses.replace(job, model=wrong))
    with pytest.raises(ModelError, match="linear is not registered, so it has no recipe 'default'"):
        run_training(dataclasses.replace(job, recipe="default"))


def test_callbacks_see_the_whole_run(name: str) -> None:
    seen: list[object] = []

    class Watch(Callback):
        def on_train_begin(self, start: Start) -> None:
            seen.append(start)

        def on_step(self, step: Step) -> None:
            seen.append((step.number, step.learning_rate, float(step.loss)))

        def on_epoch_end(self, epoch: Epoch) -> None:
            seen.append(epoch)

        def on_train_end(self, result: TrainingResult | None) -> None:
            seen.append(result)

    result = train(name, DATA.train[:512], RECIPE, epochs=2, callbacks=[Watch()])
    start, first, second, epoch, *_, last = seen
    assert start == Start(name, RECIPE.replace(epochs=2), 512, 2, 0)
    assert isinstance(first, tuple)
    assert isinstance(second, tuple)
    assert [step[:2] for step in (first, second)] == [(1, 0.01), (2, 0.01)]
    assert isinstance(epoch, Epoch)
    assert epoch.loss == pytest.approx((first[2] + second[2]) / 2)
    assert (epoch.learning_rate, epoch) == (0.01, result.history[0])
    assert last is result
    assert len(seen) == 1 + 2 * (2 + 1) + 1


def test_the_end_of_a_run_that_fails_is_told_too() -> None:
    ends: list[TrainingResult | None] = []

    class Watch(Callback):
        def on_train_end(self, result: TrainingResult | None) -> None:
            ends.append(result)

    class Broken(Linear):
        def forward(self, images: Tensor) -> Tensor:
            raise RuntimeError("broken")

    with pytest.raises(MnistzooError, match="broken"):
        train(Broken, DATA.train[:64], RECIPE, callbacks=[Watch()])
    (end,) = ends
    assert end is not None
    assert (end.history, end.complete) == ([], False)


def test_what_is_saved_holds_the_provenance_and_loads_as_the_model(
    name: str, tmp_path: Path
) -> None:
    result = train(name, DATA, epochs=1)
    evaluation = evaluate(result.model, DATA.test)
    path = result.with_test(evaluation).save(tmp_path / "w.safetensors")
    assert path == tmp_path / "w.safetensors"
    told = Provenance.from_dict(read_metadata(path))
    assert told.evaluated
    assert told.metrics["test_accuracy"] == evaluation.accuracy
    assert told == result.with_test(evaluation).provenance
    assert evaluate(load_model(name, path), DATA.test).accuracy == evaluation.accuracy
    with pytest.raises(MnistzooError, match="name the file so"):
        result.save(tmp_path / "w.pt")


def test_a_run_that_was_interrupted_is_saved_beside_the_path_of_a_complete_one(
    tmp_path: Path,
) -> None:
    class Interrupt(Callback):
        def on_step(self, step: Step) -> None:
            if step.number == 3:
                raise KeyboardInterrupt

    train(Linear, DATA.train[:512], RECIPE).save(tmp_path / "w.safetensors")
    finished = (tmp_path / "w.safetensors").read_bytes()
    with pytest.raises(TrainingInterrupted) as caught:
        train(Linear, DATA.train[:512], RECIPE, epochs=4, callbacks=[Interrupt()])
    path = caught.value.result.save(tmp_path / "w.safetensors")
    assert path.name == "w-epoch1of4.safetensors"
    assert not read_metadata(path)["complete"]
    assert (tmp_path / "w.safetensors").read_bytes() == finished


def test_progress_is_shown_to_those_who_ask_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    train(Linear, DATA.train[:256], RECIPE, epochs=2)
    assert capsys.readouterr() == ("", "")
    train(Linear, DATA.train[:256], RECIPE, epochs=2, callbacks=[TrainingProgress()])
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.partition("  loss")[0] for line in err.splitlines()] == [
        "Linear seed 0  epoch 1/2",
        "Linear seed 0  epoch 2/2",
    ]


def test_a_notebook_shows_a_result_in_one_line() -> None:
    result = train(Linear, DATA.train[:256], RECIPE)
    assert repr(result) == "TrainingResult('Linear', epochs: 1)"
    watched = train(Linear, DATA.train[:256], RECIPE, validation=DATA.validation[:50])
    found = evaluate(watched.model, DATA.validation[:50])
    shown = f"'Linear', epochs: 1, validation {100 * found.accuracy:.2f} %"
    assert repr(watched) == f"TrainingResult({shown})"
    test = evaluate(watched.model, DATA.test[:50])
    shown += f", test {100 * test.accuracy:.2f} %"
    assert repr(watched.with_test(test)) == f"TrainingResult({shown})"
    stopped = dataclasses.replace(
        result, provenance=dataclasses.replace(result.provenance, complete=False)
    )
    assert repr(stopped) == "TrainingResult('Linear', epochs: 1, not complete)"


def test_metadata_of_other_weights_are_no_provenance() -> None:
    result = train(Linear, DATA.train[:256], RECIPE)
    told = result.provenance.to_dict()
    assert Provenance.from_dict(told | {"further": 1}) == result.provenance
    del told["seed"], told["recipe"]
    with pytest.raises(ValueError, match="no recipe, seed"):
        Provenance.from_dict(told)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.provenance.seed = 1  # type: ignore[misc]


def test_a_model_that_fails_late_leaves_the_epochs_before() -> None:
    class Late(Linear):
        steps = 0

        def forward(self, images: Tensor) -> Tensor:
            if self.training and len(images) == 256:
                self.steps += 1
                if self.steps == 6:
                    raise RuntimeError("too late")
            return super().forward(images)

    with pytest.raises(TrainingFailed, match=r"failed after epoch 2: .*too late") as caught:
        train(Late, DATA.train[:512], RECIPE, epochs=4)
    expected = train(Linear, DATA.train[:512], RECIPE, epochs=2)
    assert torch.equal(weights(caught.value.result.model), weights(expected.model))
    assert (len(caught.value.result.history), caught.value.result.complete) == (2, False)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OSError("disk gone"), "disk gone"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (FileNotFoundError(2, "No such file or directory", "x"), "x: No such file or directory"),
    ],
)
def test_a_callback_that_fails_at_the_end_of_an_epoch_says_why_and_after_which(
    error: OSError, why: str
) -> None:
    class Fail(Callback):
        def on_epoch_end(self, epoch: Epoch) -> None:
            if epoch.number == 2:
                raise error

    with pytest.raises(TrainingFailed) as caught:
        train(Linear, DATA.train[:256], RECIPE, epochs=2, callbacks=[Fail()])
    assert str(caught.value) == f"failed after epoch 2: {why}"
    assert len(caught.value.result.history) == 2


def test_a_checkpoint_that_cannot_be_written_does_not_cost_the_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "checkpoint"

    class Vanish(Callback):
        def on_epoch_end(self, epoch: Epoch) -> None:
            match epoch.number:
                case 1:
                    shutil.rmtree(folder)
                case 3:
                    folder.mkdir()

    with caplog.at_level(logging.INFO, "mnistzoo"):
        result = train(
            Linear, DATA.train[:512], RECIPE, epochs=4, checkpoint=folder, callbacks=[Vanish()]
        )
    file = folder / "checkpoint.safetensors"
    assert caplog.messages == [
        f"{file} cannot be written after epoch 2 (No such file or directory); the training goes "
        "on, and each epoch tries again",
        f"{file} is written again, after epoch 4",
    ]
    expected = train(Linear, DATA.train[:512], RECIPE, epochs=4)
    assert torch.equal(weights(result.model), weights(expected.model))
    resumed = train(Linear, DATA.train[:512], RECIPE, epochs=4, checkpoint=folder, resume=True)
    assert torch.equal(weights(resumed.model), weights(expected.model))
