"""``mnistzoo plot``: the plots of a comparison as files."""

from pathlib import Path

import click

from mnistzoo.cli.command import Command
from mnistzoo.cli.options import FILE, FOLDER


@click.command("plot", cls=Command)
@click.argument("comparison", type=FILE, metavar="FILE")
@click.option(
    "--out",
    type=FOLDER,
    metavar="DIR",
    help="Where to write the plots.  [default: named after FILE, such as comparison-plots]",
)
def command(comparison: str, out: str | None) -> None:
    """Draw the plots of a report from a saved comparison.

    FILE is what `compare --json` wrote. Each plot becomes an SVG and a PNG file.
    """
    from mnistzoo.output import say
    from mnistzoo.report import check_plotting

    check_plotting("drawing plots")

    from mnistzoo.report.plot_files import write_plots
    from mnistzoo.report.saved import read_comparison

    folder = out or f"{Path(comparison).stem}-plots"
    for path in write_plots(read_comparison(comparison), folder):
        say(path)
