"""A run that was stopped and went on is the run that was never stopped, bit for bit."""

import hashlib
import json
import logging
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from training_runs import trained

from mnistzoo import Augmentation, ModelSpec, Recipe, Split, load_dataset
from mnistzoo.training import TrainingInterrupted, TrainingResult, optimizer
from mnistzoo.training.checkpoint import CheckpointError

Register = Callable[..., None]
RunPython = Callable[..., subprocess.CompletedProcess[str]]
Spec = Callable[..., ModelSpec]

TRAIN = load_dataset("mnist-10k").train[:200]
VALIDATION = load_dataset("mnist-10k").validation[:200]
STEPS = 4  # an epoch, the last of them smaller
# With everything that has a state to be kept.
RECIPE = Recipe(
    epochs=3,
    batch_size=64,
    optimizer="adam",
    learning_rate=0.01,
    weight_decay=0.01,
    schedule="one-cycle",
    augmentation=Augmentation(rotation=10, scale=0.1, shift=2, shear=5, elastic=1, erasing=0.5),
    ema_decay=0.9,
    clip_norm=1,
    threads=1,
    seed=5,
)
RECIPES = {
    "adam": RECIPE,
    "adamw": RECIPE.replace(optimizer="adamw"),
    "sgd": RECIPE.replace(optimizer="sgd"),
    # Its state begins with the first step; and labels that are mixed.
    "own": RECIPE.replace(
        optimizer="torch.optim:RMSprop",
        optimizer_arguments={"momentum": 0.9, "centered": True, "foreach": None},
        learning_rate=0.001,
        augment="training_runs:mixup",
        augment_arguments={"alpha": 0.4},
    ),
    "plain": Recipe(epochs=3, batch_size=64, optimizer="adam", learning_rate=0.01, threads=1),
}


class Net(nn.Module):
    """With batch norm and dropout, and convolutions, whose memory has a format of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 6, 5, stride=3),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Conv2d(6, 8, 3, stride=2),
            nn.Dropout(0.2),
            nn.Flatten(),
        )
        self.head = nn.Linear(8 * 3 * 3, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.layers(images))


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def run(
    recipe: Recipe = RECIPE,
    folder: Path | None = None,
    *,
    create: Callable[[], nn.Module] = Net,
    data: Split = TRAIN,
    **options: Any,
) -> tuple[nn.Module, TrainingResult]:
    return trained(create, recipe, data, VALIDATION, checkpoint=folder, **options)


def stop_at(step: int) -> Callable[[int], None]:
    def on_step(number: int) -> None:
        if number == step:
            raise KeyboardInterrupt

    return on_step


def stopped(folder: Path, recipe: Recipe = RECIPE, step: int = STEPS + 2, **options: Any) -> Path:
    """Stop a run at a step, and return its checkpoint."""
    with pytest.raises(TrainingInterrupted):
        run(recipe, folder, on_step=stop_at(step), **options)
    (file,) = folder.iterdir()
    return file


def assert_same(
    resumed: tuple[nn.Module, TrainingResult], whole: tuple[nn.Module, TrainingResult]
) -> None:
    """Compare weights, buffers, losses and validation accuracies bit for bit."""
    for (name, found), expected in zip(
        resumed[0].state_dict().items(), whole[0].state_dict().values(), strict=True
    ):
        assert torch.equal(found, expected), f"{name} differs"
    found_epochs, expected_epochs = (
        [(epoch.number, epoch.loss, epoch.validation_accuracy) for epoch in result.history]
        for _, result in (resumed, whole)
    )
    assert found_epochs == expected_epochs
    assert not resumed[0].training


@pytest.fixture(scope="module", params=RECIPES)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return RECIPES[request.param]


@pytest.fixture(scope="module")
def whole(recipe: Recipe) -> tuple[nn.Module, TrainingResult]:
    """Return a run that was never stopped, and saved nothing."""
    return run(recipe)


def test_saving_checkpoints_changes_nothing(
    recipe: Recipe, whole: tuple[nn.Module, TrainingResult], tmp_path: Path
) -> None:
    assert_same(run(recipe, tmp_path / "new" / "folder"), whole)
    (file,) = (tmp_path / "new" / "folder").iterdir()
    assert file.name == "checkpoint.safetensors"


@pytest.mark.parametrize("step", [STEPS, STEPS + 2, 3 * STEPS - 1])
def test_a_run_that_was_interrupted_goes_on_as_if_it_were_not(
    step: int, recipe: Recipe, whole: tuple[nn.Module, TrainingResult], tmp_path: Path
) -> None:
    if step == STEPS:
        with pytest.raises(TrainingInterrupted):
            run(recipe, tmp_path, on_step=stop_at(step))
        assert list(tmp_path.iterdir()) == []  # no epoch was complete
    else:
        stopped(tmp_path, recipe, step)
    torch.rand(3)
    seen: list[int] = []
    assert_same(run(recipe, tmp_path, resume=True, on_step=seen.append), whole)
    done = (step - 1) // STEPS * STEPS
    assert seen == list(range(done + 1, 3 * STEPS + 1))


def test_a_run_by_torch_optim_goes_on_too_and_ends_with_the_same_weights(
    recipe: Recipe,
    whole: tuple[nn.Module, TrainingResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(optimizer, "SHORT_RUN", 0)
    stopped(tmp_path, recipe)
    assert_same(run(recipe, tmp_path, resume=True), whole)


def test_a_run_may_be_stopped_in_every_epoch(
    recipe: Recipe, whole: tuple[nn.Module, TrainingResult], tmp_path: Path
) -> None:
    for epoch in (2, 3):
        with pytest.raises(TrainingInterrupted) as caught:
            run(recipe, tmp_path, resume=True, on_step=stop_at(epoch * STEPS - 1))
        assert [each.number for each in caught.value.result.history] == list(range(1, epoch))
    assert_same(run(recipe, tmp_path, resume=True), whole)


def pair(result: TrainingResult) -> tuple[nn.Module, TrainingResult]:
    return result.model, result


def test_a_resumed_run_that_is_interrupted_has_the_model_of_its_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(TrainingInterrupted) as first:
        run(folder=tmp_path, on_step=stop_at(2 * STEPS + 1))
    with pytest.raises(TrainingInterrupted) as second:
        run(folder=tmp_path, resume=True, on_step=stop_at(2 * STEPS + 2))
    assert_same(pair(second.value.result), pair(first.value.result))


def test_ctrl_c_between_two_epochs_loses_neither(tmp_path: Path) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted) as caught:
        run(folder=tmp_path, on_epoch=interrupt)
    assert len(caught.value.result.history) == 1
    seen: list[int] = []
    resumed = run(folder=tmp_path, resume=True, on_step=seen.append)
    assert seen[0] == STEPS + 1
    assert_same(resumed, run())


_KILLED = """\
import os, runpy, sys
from pathlib import Path

sys.path.insert(0, str(Path(sys.argv[1]).parents[1]))  # tests/, as pytest sees it

def kill(step):
    if step == int(sys.argv[3]):
        os._exit(77)

tests = runpy.run_path(sys.argv[1])
tests["run"](tests["RECIPE"], Path(sys.argv[2]), on_step=kill)
"""


def test_a_run_whose_process_was_killed_goes_on_as_if_it_were_not(
    run_python: RunPython, tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoint"
    killed = run_python("-c", _KILLED, __file__, str(folder), str(2 * STEPS + 1))
    assert killed.returncode == 77, killed.stderr
    seen: list[int] = []
    assert_same(run(folder=folder, resume=True, on_step=seen.append), run())
    assert seen[0] == 2 * STEPS + 1


def test_a_student_goes_on_as_if_it_were_not_stopped(
    register: Register, linear_spec: Spec, tmp_path: Path
) -> None:
    register(linear_spec("ones"))
    recipe = RECIPE.replace(teacher="ones")
    stopped(tmp_path, recipe)
    assert_same(run(recipe, tmp_path, resume=True), run(recipe))


def test_a_finished_run_is_not_trained_further(tmp_path: Path) -> None:
    finished = run(folder=tmp_path)
    (file,) = tmp_path.iterdir()
    before = file.read_bytes()
    called: list[object] = []
    again = run(folder=tmp_path, resume=True, on_step=called.append, on_epoch=called.append)
    assert called == []
    assert_same(again, finished)
    assert [epoch.seconds for epoch in again[1].history] == [
        epoch.seconds for epoch in finished[1].history
    ]
    assert file.read_bytes() == before


def test_time_goes_on_where_it_stopped(tmp_path: Path) -> None:
    stopped(tmp_path)
    _, result = run(folder=tmp_path, resume=True)
    times = [epoch.seconds for epoch in result.history]
    assert times == sorted(set(times))


def test_the_callers_random_state_is_left_alone(tmp_path: Path) -> None:
    stopped(tmp_path)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    run(folder=tmp_path, resume=True)
    assert torch.equal(torch.rand(3), expected)


def test_without_a_checkpoint_yet_resuming_starts_from_the_beginning(tmp_path: Path) -> None:
    assert_same(run(folder=tmp_path / "none", resume=True), run())
    assert (tmp_path / "none" / "checkpoint.safetensors").is_file()


def test_resuming_needs_a_folder() -> None:
    with pytest.raises(ValueError, match="folder of a checkpoint"):
        run(resume=True)


def refused(message: str, file: Path, **options: Any) -> None:
    """Check that a run is refused before its first step, and that the file is left as it is."""
    before = file.read_bytes()
    called: list[int] = []
    defaults: dict[str, Any] = {"resume": True, "on_step": called.append}
    with pytest.raises(CheckpointError, match=message) as caught:
        run(folder=file.parent, **defaults | options)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert called == []
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_an_existing_checkpoint_is_not_replaced_unasked(tmp_path: Path) -> None:
    refused("is there already; add --resume", stopped(tmp_path), resume=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 6}, "recipe has seed 5, not 6"),
        ({"learning_rate": 0.02}, "recipe has learning_rate 0.01, not 0.02"),
        ({"epochs": 4}, "recipe has epochs 3, not 4"),
        ({"rotation": 0}, "recipe has rotation 10, not 0"),
        ({"clip_norm": None}, "recipe has clip_norm 1, not None"),
        ({"optimizer": "sgd"}, "recipe has optimizer adam, not sgd"),
        (
            {"optimizer_arguments": {"betas": (0.9, 0.95)}},
            r"recipe has optimizer_arguments has betas None, not \[0.9, 0.95\]",
        ),
        ({"ema_decay": 0}, "recipe has ema_decay 0.9, not 0"),
        ({"threads": None}, "recipe has threads 1, not None"),
    ],
)
def test_the_checkpoint_of_another_recipe_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    other = RECIPE.replace(**changes)
    refused(f"another run: {message}", stopped(tmp_path), recipe=other)


def test_the_checkpoint_of_other_data_is_refused(tmp_path: Path) -> None:
    file = stopped(tmp_path)
    relabelled = np.array(TRAIN.labels)
    relabelled[7] = (relabelled[7] + 1) % 10
    for data in (
        TRAIN[:199],
        Split(TRAIN.images, relabelled),
        Split(TRAIN.images[::-1], TRAIN.labels),
    ):
        refused("another run: training images", file, data=data)


def smaller() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 8), nn.Linear(8, 10))


def longer() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.BatchNorm1d(10))


@pytest.mark.parametrize("recipe", [RECIPES["adam"], RECIPES["plain"]], ids=["adam", "plain"])
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [(Net, linear), (linear, Net), (linear, smaller), (linear, longer), (longer, linear)],
)
def test_the_checkpoint_of_another_model_is_refused(
    theirs: Callable[[], nn.Module], ours: Callable[[], nn.Module], recipe: Recipe, tmp_path: Path
) -> None:
    file = stopped(tmp_path, recipe, create=theirs)
    refused("is of another model", file, recipe=recipe, create=ours)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    file = stopped(tmp_path)
    sound = file.read_bytes()
    for damaged in (
        b"",
        b"not a checkpoint",
        b"\0" * 1000,
        sound[:4],
        sound[:100],
        sound[: len(sound) // 2],
        sound[:-1],
        sound + b"\0",
    ):
        file.write_bytes(damaged)
        refused("is damaged or no checkpoint", file)


def test_a_single_bit_that_flips_is_found(tmp_path: Path) -> None:
    file = stopped(tmp_path)
    sound = file.read_bytes()
    for place in range(9, len(sound), len(sound) // 60):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << place % 8
        file.write_bytes(damaged)
        refused("is damaged or no checkpoint", file)


@pytest.mark.parametrize(
    "malformed",
    [
        {"epochs": [3]},
        {"epochs": [{"number": 1}]},
        {"epochs": {"a": 1}},
        {"epochs": None},
        {"run": 5},
        {"machine": [[1]]},
        [],
        None,
    ],
)
def test_malformed_facts_are_no_checkpoint(malformed: Any, tmp_path: Path) -> None:
    file = stopped(tmp_path)
    with safetensors.safe_open(file, framework="pt") as opened:
        facts = json.loads(opened.metadata()["mnistzoo-checkpoint"])
    text = json.dumps(facts | malformed if isinstance(malformed, dict) else malformed)
    sign(file, text)
    refused("is damaged or no checkpoint", file)


def test_facts_nested_too_deep_are_no_checkpoint(tmp_path: Path) -> None:
    file = stopped(tmp_path)
    sign(file, "[" * 100_000 + "]" * 100_000)
    refused("is damaged or no checkpoint", file)


def sign(file: Path, facts: str) -> None:
    """Replace what a checkpoint says of its run, with a checksum that is right."""
    tensors = safetensors.torch.load_file(file)
    content = safetensors.torch.save(tensors) + facts.encode()
    metadata = {"mnistzoo-checkpoint": facts, "sha256": hashlib.sha256(content).hexdigest()}
    safetensors.torch.save_file(tensors, file, metadata)


def test_weights_are_no_checkpoint(tmp_path: Path) -> None:
    model, _ = run()
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    file = tmp_path / "checkpoint.safetensors"
    for metadata in (
        None,
        {"story": "{}"},
        {"mnistzoo-checkpoint": "{"},
        {"mnistzoo-checkpoint": "{}"},
    ):
        safetensors.torch.save_file(weights, file, metadata)
        refused("is damaged or no checkpoint", file)


def test_another_number_of_threads_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = RECIPE.replace(threads=None)
    stopped(tmp_path, recipe)
    with caplog.at_level(logging.WARNING, "mnistzoo"):
        with pytest.raises(TrainingInterrupted):
            run(recipe, tmp_path, resume=True, on_step=stop_at(STEPS + 1))
        assert caplog.messages == []
        number = torch.get_num_threads()
        torch.set_num_threads(number + 1)
        try:
            _, result = run(recipe, tmp_path, resume=True)
        finally:
            torch.set_num_threads(number)
    (message,) = caplog.messages
    assert f"threads {number}, not {number + 1}" in message
    assert len(result.history) == 3


def test_the_log_says_where_a_run_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "mnistzoo"):
        with pytest.raises(TrainingInterrupted):
            run(folder=tmp_path, resume=True, on_step=stop_at(2 * STEPS + 1))
        run(folder=tmp_path, resume=True)
    first, second = caplog.messages
    assert "from the beginning" in first
    assert "after epoch 2" in second
