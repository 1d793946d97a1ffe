"""``mnistzoo plot``: the plots of a comparison as files."""

import click

from mnistzoo.cli.command import Command
from mnistzoo.cli.options import FILE, FOLDER


@click.command("plot", cls=Command)
@click.argument("comparison", type=FILE, metavar="FILE")
@click.option(
    "--out",
    type=FOLDER,
    metavar="DIR",
    default=".",
    show_default="the current folder",
    help="Write the plots there.",
)
def command(comparison: str, out: str) -> None:
    """Draw the plots of a report from FILE, which `compare --json` wrote.

    Each becomes an SVG and a PNG file.
    """
    from mnistzoo.output import say
    from mnistzoo.report import check_plotting

    check_plotting("drawing plots")

    from mnistzoo.report.plot_files import write_plots
    from mnistzoo.report.saved import read_comparison

    for path in write_plots(read_comparison(comparison), out):
        say(path)
