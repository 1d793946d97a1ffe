"""``mnistzoo evaluate``: one model on the official test set."""

import shlex
from pathlib import Path

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
    html_option,
    json_option,
)


@click.command("evaluate", cls=Command)
@click.argument("model", shell_complete=completion.models)
@click.option(
    "--weights",
    type=FILE,
    metavar="FILE",
    help="A .safetensors, .pt or .pth file instead of the shipped one.",
)
@dataset_option
@data_dir_option
@device_option
@json_option
@html_option
def command(
    model: str,
    weights: str | None,
    dataset: str,
    data_dir: str | None,
    device: str,
    json_file: str | None,
    html_file: str | None,
) -> None:
    """Show how good MODEL is on the test set.

    Its accuracy, per digit too, its confusions and its confidence.
    """
    if json_file == html_file == "-":
        raise click.UsageError("only one of --json and --html can go to stdout")
    check_distinct((json_file, html_file), inputs=(weights,))
    check_writable(json_file, html_file)

    from mnistzoo.report import check_plotting

    if html_file:
        check_plotting("--html")

    from mnistzoo.comparison import Comparison
    from mnistzoo.data import load_dataset
    from mnistzoo.evaluation import evaluate
    from mnistzoo.inference import resolve_device
    from mnistzoo.models import load_model
    from mnistzoo.registry import get_registration
    from mnistzoo.report.json import write_json
    from mnistzoo.report.text import show_evaluation
    from mnistzoo.rows import evaluated_row

    registration = get_registration(model)
    name = registration.spec.name
    where = resolve_device(device)
    data = load_dataset(dataset, data_dir)
    evaluation = evaluate(load_model(name, weights), data.test, device=where)
    if json_file:
        write_json({"model": name, "dataset": dataset, **evaluation.to_dict()}, json_file)
    if html_file:
        from mnistzoo.report.html import write_html  # needs the extra

        row = evaluated_row(registration, evaluation, Path(weights) if weights else None)
        with_weights = ["--weights", weights] if weights else []
        again = shlex.join(["mnistzoo", "evaluate", name, *with_weights, "--dataset", dataset])
        write_html(Comparison.of([row], data, where).to_dict(), html_file, command=again)
    if "-" not in (json_file, html_file):
        show_evaluation(evaluation, f"{name} on the test set of {dataset}")
