"""``mnistzoo new-plugin``: a plugin to begin with."""

import shlex

import click

from mnistzoo.cli.command import Command
from mnistzoo.cli.options import FOLDER
from mnistzoo.output import say


@click.command("new-plugin", cls=Command)
@click.argument("name")
@click.option(
    "--directory",
    type=FOLDER,
    metavar="DIR",
    default=".",
    show_default=True,
    help="Where the folder NAME is made.",
)
def command(name: str, directory: str) -> None:
    """Write a plugin named NAME, to be made your own.

    It registers a small net that works as it stands, and has tests and benchmarks.
    """
    from mnistzoo.scaffold import new_plugin

    made = new_plugin(name, directory)
    say(
        f"wrote {made.folder} with the model {made.model}; next:\n"
        f"  cd {shlex.quote(str(made.folder))}\n"
        f'  pip install -e ".[test]"\n'
        f"  mnistzoo check {made.model}\n"
        f"  mnistzoo compare {made.model} --train --dataset mnist-10k"
    )
