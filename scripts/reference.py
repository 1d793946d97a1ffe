"""Write the tables of docs/ that say what stands in the code: fields, their values, the checks.

Usage: python scripts/reference.py

A table stands between the comments `<!-- begin NAME -->` and `<!-- end NAME -->`. Its texts are the
docstrings, its ranges those of the fields' metadata.
"""

import dataclasses
import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mnistzoo.fields import expected, flat_name
from mnistzoo.spec import (
    Augmentation,
    DataFile,
    DatasetSpec,
    Distillation,
    ModelSpec,
    Recipe,
    Weights,
)
from mnistzoo.testing.checks import CHECKS

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
        "CHECKS": checks_table(),
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
    """Return the fields of what a plugin declares, with their defaults."""
    meaning = attributes(kind)
    fields = dataclasses.fields(kind)
    return table(
        ("field", "default", "meaning"),
        [(f"`{field.name}`", default(field), meaning[field.name]) for field in fields],
    )


def checks_table() -> str:
    """Return the checks in their order, out of the docstrings of their functions."""
    rows = []
    for check in CHECKS.values():
        what, mend = (inspect.getdoc(check.run) or "").split("\n\nMend: ")
        what = what[0].lower() + what[1:]
        rows.append((f"`{check.name}`", *(in_markdown(each.rstrip(".")) for each in (what, mend))))
    return table(("check", "what it checks", "how to mend it"), rows)


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
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    main()
