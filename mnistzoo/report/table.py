"""Tables that fit the terminal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from mnistzoo.output import results, say_note, terminal_width

T = TypeVar("T")

_UNLIMITED_WIDTH = 10_000
_GAP = 2  # between two columns; half of it stands left of the first and right of the last


@dataclass(frozen=True)
class Column(Generic[T]):
    """One column of a table.

    Attributes:
        heading: that stands over it.
        value: its text for a row.
        align: of the text.
        priority: columns with the highest are kept first, of equals the leftmost; a column that is
            too wide makes room for the next. The first column of a table always stays.
    """

    heading: str
    value: Callable[[T], str]
    align: Literal["left", "right"] = "left"
    priority: int = 0


@dataclass(frozen=True)
class Table(Generic[T]):
    """Columns, and the rows from which they take their texts."""

    columns: Sequence[Column[T]]
    rows: Sequence[T]

    def show(self, *, wide: bool = True) -> None:
        """Print it on stdout.

        Args:
            wide: all of it. If False, columns are left out until the rest fits the terminal, and a
                line says which. Where stdout is not a terminal, nothing is left out.
        """
        width = None if wide else terminal_width()
        kept = self.columns if width is None else self.fitting(width)
        table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        for column in kept:
            table.add_column(Text(column.heading), justify=column.align)
        for row in self.rows:
            table.add_row(*(Text(column.value(row)) for column in kept))
        # At its natural width: a narrow terminal breaks lines, which beats figures cut short.
        Console(file=results(), highlight=False, width=_UNLIMITED_WIDTH).print(table)
        left_out = [column.heading for column in self.columns if column not in kept]
        if left_out:
            say_note(f"left out to fit {width} columns: {', '.join(left_out)}; --wide shows all")

    def fitting(self, width: int) -> list[Column[T]]:
        """Return the columns that fit: each that fits beside the more important ones."""
        first, *others = self.columns
        kept, left = [first], width - self._width(first) - _GAP
        for column in sorted(others, key=lambda column: -column.priority):
            needed = self._width(column) + _GAP
            if needed <= left:
                kept.append(column)
                left -= needed
        return [column for column in self.columns if column in kept]

    def _width(self, column: Column[T]) -> int:
        return max(map(cell_len, (column.heading, *map(column.value, self.rows))))
