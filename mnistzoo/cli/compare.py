"""``mnistzoo compare``: models side by side."""

import click

from mnistzoo.cli import completion
from mnistzoo.cli.command import Command
from mnistzoo.cli.options import (
    FILE,
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


@click.command("compare", cls=Command)
@click.argument("models", nargs=-1, metavar="[MODEL]...", shell_complete=completion.models)
@click.option("--train", "train_now", is_flag=True, help="Train now, not the shipped weights.")
@recipe_option
@epochs_option
@click.option(
    "--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Runs of each model."
)
@set_option
@final_option
@dataset_option
@data_dir_option
@device_option
@click.option(
    "--out", metavar="DIR", help="With --train: save each run's weights there when it ends."
)
@json_option
@click.option(
    "--csv", "csv_file", type=FILE, metavar="FILE", help="Write the rows as CSV; - is stdout."
)
@click.option(
    "--markdown", "markdown_file", type=FILE, metavar="FILE", help="Write Markdown; - is stdout."
)
@click.option(
    "--benchmarks",
    "benchmarks_file",
    type=FILE,
    metavar="FILE",
    help="Join what `pytest benchmarks/ --benchmark-json FILE` measured.",
)
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
    benchmarks_file: str | None,
) -> int:
    """Put MODELs side by side on the test set.

    Without MODEL, all that are installed; with --train those that can be trained. What is finished
    is shown and written after Ctrl-C too.
    """
    only_with_train = {name: name for name in ("recipe", "epochs", "seeds", "final", "out")}
    for name, option in {**only_with_train, "settings": "set"}.items():
        given = context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if given and not train_now:
            raise click.UsageError(f"--{option} needs --train")
    files = (json_file, csv_file, markdown_file)
    if files.count("-") > 1:
        raise click.UsageError("only one of --json, --csv and --markdown can go to stdout")
    check_distinct(files, inputs=(benchmarks_file,))
    check_writable(*files)

    from mnistzoo.benchmarks import read_benchmarks
    from mnistzoo.registry import ModelError, describe_conflict, get_spec, list_models, registry

    benchmarks = read_benchmarks(benchmarks_file) if benchmarks_file else None
    conflicts = registry().conflicts
    for name, claimants in conflicts.items():
        click.echo(f"mnistzoo: {describe_conflict(name, claimants)}", err=True)
    names = list(models) or [
        name for name in list_models() if get_spec(name).recipes or not train_now
    ]
    if not names:
        raise ModelError("no model is installed; install a plugin, such as mnistzoo-mnistnet")

    import torch

    from mnistzoo.compare import TrainingPlan, compare
    from mnistzoo.data import load_dataset
    from mnistzoo.report import (
        benchmarks_table,
        comparison_notes,
        comparison_table,
        write_csv,
        write_json,
        write_markdown,
    )

    plan = None
    if train_now:
        changes = overrides(settings, epochs=epochs)
        # A wrong value is wrong usage, not a failure of each row.
        for spec in map(get_spec, names):
            if recipe in spec.recipes:
                with_overrides(spec.recipes[recipe], changes)
        # Torch counts the cores that this process may use.
        plan = TrainingPlan(recipe, changes, seeds, final, cores=torch.get_num_threads())
    with StopSignals() as stop_signals:
        comparison = compare(
            names,
            load_dataset(dataset, data_dir),
            plan,
            device=device,
            show_progress=True,
            out=out,
        )
        stop_signals.put_off()
        if benchmarks is not None:
            comparison = comparison.joined(benchmarks)
        if json_file:
            write_json(comparison.facts(), json_file)
        if csv_file:
            write_csv(comparison, csv_file)
        if markdown_file:
            write_markdown(comparison, markdown_file)
        if comparison.interrupted:
            click.echo("mnistzoo: interrupted; what was finished is shown and written", err=True)
        if "-" not in files:
            comparison_table(comparison).show()
            if (table := benchmarks_table(comparison)) is not None:
                table.show()
            for note in comparison_notes(comparison):
                say(f"  {note}")
    return 1 if comparison.failed else 0
