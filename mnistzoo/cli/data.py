"""``mnistzoo data``: where the data is, getting it, checking it."""

import click

from mnistzoo.cli.options import Command, data_dir_option, dataset_option


@click.group("data")
def command() -> None:
    """Find, download or verify the data."""


@command.command("path", cls=Command)
@dataset_option
@data_dir_option
def path(dataset: str, data_dir: str | None) -> None:
    """Print where each file is found, without a download."""
    from mnistzoo.data import load_dataset

    found = load_dataset(dataset, data_dir)
    for file in found.files:
        click.echo(found.locate(file))


@command.command("download", cls=Command)
@dataset_option
@data_dir_option
def download(dataset: str, data_dir: str | None) -> None:
    """Download the files into the cache, or into --data-dir; print the folder."""
    from mnistzoo.data import load_dataset

    click.echo(load_dataset(dataset, data_dir).download())


@command.command("verify", cls=Command)
@dataset_option
@data_dir_option
def verify(dataset: str, data_dir: str | None) -> int:
    """Check the SHA-256 of each file's unzipped bytes."""
    from mnistzoo.data import load_dataset
    from mnistzoo.errors import MnistzooError

    found = load_dataset(dataset, data_dir)
    status = 0
    for file in found.files:
        try:
            click.echo(f"{file.sha256}  {found.verify(file)}  OK")
        except MnistzooError as error:
            click.echo(f"mnistzoo: {error}", err=True)
            status = 1
    return status
