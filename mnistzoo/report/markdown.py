"""Tables and a comparison as Markdown."""

import html
import os
import re
from typing import TYPE_CHECKING, Any

from mnistzoo.output import write
from mnistzoo.report.table import Table
from mnistzoo.report.text import benchmarks_table, comparison_notes, comparison_table

if TYPE_CHECKING:
    from mnistzoo.comparison import Comparison


def write_markdown(comparison: "Comparison", path: str | os.PathLike[str]) -> None:
    """Write a comparison as Markdown tables and the notes below them; to stdout for ``-``."""
    tables = [comparison_table(comparison), benchmarks_table(comparison)]
    text = "\n".join(as_markdown(table) for table in tables if table is not None)
    below = "\n".join(f"- {_escaped(note)}" for note in comparison_notes(comparison))
    write(f"{text}\n{below}\n", path)


def as_markdown(table: Table[Any]) -> str:
    """Return the whole table as Markdown."""
    lines: list[list[str]] = [[] for _ in range(2 + len(table.rows))]
    for column in table.columns:
        cells = [column.heading, *(_escaped(column.value(row)) for row in table.rows)]
        width, right = max(map(len, cells)), column.align == "right"
        padded = [cell.rjust(width) if right else cell.ljust(width) for cell in cells]
        padded.insert(1, "-" * (width - right) + ":" * right)
        for line, cell in zip(lines, padded, strict=True):
            line.append(cell)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is, without the links or HTML that it may hold."""
    escaped = re.sub(r"([\\`*\[\]|~])", r"\\\1", html.escape(" ".join(text.split()), quote=False))
    return escaped.replace("://", "&#58;//").replace("www.", "www&#46;")
