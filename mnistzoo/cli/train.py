"""``mnistzoo train``: train one model by a recipe and save its weights."""

from typing import Any

import click

from mnistzoo.cli.options import (
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


@click.command("train")
@click.argument("model")
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
    metavar="FILE.safetensors",
    help="Where to save the weights.  [default: MODEL-RECIPE-seedN.safetensors]",
)
@click.option(
    "--checkpoint", metavar="DIR", help="Save the state of the run there after every epoch."
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

    The test set is used once, at the end.
    """
    from mnistzoo.registry import get_recipe, get_registration

    registration = get_registration(model)
    name = registration.spec.name
    chosen = with_overrides(
        get_recipe(registration.spec, recipe),
        overrides(settings, epochs=epochs, batch_size=batch_size, learning_rate=lr, seed=seed),
    )
    if resume and checkpoint is None:
        raise click.UsageError("--resume needs --checkpoint DIR")
    output = output or f"{name}-{recipe}-seed{chosen.seed}.safetensors"
    if not output.endswith(".safetensors"):
        raise click.BadParameter("the file name must end in .safetensors", param_hint="-o")
    check_writable(output, json_file)

    import torch

    from mnistzoo.data import load_dataset
    from mnistzoo.evaluation import evaluate
    from mnistzoo.measure import environment
    from mnistzoo.report import percent, write_json
    from mnistzoo.training import TrainingDiverged, TrainingInterrupted
    from mnistzoo.training.runs import train_registered
    from mnistzoo.weights import save_weights

    data = load_dataset(dataset, data_dir)
    images = data.train_and_validation if final else data.train
    test_images = data.test  # found now, not missed after the training
    if final:
        click.echo(
            f"mnistzoo: final run: all {len(images):,} training images, the validation split "
            "included",
            err=True,
        )
    try:
        trained, run = train_registered(
            name,
            chosen,
            data,
            final=final,
            device=device,
            checkpoint=checkpoint,
            resume=resume,
        )
        stopped = ""
    except (TrainingDiverged, TrainingInterrupted) as error:
        trained, run = error.model, error.run
        stopped = str(error)
    if not run.epochs:
        click.echo(f"mnistzoo: {stopped}; no epoch was complete, so nothing is saved", err=True)
        return 1
    story: dict[str, Any] = {
        "model": name,
        "plugin": registration.plugin.distribution,
        "plugin_version": registration.plugin.version,
        "recipe_name": recipe,
        "recipe": chosen.flat(),
        "seed": chosen.seed,
        "epochs_completed": len(run.epochs),
        "final": final,
        "dataset": data.name,
        "checksums": dict(data.checksums),
        "metrics": {},
        "train_seconds": run.seconds,
        "precision": run.precision,
        "environment": environment(torch.device(run.device)),
    }
    save_weights(trained, output, story)  # before an evaluation that could be interrupted
    test = evaluate(trained, test_images, device=device)
    story["metrics"] = {"test_accuracy": test.accuracy}
    if run.validation_accuracy is not None:
        story["metrics"]["validation_accuracy"] = run.validation_accuracy
    save_weights(trained, output, story)
    if json_file:
        write_json({**story, "evaluation": test.facts(), "file": output}, json_file)
    if json_file != "-":
        low, high = test.accuracy_interval
        click.echo(
            f"{name}, recipe {recipe}, seed {chosen.seed}: {len(run.epochs)} epochs of "
            f"{len(images):,} images in {run.seconds:.1f} s on {run.device}"
        )
        if run.validation_accuracy is not None:
            click.echo(f"  validation accuracy {percent(run.validation_accuracy)} %")
        click.echo(
            f"  test accuracy {percent(test.accuracy)} % "
            f"(95 % interval {percent(low)} to {percent(high)} %)"
        )
        click.echo(f"  weights in {output}")
    if stopped:
        click.echo(
            f"mnistzoo: {stopped}; saved the weights after epoch {len(run.epochs)}", err=True
        )
        return 1
    return 0
