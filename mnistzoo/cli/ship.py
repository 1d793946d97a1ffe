"""``mnistzoo ship``: weights into the plugin of their model."""

import click

from mnistzoo.cli.command import Command
from mnistzoo.cli.options import FILE, FOLDER, check_distinct, check_writable, json_option


@click.command("ship", cls=Command)
@click.argument("files", type=FILE, nargs=-1, required=True, metavar="FILE.safetensors...")
@click.option(
    "--folder",
    type=FOLDER,
    metavar="DIR",
    help="Where the weights go.  [default: beside the module of the model's factory]",
)
@json_option
def command(files: tuple[str, ...], folder: str | None, json_file: str | None) -> None:
    """Put weights that `train` saved into their model's plugin.

    Of several seeds that with the median validation accuracy. A model card is written beside them;
    shown is what the plugin has to declare, with the temperature and the threshold that the
    validation images give.
    """
    check_distinct((json_file,), inputs=files)
    check_writable(json_file)

    import dataclasses

    from mnistzoo.output import say
    from mnistzoo.report.json import write_json
    from mnistzoo.shipping import as_code, ship

    shipped = ship(files, folder)
    if json_file:
        facts = {"file": str(shipped.path), "card": str(shipped.card)}
        facts |= {"uncalibrated": shipped.uncalibrated}
        write_json({**facts, "weights": dataclasses.asdict(shipped.weights)}, json_file)
    if json_file != "-":
        say(f"wrote {shipped.path} and {shipped.card}; the ModelSpec has to declare")
        say(as_code(shipped.weights))
        if shipped.uncalibrated:
            say(f"it has no temperature and no threshold, since {shipped.uncalibrated}")
