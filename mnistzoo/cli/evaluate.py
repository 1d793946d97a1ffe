"""``mnistzoo evaluate``: one model on the official test set."""

import shlex

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
    say_written,
)


@click.command("evaluate", cls=Command)
@click.argument("model", shell_complete=completion.models_or_files)
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

    MODEL is one that is installed, or a file: .onnx, or .safetensors as `train` saves it. Shown are
    its accuracy, per class too, its confusions and its confidence.
    """
    if json_file == html_file == "-":
        raise click.UsageError("only one of --json and --html can go to stdout")
    check_distinct((json_file, html_file), inputs=(model, weights))
    check_writable(json_file, html_file)

    from mnistzoo.report import check_plotting

    if html_file:
        check_plotting("--html")

    from mnistzoo.comparison import Comparison
    from mnistzoo.data import load_dataset
    from mnistzoo.evaluation import RepeatedEvaluation, evaluate_as_declared
    from mnistzoo.inference import resolve_device
    from mnistzoo.measuring import with_origin, with_size
    from mnistzoo.models import is_file, load_file, load_model
    from mnistzoo.registry import get_registration, get_spec
    from mnistzoo.report.json import write_json
    from mnistzoo.report.text import show_evaluation, show_repeated
    from mnistzoo.rows import Measurement, row

    if is_file(model) and weights:
        raise click.UsageError("--weights is for a model; a file has its own")
    registration = None if is_file(model) else get_registration(model)
    if registration is not None:
        model = registration.spec.name
    where = resolve_device(device)
    data = load_dataset(dataset, data_dir)
    if registration is None:
        of, loaded = load_file(model, data)
    else:
        of, loaded = model, load_model(model, weights, data)
    stochastic = bool(of) and get_spec(of).stochastic
    facts, title = {"model": model, "dataset": data.name}, f"{model} on the test set of {data.name}"
    evaluation = evaluate_as_declared(loaded, data.test, stochastic=stochastic, device=where)
    if json_file:
        write_json({**facts, **evaluation.to_dict()}, json_file)
    if html_file:
        from mnistzoo.report.html import write_html  # needs the extra

        measurement = Measurement(evaluation.evaluations)
        measurement = with_origin(measurement, model, weights, data=data)
        measurement = with_size(measurement, loaded)
        comparison = Comparison.of([row(model, registration, measurement)], data, where)
        with_weights = ["--weights", weights] if weights else []
        again = shlex.join(["mnistzoo", "evaluate", model, *with_weights, "--dataset", dataset])
        write_html(comparison.to_dict(), html_file, command=again)
    say_written(json_file, html_file)
    if "-" not in (json_file, html_file):
        if isinstance(evaluation, RepeatedEvaluation):
            show_repeated(evaluation, title)
            title = f"the first of them, seed 0: {title}"
        show_evaluation(evaluation.evaluations[0], title)
