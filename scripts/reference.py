"""Write the tables of docs/ that say what stands in the code: fields, checks, commands, hooks.

Usage: python scripts/reference.py

A table stands between the comments `<!-- begin NAME -->` and `<!-- end NAME -->`. Its texts are the
docstrings and the help of the commands, its ranges those of the fields' metadata.
"""

import dataclasses
import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mnistzoo import hookspecs
from mnistzoo.cli import group
from mnistzoo.dataset_spec import DataFile, DatasetSpec
from mnistzoo.fields import expected, flat_name
from mnistzoo.recipe import Augmentation, Distillation, Recipe
from mnistzoo.spec import ModelSpec, Weights
from mnistzoo.testing.checks import CHECKS
from mnistzoo.testing.checks.check import GROUPS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

DOCS = Path(__file__).parent.parent / "docs"
PAGES = (DOCS / "recipes.md", DOCS / "reference.md")

_REGION = re.compile(r"(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)
_ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


def main() -> None:
    for page in PAGES:
        page.write_text(current(page), "utf-8")


def current(page: Path) -> str:
    """Return the page's text with its tables as the code is now."""
    tables = {
        **{kind.__name__: recipe_table(kind) for kind in (Recipe, Augmentation, Distillation)},
        **{kind.__name__: spec_table(kind) for kind in (ModelSpec, Weights, DatasetSpec, DataFile)},
        "HOOKS": hooks_table(),
        "CHECKS": checks_table(),
        "COMMANDS": commands_table(),
        "OPTIONS": options_table(),
    }
    return _REGION.sub(
        lambda region: f"{region[1]}\n{tables[region[2]]}\n{region[3]}", page.read_text("utf-8")
    )


def recipe_table(kind: "type[DataclassInstance]") -> str:
    """Return the fields of a recipe or of one of its groups, with their defaults and ranges."""
    meaning = attributes(kind)
    rows = []
    for field in dataclasses.fields(kind):
        flat = flat_name(field)
        name = f"`{field.name}`" if flat == field.name else f"`{field.name}` (flat: `{flat}`)"
        rows.append((name, default(field), expected(field), meaning[field.name]))
    return table(("field", "default", "values", "meaning"), rows)


def spec_table(kind: "type[DataclassInstance]") -> str:
    """Return the fields of what a plugin declares, with their defaults, and ranges if they have."""
    meaning = attributes(kind)
    rows = []
    for field in dataclasses.fields(kind):
        values = f"; {expected(field)}" if "interval" in field.metadata else ""
        rows.append((f"`{field.name}`", default(field), meaning[field.name] + values))
    return table(("field", "default", "meaning"), rows)


def hooks_table() -> str:
    """Return the hooks with their arguments, and what a plugin does in them."""
    rows = []
    for name, hook in inspect.getmembers(hookspecs, inspect.isfunction):
        if hasattr(hook, "mnistzoo_spec"):
            what = (inspect.getdoc(hook) or "").partition("\n\n")[0]
            rows.append((f"`{name}({', '.join(inspect.signature(hook).parameters)})`", what))
    return table(("hook", "what a plugin does in it"), [(hook, in_markdown(w)) for hook, w in rows])


def checks_table() -> str:
    """Return the checks in their order, out of the docstrings of their functions."""
    rows = []
    for check in CHECKS.values():
        what, mend = (inspect.getdoc(check.run) or "").split("\n\nMend: ")
        what = what[0].lower() + what[1:]
        texts = (in_markdown(each.rstrip(".")) for each in (what, mend))
        rows.append((f"`{check.name}`", GROUPS[check.group], *texts))
    return table(("check", "of", "what it checks", "how to mend it"), rows)


def commands_table() -> str:
    """Return the commands with their arguments, the text of their help, and their options."""
    rows = []
    for context in contexts():
        command = context.command
        arguments = [each for each in command.params if isinstance(each, click.Argument)]
        usage = " ".join(
            [context.command_path, *(each.make_metavar(context) for each in arguments)]
        )
        names = [f"`{name}`" for option in options(context) for name in option.opts]
        rows.append((f"`{usage}`", in_markdown(command.help or ""), " ".join(names)))
    return table(("command", "what it does", "options"), rows)


def options_table() -> str:
    """Return the options of all commands, once each, as the help of a command shows them."""
    records = {
        record
        for context in contexts()
        for option in options(context)
        if (record := option.get_help_record(context)) is not None
    }
    rows = [(f"`{option}`", in_markdown(meaning)) for option, meaning in records]
    return table(("option", "meaning"), sorted(rows, key=lambda row: (row[0].lstrip("`-"), row[1])))


def contexts() -> list[click.Context]:
    """Return a context for mnistzoo itself, and for each command that does something.

    That is ``data path`` and its like, not ``data``.
    """
    root = click.Context(group, info_name="mnistzoo", **group.context_settings)
    return [root, *_inside(root)]


def _inside(context: click.Context) -> list[click.Context]:
    if not isinstance(context.command, click.Group):
        return [context]
    found = []
    for name in context.command.list_commands(context):
        command = context.command.get_command(context, name)
        assert command is not None
        found += _inside(click.Context(command, info_name=name, parent=context))
    return found


def options(context: click.Context) -> list[click.Option]:
    """Return a command's options but for ``--help``, which all have."""
    return [param for param in context.command.params if isinstance(param, click.Option)]


def attributes(kind: type) -> dict[str, str]:
    """Return what the docstring of a class says of each of its attributes."""
    section = (inspect.getdoc(kind) or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    return {name: in_markdown(text.rstrip(".")) for name, text in _ATTRIBUTE.findall(section)}


def default(field: "dataclasses.Field[object]") -> str:
    if field.default_factory is not dataclasses.MISSING:
        return f"`{field.default_factory()!r}`"
    if field.default is dataclasses.MISSING:
        return "required"
    if dataclasses.is_dataclass(field.default):
        return f"`{type(field.default).__name__}()`"
    return f"`{field.default!r}`"


def in_markdown(text: str) -> str:
    text = re.sub(r":\w+:`([^`]+)`", r"`\1`", " ".join(text.split()))
    return text.replace("``", "`")


def table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [headings, ("---",) * len(headings), *rows]
    escaped = [[cell.replace("|", r"\|") for cell in cells] for cells in lines]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in escaped)


if __name__ == "__main__":
    main()
