"""Options that several commands share."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from types import NoneType
from typing import Any, get_args, get_origin

import click
from click.shell_completion import CompletionItem

from mnistzoo.cli import completion
from mnistzoo.errors import one_line
from mnistzoo.fields import expected
from mnistzoo.files import check_replaceable
from mnistzoo.recipe import Recipe, recipe_fields
from mnistzoo.spec import DEFAULT_DATASET

_PARSERS: dict[Any, Callable[[str], Any]] = {
    bool: lambda text: {"true": True, "false": False}[text.lower()],
    int: int,
    float: float,
    Mapping: json.loads,
}


class PathParam(click.Path):
    """A path, its ``~`` expanded; whether it can be used is for the command to find out."""

    def __init__(self, *, folder: bool = False) -> None:
        super().__init__(readable=False)
        self._folder = folder

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str:
        return os.path.expanduser(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="dir" if self._folder else "file")]


class DeviceParam(click.ParamType[str]):
    """The name of a device; whether it is there is for :func:`resolve_device` to find out."""

    name = "device"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        known = ("auto", "cpu", "cuda", "mps")
        return [CompletionItem(each) for each in known if each.startswith(incomplete)]


class DatasetParam(click.ParamType[str]):
    """A data set or a folder; whether there is one is for ``load_dataset`` to find out."""

    name = "dataset"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        # A shell shows one kind only: folders where no data set begins so.
        return completion.datasets(incomplete) or [CompletionItem(incomplete, type="dir")]


FILE, FOLDER = PathParam(), PathParam(folder=True)

json_option = click.option(
    "--json", "json_file", type=FILE, metavar="FILE", help="Write the results as JSON; - is stdout."
)
html_option = click.option(
    "--html",
    "html_file",
    type=FILE,
    metavar="FILE",
    help="Write a report with plots, one HTML file; - is stdout.",
)
dataset_option = click.option(
    "--dataset",
    type=DatasetParam(),
    metavar="NAME|FOLDER",
    default=DEFAULT_DATASET,
    show_default=True,
    help="One of those that `datasets` lists, or a folder with IDX files of your own.",
)
data_dir_option = click.option(
    "--data-dir",
    type=FOLDER,
    metavar="DIR",
    help="The folder with the data set's files.  [env, for mnist: MNISTZOO_DATA_DIR]",
)
device_option = click.option(
    "--device",
    type=DeviceParam(),
    metavar="NAME",
    default="auto",
    show_default=True,
    help="auto, cpu, cuda, cuda:N or mps.",
)
wide_option = click.option("--wide", is_flag=True, help="Show all columns, however many.")
final_option = click.option(
    "--final",
    is_flag=True,
    help="Train on the validation split too, once nothing is left to choose.",
)
epochs_option = click.option(
    "--epochs", type=click.IntRange(min=1), metavar="N", help="Instead of the recipe's."
)
set_option = click.option(
    "--set",
    "settings",
    metavar="FIELD=VALUE",
    multiple=True,
    help="Any field of the recipe, such as rotation=10; may be repeated.",
)
recipe_option = click.option(
    "--recipe",
    metavar="NAME",
    default="default",
    show_default=True,
    shell_complete=completion.recipes,
    help="One of those that `models` lists.",
)


def check_writable(*paths: str | None) -> None:
    """Fail now rather than after hours of work if one of the files could not be written.

    Raises:
        OSError: if a folder is missing or closed to writing.
    """
    for path in paths:
        if path is not None and path != "-":
            check_replaceable(path)


def say_written(*paths: str | None) -> None:
    """Say which files were written, on stderr; stdout is none."""
    for path in paths:
        if path is not None and path != "-":
            click.echo(f"mnistzoo: wrote {one_line(path)}", err=True)


def check_distinct(outputs: Iterable[str | None], inputs: Iterable[str | None] = ()) -> None:
    """Refuse to write one file twice, or over one that is read.

    Raises:
        click.UsageError: if an output is another output or an input.
    """
    taken = {os.path.realpath(path) for path in inputs if path}
    for path in outputs:
        if path is None or path == "-":
            continue
        if os.path.realpath(path) in taken:
            raise click.UsageError(f"{path} is named twice; write to another file")
        taken.add(os.path.realpath(path))


def overrides(settings: tuple[str, ...], **values: Any) -> dict[str, Any]:
    """Return what replaces fields of a recipe: FIELD=VALUE texts, and the values that are not None.

    Raises:
        click.UsageError: if a field is unknown or given twice, or a value is none of its kind.
    """
    given = {name: value for name, value in values.items() if value is not None}
    for name, value in map(_parse_setting, settings):
        if name in given:
            raise click.UsageError(f"{name} is given twice; give it once")
        given[name] = value
    return given


def _parse_setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    known = recipe_fields()
    if name not in known or not value:
        raise click.UsageError(
            f"--set {text}: give FIELD=VALUE, where FIELD is one of {', '.join(known)}"
        )
    field = known[name]
    kinds = (get_origin(field.type), *get_args(field.type), field.type)
    # Without a teacher there is no distillation.
    if value.lower() == "none" and (NoneType in kinds or name == "teacher"):
        return name, None
    try:
        for kind, parse in _PARSERS.items():
            if kind in kinds:
                return name, parse(value)
    except (ValueError, KeyError):  # of JSON too
        raise click.UsageError(f"--set {text}: {name} must be {expected(field)}") from None
    return name, value


def with_overrides(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """Return the recipe with other values in some fields.

    Raises:
        click.UsageError: if a value is outside its range.
    """
    try:
        return recipe.replace(**changes)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
