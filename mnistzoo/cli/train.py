"""``mnistzoo train``: train one model by a recipe and save its weights."""

import dataclasses
import os
import shlex
from pathlib import Path

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
from mnistzoo.output import say


@click.command("train", cls=Command)
@click.argument("model", shell_complete=completion.models)
@recipe_option
@epochs_option
@click.option("--batch-size", type=click.IntRange(min=1), help="Instead of the recipe's.")
@click.option("--lr", type=float, help="Learning rate instead of the recipe's.")
@click.option("--seed", type=click.IntRange(min=0), help="Instead of the recipe's.")
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
    "--resume", is_flag=True, help="Go on from the checkpoint; from the start if there is none yet."
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
    inputs = () if checkpoint is None else (os.path.join(checkpoint, "checkpoint.safetensors"),)
    check_distinct((output, json_file), inputs)
    check_writable(output, json_file)

    from mnistzoo.data import load_dataset
    from mnistzoo.evaluation import evaluate
    from mnistzoo.report import as_changed, counted, percent, write_json
    from mnistzoo.run_files import file_name
    from mnistzoo.training import (
        TrainingDiverged,
        TrainingInterrupted,
        TrainingJob,
        run_training,
    )
    from mnistzoo.training.progress import TrainingProgress
    from mnistzoo.weights import save_weights

    data = load_dataset(dataset, data_dir)
    data.read("train_and_validation", "test")  # found now, not missed after the training
    target = Path(output or file_name(registration, recipe, chosen, data.name, final=final))
    check_writable(str(target))
    if target.exists():
        click.echo(
            f"mnistzoo: {target} is there already; when this run is complete, it is replaced "
            "(-o FILE saves elsewhere)",
            err=True,
        )
    if final:
        click.echo(
            f"mnistzoo: final run: all {len(data.train_and_validation):,} training images, the "
            "validation split included",
            err=True,
        )
    job = TrainingJob(
        model=name,
        recipe=recipe,
        overrides=changes,
        dataset=data.name,
        data_dir=data.data_dir,
        final=final,
        device=device,
        checkpoint=checkpoint,
        resume=resume,
    )
    with StopSignals() as stop_signals:
        try:
            result = run_training(job, [TrainingProgress()])
            stopped = ""
        except (TrainingDiverged, TrainingInterrupted) as error:
            result = error.result
            stopped = str(error)
        stop_signals.put_off()
        done = len(result.history)
        if not done:
            click.echo(f"mnistzoo: {stopped}; no epoch was complete, so nothing is saved", err=True)
            return 1
        path = result.save(target)  # before an evaluation that could be interrupted
        after = f"the weights after epoch {done}"
        if stopped:
            click.echo(f"mnistzoo: {stopped}; saved {after} in {path}", err=True)
        try:
            stop_signals.listen()
            test = evaluate(result.model, data.test, device=device)
            stop_signals.put_off()
        except BaseException:
            click.echo(
                f"mnistzoo: {path} holds {after}, which are not evaluated on the test set; "
                f"`mnistzoo evaluate {name} --weights {shlex.quote(str(path))}` does it",
                err=True,
            )
            raise
        told = result.with_test(test).provenance
        save_weights(result.model, path, told)
        if json_file:
            history = [dataclasses.asdict(each) for each in result.history]
            facts = {**told.to_dict(), "history": history, "evaluation": test.to_dict()}
            write_json({**facts, "file": str(path)}, json_file)
    if json_file != "-":
        low, high = test.accuracy_interval
        say(
            f"{name}, recipe {recipe}{as_changed(told.overrides)}, seed {told.seed}: "
            f"{counted(done, 'epoch')} of {told.training_images:,} images of {data.name} in "
            f"{result.seconds:.1f} s on {told.environment['device']}"
        )
        if result.validation_accuracy is not None:
            say(f"  validation accuracy {percent(result.validation_accuracy)} %")
        say(
            f"  test accuracy {percent(test.accuracy)} % "
            f"(95 % interval {percent(low)} to {percent(high)} %)"
        )
        say(f"  weights in {path}")
    return 1 if stopped else 0
