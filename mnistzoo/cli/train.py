"""``mnistzoo train``: train one model by a recipe and save its weights."""

import dataclasses
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mnistzoo.cli import completion
from mnistzoo.cli.command import Command
from mnistzoo.cli.options import (
    FILE,
    FOLDER,
    check_distinct,
    check_writable,
    data_dir_option,
    dataset_option,
    device_option,
    epochs_option,
    final_option,
    json_option,
    overrides,
    recipe_option,
    set_option,
    with_overrides,
)
from mnistzoo.cli.stopping import StopSignals

if TYPE_CHECKING:
    from mnistzoo.data import Dataset
    from mnistzoo.evaluation import Evaluation, RepeatedEvaluation
    from mnistzoo.training import Callback, TrainingJob, TrainingResult


@click.command("train", cls=Command)
@click.argument("model", shell_complete=completion.models)
@recipe_option
@epochs_option
@click.option(
    "--batch-size", type=click.IntRange(min=1), metavar="N", help="Instead of the recipe's."
)
@click.option("--lr", type=float, metavar="X", help="Learning rate instead of the recipe's.")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Instead of the recipe's.")
@set_option
@final_option
@dataset_option
@data_dir_option
@device_option
@click.option(
    "-o",
    "--output",
    type=FILE,
    metavar="FILE.safetensors",
    help="Where to save the weights.  [default: MODEL-RECIPE-seedN.safetensors, with what you "
    "change in the name]",
)
@click.option(
    "--checkpoint",
    type=FOLDER,
    metavar="DIR",
    help="Save the state of the run there after every epoch.",
)
@click.option(
    "--weights",
    type=FILE,
    metavar="FILE",
    help="Begin with these weights, a .safetensors, .pt or .pth file: fine-tune.",
)
@click.option(
    "--resume", is_flag=True, help="Go on from the checkpoint; from the start if there is none yet."
)
@click.option(
    "--log",
    "logs",
    metavar="KIND:TARGET",
    multiple=True,
    help="Write each epoch down while it trains: csv:DIR, tensorboard:DIR, or what a plugin adds; "
    "may be repeated.",
)
@json_option
def command(
    model: str,
    recipe: str,
    epochs: int | None,
    batch_size: int | None,
    lr: float | None,
    seed: int | None,
    settings: tuple[str, ...],
    final: bool,
    dataset: str,
    data_dir: str | None,
    device: str,
    output: str | None,
    checkpoint: str | None,
    resume: bool,
    weights: str | None,
    logs: tuple[str, ...],
    json_file: str | None,
) -> int:
    """Train MODEL and save its weights.

    The test set is used once, at the end. A run that is stopped saves the weights of its last
    complete epoch in a file whose name says so.
    """
    from mnistzoo.registry import get_recipe, get_registration

    registration = get_registration(model)
    name = registration.spec.name
    changes = overrides(settings, epochs=epochs, batch_size=batch_size, learning_rate=lr, seed=seed)
    chosen = with_overrides(get_recipe(registration.spec, recipe), changes)
    if resume and checkpoint is None:
        raise click.UsageError("--resume needs --checkpoint DIR")
    if output is not None and not output.endswith(".safetensors"):
        raise click.BadParameter("the file name must end in .safetensors", param_hint="-o")
    inputs = [weights]
    if checkpoint is not None:
        inputs.append(os.path.join(checkpoint, "checkpoint.safetensors"))
    check_distinct((output, json_file), inputs)
    check_writable(output, json_file)
    for log in logs:
        if not all(log.partition(":")):
            raise click.UsageError(f"--log is {log!r}: give KIND:TARGET, such as csv:logs")

    from mnistzoo.data import load_dataset
    from mnistzoo.inference import resolve_device
    from mnistzoo.run_files import file_name, unfinished
    from mnistzoo.training import TrainingJob
    from mnistzoo.training.logs import create_log

    resolve_device(device)
    data = load_dataset(dataset, data_dir)
    data.read("train_and_validation", "test")  # found now, not missed after the training
    named = file_name(registration, recipe, chosen, data.name, final=final, begun=weights or "")
    target = Path(output or named)
    check_distinct((str(target), json_file), inputs)
    check_writable(str(target), str(unfinished(target, chosen.epochs, chosen.epochs)))
    if target.exists():
        _tell(
            f"{target} is there already; when this run is complete, it is replaced (-o FILE "
            "saves elsewhere)"
        )
    if final:
        images = len(data.train_and_validation)
        _tell(f"final run: all {images:,} training images, the validation split included")
    job = TrainingJob(
        model=name,
        recipe=recipe,
        overrides=changes,
        dataset=data.reference,
        data_dir=data.data_dir,
        final=final,
        device=device,
        checkpoint=checkpoint,
        resume=resume,
        weights=weights,
    )
    callbacks = [create_log(*log.split(":", 1)) for log in logs]
    with StopSignals() as stop_signals:
        return _train(job, data, target, json_file, callbacks, stop_signals)


def _train(
    job: "TrainingJob",
    data: "Dataset",
    target: Path,
    json_file: str | None,
    logs: "list[Callback]",
    stop_signals: StopSignals,
) -> int:
    """Train, save, evaluate, and save again with the test accuracy; return the exit code."""
    from mnistzoo.output import say
    from mnistzoo.report.json import write_json
    from mnistzoo.report.text import show_training
    from mnistzoo.shipping import as_code, declared
    from mnistzoo.training import (
        TrainingDiverged,
        TrainingFailed,
        TrainingInterrupted,
        run_training,
    )
    from mnistzoo.training.callbacks import StopWhen
    from mnistzoo.training.progress import TrainingProgress
    from mnistzoo.weights import save_weights

    stopped = ""
    try:
        watching = [TrainingProgress(), StopWhen(lambda: stop_signals.came), *logs]
        result = run_training(job, watching)
    except (TrainingDiverged, TrainingFailed, TrainingInterrupted) as error:
        result, stopped = error.result, str(error)
    stop_signals.put_off()
    done = len(result.history)
    if not done:
        _tell(f"{stopped}; no epoch was complete, so nothing is saved")
        return 1
    try:
        path = result.save(target)  # before an evaluation that could be interrupted
    except OSError:
        if job.checkpoint and Path(job.checkpoint, "checkpoint.safetensors").exists():
            _tell(
                f"the weights after epoch {done} are not saved; with --resume the same command "
                f"goes on from the checkpoint in {job.checkpoint}"
            )
        raise
    if stopped:
        _tell(f"{stopped}; saved the weights after epoch {done} in {path}")
    test = _evaluated(result, data, job.device, path, stop_signals)
    result = result.with_test(test)
    save_weights(result.model, path, result.provenance)
    if json_file:
        told = dataclasses.asdict(declared(path, result.provenance)) if data.verified else None
        write_json({**result.to_dict(), "file": str(path), "weights": told}, json_file)
    if json_file != "-":
        show_training(result, test, path)
        if result.complete and data.verified:  # a plugin names data that others can have
            say("  in a plugin, beside the module of the factory, it is declared as")
            say(as_code(declared(path, result.provenance)))
    return 1 if stopped else 0


def _evaluated(
    result: "TrainingResult", data: "Dataset", device: str, path: Path, stop_signals: StopSignals
) -> "Evaluation | RepeatedEvaluation":
    """Evaluate on the test set; where that fails, say how to do it later."""
    from mnistzoo.evaluation import evaluate_as_declared
    from mnistzoo.registry import get_spec

    stochastic = get_spec(result.provenance.model).stochastic
    try:
        stop_signals.listen()
        test = evaluate_as_declared(result.model, data.test, stochastic=stochastic, device=device)
        stop_signals.put_off()
    except BaseException:
        model = result.provenance.model
        _tell(
            f"{path} holds the weights after epoch {len(result.history)}, which are not evaluated "
            f"on the test set; `mnistzoo evaluate {model} --weights {shlex.quote(str(path))}` does "
            "it"
        )
        raise
    return test


def _tell(sentence: str) -> None:
    click.echo(f"mnistzoo: {sentence}", err=True)
