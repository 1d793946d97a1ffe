"""Options that several commands share."""

import dataclasses
from typing import Any

import click

from mnistzoo.files import check_replaceable
from mnistzoo.spec import Recipe

json_option = click.option(
    "--json", "json_file", metavar="FILE", help="Write the facts as JSON; - is stdout."
)
dataset_option = click.option(
    "--dataset",
    type=click.Choice(["mnist", "mnist-10k"]),
    default="mnist",
    show_default=True,
    help="mnist-10k ships inside the package.",
)
data_dir_option = click.option(
    "--data-dir",
    metavar="DIR",
    help="The folder with MNIST's four IDX files.  [env: MNISTZOO_DATA_DIR]",
)
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
)
final_option = click.option(
    "--final",
    is_flag=True,
    help="Train on the validation split too, once nothing is left to choose.",
)
epochs_option = click.option(
    "--epochs", type=click.IntRange(min=1), help="Instead of the recipe's."
)
recipe_option = click.option(
    "--recipe", default="default", show_default=True, help="One of those that `models` lists."
)


def check_writable(*paths: str | None) -> None:
    """Fail now rather than after hours of work if one of the files could not be written.

    Raises:
        OSError: if a folder is missing or closed to writing.
    """
    for path in paths:
        if path is not None and path != "-":
            check_replaceable(path)


def with_overrides(recipe: Recipe, **values: Any) -> Recipe:
    """Return the recipe with those values that are not None.

    Raises:
        click.UsageError: if a value is outside its range.
    """
    given = {name: value for name, value in values.items() if value is not None}
    try:
        return dataclasses.replace(recipe, **given)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
