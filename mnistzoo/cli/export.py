"""``mnistzoo export``: a model as a verified ONNX file."""

import click

from mnistzoo.cli import completion
from mnistzoo.cli.command import Command
from mnistzoo.cli.options import (
    FILE,
    check_distinct,
    check_writable,
    data_dir_option,
    dataset_option,
    json_option,
)


@click.command("export", cls=Command)
@click.argument("model", shell_complete=completion.models)
@click.option(
    "-o",
    "--output",
    type=FILE,
    metavar="FILE.onnx",
    help="Where to write it.  [default: MODEL.onnx, or MODEL-int8.onnx with --int8]",
)
@click.option(
    "--weights",
    type=FILE,
    metavar="FILE",
    help="A .safetensors, .pt or .pth file instead of the shipped one.",
)
@dataset_option
@data_dir_option
@click.option("--int8", is_flag=True, help="Quantise it; refused where it costs over 0.1 points.")
@click.option("--force", is_flag=True, help="With --int8: write it whatever it costs.")
@json_option
def command(
    model: str,
    output: str | None,
    weights: str | None,
    dataset: str,
    data_dir: str | None,
    int8: bool,
    force: bool,
    json_file: str | None,
) -> None:
    """Write MODEL as one ONNX file, checked against PyTorch.

    It has to give the same answer for every test image.
    """
    if force and not int8:
        raise click.UsageError("--force needs --int8")

    from mnistzoo.registry import get_spec

    name = get_spec(model).name
    output = output or f"{name}{'-int8' if int8 else ''}.onnx"
    if output == "-":
        raise click.UsageError("--output must be a file; an ONNX file does not go to stdout")
    if not output.lower().endswith(".onnx"):
        raise click.BadParameter("the file name must end in .onnx", param_hint="-o")
    check_distinct((output, json_file), inputs=(weights,))
    check_writable(output, json_file)

    import dataclasses

    from mnistzoo.data import load_dataset
    from mnistzoo.export import export_onnx
    from mnistzoo.report.json import write_json
    from mnistzoo.report.text import show_export

    data = load_dataset(dataset, data_dir)
    export = export_onnx(name, output, weights=weights, dataset=data, int8=int8, force=force)
    if json_file:
        write_json(dataclasses.asdict(export), json_file)
    if json_file != "-":
        show_export(export)
