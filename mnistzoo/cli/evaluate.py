"""``mnistzoo evaluate``: one model on the official test set."""

import click

from mnistzoo.cli import completion
from mnistzoo.cli.command import Command
from mnistzoo.cli.options import (
    FILE,
    check_writable,
    data_dir_option,
    dataset_option,
    device_option,
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
def command(
    model: str,
    weights: str | None,
    dataset: str,
    data_dir: str | None,
    device: str,
    json_file: str | None,
) -> None:
    """Show how good MODEL is on the test set.

    Its accuracy, per class too, its confusions and its confidence.
    """
    check_writable(json_file)

    from mnistzoo.data import load_dataset
    from mnistzoo.evaluation import evaluate
    from mnistzoo.inference import resolve_device
    from mnistzoo.models import load_model
    from mnistzoo.registry import get_spec
    from mnistzoo.report.json import write_json
    from mnistzoo.report.text import show_evaluation

    name = get_spec(model).name
    where = resolve_device(device)
    data = load_dataset(dataset, data_dir)
    evaluation = evaluate(load_model(name, weights, data), data.test, device=where)
    if json_file:
        write_json({"model": name, "dataset": data.name, **evaluation.to_dict()}, json_file)
    if json_file != "-":
        show_evaluation(evaluation, f"{name} on the test set of {data.name}")
