"""``mnistzoo compare``: models side by side."""

import functools
from typing import TYPE_CHECKING, Any

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
    html_option,
    json_option,
    overrides,
    recipe_option,
    say_written,
    set_option,
    wide_option,
    with_overrides,
)
from mnistzoo.cli.stopping import StopSignals
from mnistzoo.errors import describe_os_error

if TYPE_CHECKING:
    from mnistzoo.comparison import Comparison
    from mnistzoo.data import Dataset
    from mnistzoo.registry import Registration, Registry


@click.command("compare", cls=Command)
@click.argument("models", nargs=-1, metavar="[MODEL]...", shell_complete=completion.models_or_files)
@click.option(
    "--train", "train_now", is_flag=True, help="Train now, instead of taking the shipped weights."
)
@recipe_option
@epochs_option
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="Runs of each model.",
)
@set_option
@final_option
@dataset_option
@data_dir_option
@device_option
@click.option(
    "--out",
    type=FOLDER,
    metavar="DIR",
    help="With --train: save each run's weights there when it ends.",
)
@json_option
@click.option(
    "--csv", "csv_file", type=FILE, metavar="FILE", help="Write the rows as CSV; - is stdout."
)
@click.option(
    "--markdown", "markdown_file", type=FILE, metavar="FILE", help="Write Markdown; - is stdout."
)
@html_option
@click.option(
    "--benchmarks",
    "benchmarks_file",
    type=FILE,
    metavar="FILE",
    help="Join what `pytest benchmarks/ --benchmark-json FILE` measured.",
)
@click.option(
    "--patience",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    default=600,
    show_default=True,
    help="End a model's process that makes no progress for so long.",
)
@click.option(
    "--memory",
    type=click.IntRange(min=1),
    metavar="GIB",
    help="End a model's process that takes more.  [default: half of the machine's]",
)
@click.option(
    "--columns",
    metavar="NAME[,NAME]...|all",
    default="",
    help="Measure more: calibration, coverage, non-digits, corruptions, or all of these.",
)
@wide_option
@click.pass_context
def command(
    context: click.Context,
    models: tuple[str, ...],
    train_now: bool,
    recipe: str,
    epochs: int | None,
    seeds: int,
    settings: tuple[str, ...],
    final: bool,
    dataset: str,
    data_dir: str | None,
    device: str,
    out: str | None,
    json_file: str | None,
    csv_file: str | None,
    markdown_file: str | None,
    html_file: str | None,
    benchmarks_file: str | None,
    patience: float,
    memory: int | None,
    columns: str,
    wide: bool,
) -> int:
    """Put MODELs side by side on the test set.

    MODEL may be a file, .onnx, or .safetensors as `train` saves it. Without MODEL, all that are
    installed and ship weights for the data set; with --train those that can be trained. What is
    finished is shown and written after Ctrl-C too.
    """
    if not train_now:
        _refuse_without_train(context)
    files = (json_file, csv_file, markdown_file, html_file)
    if files.count("-") > 1:
        raise click.UsageError("only one of --json, --csv, --markdown and --html can go to stdout")
    check_distinct(files, inputs=(benchmarks_file, *models))
    check_writable(*files)

    from mnistzoo.report import check_plotting

    if html_file:
        check_plotting("--html")

    from mnistzoo.benchmarks import read_benchmarks
    from mnistzoo.registry import describe_conflict, registry, trainable_or_all
    from mnistzoo.workers.discovery import discovered
    from mnistzoo.workers.worker import Limits, prepare

    benchmarks = read_benchmarks(benchmarks_file) if benchmarks_file else None
    prepare()

    import torch

    from mnistzoo.comparison import TrainingPlan, compare
    from mnistzoo.data import load_dataset
    from mnistzoo.report.csv import write_csv
    from mnistzoo.report.json import write_json
    from mnistzoo.report.markdown import write_markdown
    from mnistzoo.report.text import show_comparison

    chosen = _chosen_columns(columns)
    limits = Limits(patience, None if memory is None else memory * 2**30)
    plugins = discovered(limits)
    known = registry(plugins)
    if not models:
        for name, claimants in known.conflicts.items():
            click.echo(f"mnistzoo: {describe_conflict(name, claimants)}", err=True)
    names = list(models) or trainable_or_all(known, trainable=train_now)
    plan = None
    if train_now:
        changes = overrides(settings, epochs=epochs)
        _check_overrides(known, names, recipe, changes)
        # Torch counts the cores that this process may use.
        plan = TrainingPlan(recipe, changes, seeds, final, cores=torch.get_num_threads())
    data = load_dataset(dataset, data_dir, plugins=plugins)
    if not models and not train_now:
        names = _with_weights(known, names, data)
    with StopSignals() as stop_signals:
        comparison = compare(
            names,
            data,
            train=plan,
            device=device,
            out=out,
            limits=limits,
            columns=chosen,
            show_progress=True,
        )
        stop_signals.put_off()
        if benchmarks is not None:
            comparison = comparison.joined(benchmarks)
        if "-" not in files:
            show_comparison(comparison, wide=wide)
        if comparison.interrupted:
            click.echo("mnistzoo: interrupted; what was finished is shown and written", err=True)
        failed = comparison.failed
        for file, write in (
            (json_file, functools.partial(write_json, comparison.to_dict())),
            (csv_file, functools.partial(write_csv, comparison)),
            (markdown_file, functools.partial(write_markdown, comparison)),
            (html_file, functools.partial(_write_html, comparison)),
        ):
            try:
                if file:
                    write(file)
                    say_written(file)
            except OSError as error:  # the others are written all the same
                click.echo(f"mnistzoo: {describe_os_error(error)}", err=True)
                failed = True
    return 1 if failed else 0


def _with_weights(known: "Registry[Registration]", names: list[str], data: "Dataset") -> list[str]:
    """Return the models that ship weights for the data, and say which do not."""
    from mnistzoo.models import option_for
    from mnistzoo.registry import ModelError, without_weights

    missing = without_weights(known, data.spec.name, data.spec.weights_from)
    left = [name for name in names if name not in missing]
    how = f"`mnistzoo compare MODEL --train{option_for(data)}` trains one now"
    if not left:
        raise ModelError(f"no installed model ships weights trained on {data.name}; {how}")
    if missing:
        click.echo(
            f"mnistzoo: without weights trained on {data.name}, and left out: "
            f"{', '.join(missing)}; {how}",
            err=True,
        )
    return left


def _write_html(comparison: "Comparison", path: str) -> None:
    from mnistzoo.report.html import write_html  # needs the extra

    write_html(comparison.to_dict(), path)


def _chosen_columns(text: str) -> list[str]:
    from mnistzoo.reliability import COLUMNS

    names = list(COLUMNS) if text == "all" else text.split(",") if text else []
    for name in names:
        if name not in COLUMNS:
            raise click.UsageError(
                f"--columns: there is no column {name!r}; take {', '.join(COLUMNS)}, or all"
            )
    return names


def _refuse_without_train(context: click.Context) -> None:
    only_with_train = {name: name for name in ("recipe", "epochs", "seeds", "final", "out")}
    for name, option in {**only_with_train, "settings": "set"}.items():
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{option} needs --train")


def _check_overrides(
    known: "Registry[Registration]", names: list[str], recipe: str, changes: dict[str, Any]
) -> None:
    """Refuse a wrong value as wrong usage; else it would be a failure of each row.

    Say so where a model has no recipe that a value could change.
    """
    from mnistzoo.recipe import unread

    for name in names:
        if (found := known.registrations.get(name)) and recipe in found.spec.recipes:
            with_overrides(found.spec.recipes[recipe], changes)
            if ignored := unread(found.spec.recipes[recipe], changes):
                click.echo(
                    f"mnistzoo: {name} is trained without a recipe: {', '.join(ignored)} changes "
                    "nothing",
                    err=True,
                )
