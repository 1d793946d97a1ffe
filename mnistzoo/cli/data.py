"""``mnistzoo data``: where the data is, getting it, checking it."""

import click

from mnistzoo.cli.command import Group
from mnistzoo.cli.options import data_dir_option, dataset_option
from mnistzoo.output import say


@click.group("data", cls=Group)
def command() -> None:
    """Find, download or verify the data."""


@command.command("path")
@dataset_option
@data_dir_option
def path(dataset: str, data_dir: str | None) -> None:
    """Print where each file is found, without a download."""
    from mnistzoo.data import load_dataset

    found = load_dataset(dataset, data_dir)
    for file in found.files:
        say(found.locate(file))


@command.command("download")
@dataset_option
@data_dir_option
def download(dataset: str, data_dir: str | None) -> None:
    """Download the files into the cache, or into --data-dir; print the folder."""
    from mnistzoo.data import load_dataset

    say(load_dataset(dataset, data_dir).download())


@command.command("verify")
@dataset_option
@data_dir_option
def verify(dataset: str, data_dir: str | None) -> int:
    """Check each file against its published checksum."""
    from mnistzoo.data import load_dataset
    from mnistzoo.errors import MnistzooError

    found = load_dataset(dataset, data_dir)
    status = 0
    for file in found.files:
        try:
            verdict = "OK" if found.verified else "unverified"
            say(f"{file.checksum}  {found.verify(file)}  {verdict}")
        except MnistzooError as error:
            click.echo(f"mnistzoo: {error}", err=True)
            status = 1
    return status
