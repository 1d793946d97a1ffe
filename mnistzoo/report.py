"""Results as a person reads them (tables) and as programs do (JSON, CSV, Markdown)."""

import csv
import html
import io
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from mnistzoo.errors import one_line
from mnistzoo.files import replacing
from mnistzoo.output import results, say
from mnistzoo.overrides import as_settings

if TYPE_CHECKING:
    from mnistzoo.benchmarks import Benchmarks
    from mnistzoo.compare import Comparison, Difference, Row
    from mnistzoo.evaluation import Evaluation
    from mnistzoo.export import Export

NOTHING = "-"
_UNLIMITED_WIDTH = 10_000


@dataclass(frozen=True)
class Table:
    """Column headings and rows of text; a heading with ``>`` in front aligns its column right."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]

    def show(self) -> None:
        """Print it on stdout."""
        table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        for title, right in self._columns():
            table.add_column(Text(title), justify="right" if right else "left")
        for row in self.rows:
            table.add_row(*map(Text, row))
        # At its natural width: a narrow terminal breaks lines, which beats figures cut short.
        Console(file=results(), highlight=False, width=_UNLIMITED_WIDTH).print(table)

    def markdown(self) -> str:
        """Return it as a Markdown table."""
        columns = list(self._columns())
        cells = [[title for title, _ in columns]]
        cells += [list(map(_escaped, row)) for row in self.rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        rule = [
            "-" * (width - right) + ":" * right
            for width, (_, right) in zip(widths, columns, strict=True)
        ]
        lines = []
        for row in (cells[0], rule, *cells[1:]):
            padded = [
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, (_, right) in zip(row, widths, columns, strict=True)
            ]
            lines.append(f"| {' | '.join(padded)} |\n")
        return "".join(lines)

    def _columns(self) -> Iterator[tuple[str, bool]]:
        for heading in self.headings:
            yield heading.removeprefix(">"), heading.startswith(">")


def export_table(export: "Export") -> Table:
    """Return the figures of an exported model."""
    figures = {"float32": export.fp32} | ({"int8": export.int8} if export.int8 else {})
    headings = [
        "precision",
        ">file KB",
        ">accuracy %",
        ">max |logit difference|",
        ">predictions changed",
        ">1 image us",
        ">256 images us",
    ]
    return Table(
        headings,
        [
            [
                precision,
                f"{each.file_bytes / 1000:,.0f}",
                percent(each.accuracy),
                f"{each.max_difference:.1e}",
                f"{each.changed:,}",
                f"{each.latency_us:,.0f}",
                f"{each.latency_256_us:,.0f}",
            ]
            for precision, each in figures.items()
        ],
    )


def export_notes(export: "Export") -> list[str]:
    """Return the lines that stand below the figures of an exported model."""
    precision = "float32" if export.int8 is None else "int8"
    versions = ", ".join(f"{name} {version}" for name, version in export.versions.items())
    notes = [
        f"wrote {export.path}: {export.model} in {precision}, opset {export.opset}",
        "difference and changes: from PyTorch, over the 10,000 official test images",
        f"latency: ONNX Runtime, median, cpu ({export.processor}), 1 thread; {versions}",
    ]
    if export.int8 is not None:
        for images, ratio in (
            ("1 image", export.int8.latency_us / export.fp32.latency_us),
            ("256 images", export.int8.latency_256_us / export.fp32.latency_256_us),
        ):
            notes.append(f"int8 is {_compared_speed(ratio)} float32 here for {images}")
    return notes


def _compared_speed(ratio: float) -> str:
    """Return the ratio of two times in words, such as ``1.5 times faster than``."""
    times = f"{max(ratio, 1 / ratio):.1f}"
    if times == "1.0":
        return "as fast as"
    return f"{times} times {'slower' if ratio > 1 else 'faster'} than"


def predictions_table(predictions: Sequence[Mapping[str, Any]]) -> Table:
    """Return what each picture shows, a row a digit."""
    return Table(
        ["picture", ">digit", ">confidence %", ">runner-up", ">confidence %", "box", "doubt"],
        [
            [
                one_line(each["file"]),
                str(digit["digit"]),
                percent(digit["confidence"]),
                str(digit["runner_up"]),
                percent(digit["runner_up_confidence"]),
                " ".join(map(str, digit["box"])),
                digit["doubt"] or "",
            ]
            for each in predictions
            for digit in each["digits"]
        ],
    )


def _benchmark_notes(comparison: "Comparison", benchmarks: "Benchmarks") -> Iterator[str]:
    yield f"benchmarks: {benchmarks.file}, {benchmarks.machine}"
    for row in comparison.rows:
        then, now = benchmarks.providers.get(row.name), f"{row.provider} {row.version}".rstrip()
        if then is None:
            yield f"{row.name}: not in {benchmarks.file}"
        elif then != now:
            yield f"{row.name}: benchmarked as {then}, now {now}"


def write_json(facts: Any, path: str) -> None:
    """Write facts as JSON to a file, or to stdout for ``-``."""
    _write(json.dumps(facts, indent=2, allow_nan=False) + "\n", path)


def write_markdown(comparison: "Comparison", path: str) -> None:
    """Write a comparison as a Markdown table and the lines below it."""
    below = "\n".join(f"- {_escaped(line)}" for line in comparison_notes(comparison))
    tables = [comparison_table(comparison), benchmarks_table(comparison)]
    text = "\n".join(table.markdown() for table in tables if table is not None)
    _write(f"{text}\n{below}\n", path)


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is, without the links or HTML that it may hold."""
    escaped = re.sub(r"([\\`*\[\]|~])", r"\\\1", html.escape(" ".join(text.split()), quote=False))
    return escaped.replace("://", "&#58;//").replace("www.", "www&#46;")


def write_csv(comparison: "Comparison", path: str) -> None:
    """Write a comparison's rows as CSV, one column a figure, of six digits.

    A list over seeds is one cell.
    """
    names = comparison.benchmarks.names if comparison.benchmarks else []
    plan = comparison.training
    what = {
        "dataset": comparison.dataset["name"],
        "recipe": plan["recipe"] if plan else "",
        "overrides": " ".join(as_settings(plan["overrides"])) if plan else "",
        "final": plan["final"] if plan else "",
    }
    lines = [_flat(row, what, names) for row in comparison.rows]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    _write(text.getvalue(), path)


def comparison_table(comparison: "Comparison") -> Table:
    """Return the table of a comparison."""
    trained = comparison.training is not None
    headings = [
        "model",
        ">parameters",
        ">multiply-adds",
        ">accuracy %",
        ">95 % interval",
        ">worst digit",
        ">file KB",
        *([">train s"] if trained else []),
        ">1 image us",
        ">256 images us",
    ]
    return Table(headings, [_cells(row, trained) for row in comparison.rows])


def benchmarks_table(comparison: "Comparison") -> Table | None:
    """Return what pytest-benchmark measured of the models, a row a figure, if that was joined."""
    if comparison.benchmarks is None:
        return None
    return Table(
        ["benchmark", *(f">{row.name}" for row in comparison.rows)],
        [
            [name, *(_figure((row.benchmarks or {}).get(name)) for row in comparison.rows)]
            for name in comparison.benchmarks.names
        ],
    )


def _figure(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def comparison_notes(comparison: "Comparison") -> list[str]:
    """Return the lines that stand below a comparison's table."""
    machine = comparison.environment
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    plan = comparison.training
    notes = [f"{row.name}: {row.error}" for row in comparison.rows if row.error]
    if plan is None:
        notes.append(
            f"accuracy of the shipped weights on the {comparison.dataset['images']:,} official "
            f"test images of {comparison.dataset['name']}"
        )
    else:
        notes.append(
            f"trained now on {comparison.dataset['name']}"
            f"{', validation split included' if plan['final'] else ''}, "
            f"recipe {plan['recipe']}{as_changed(plan['overrides'])}, "
            f"{counted(plan['seeds'], 'seed')}; "
            f"{'mean ' if plan['seeds'] > 1 else ''}accuracy at the end of training on the "
            f"{comparison.dataset['images']:,} official test images, with the interval of one run"
        )
    notes.append(
        f"latency: PyTorch eager, median, {machine['device']} ({machine['processor']}), "
        f"1 thread; {versions}"
    )
    if comparison.benchmarks is not None:
        notes += _benchmark_notes(comparison, comparison.benchmarks)
    if plan is not None and plan["seeds"] > 1 and plan["cores"] > 1:
        notes.append(
            f"train s: of one run; runs whose recipe leaves cores free shared {plan['cores']} cores"
        )
    if plan is not None and plan["seeds"] > 1 and comparison.differences:
        notes.append("differences are tested between the first seeds of the models:")
    notes.extend(_difference_note(difference) for difference in comparison.differences)
    return notes


def _difference_note(difference: "Difference") -> str:
    first, second = difference.first, difference.second
    p_value = difference.p_value
    if p_value >= 0.05:
        verdict = f"{first} is not shown to differ from {second}"
    elif difference.only_first > difference.only_second:
        verdict = f"{first} is significantly better than {second}"
    else:
        verdict = f"{second} is significantly better than {first}"
    shown = "p < 0.0001" if p_value < 0.0001 else f"p = {p_value:.4f}"
    return (
        f"{verdict}: {counted(difference.only_first, 'image')} only {first} recognises, "
        f"{difference.only_second} only {second} (McNemar's exact test, Holm-adjusted {shown})"
    )


def show_evaluation(evaluation: "Evaluation", title: str) -> None:
    """Print an evaluation on stdout."""
    low, high = evaluation.accuracy_interval
    right = int(evaluation.correct.sum())
    say(f"{title}: {percent(evaluation.accuracy)} % of {len(evaluation.labels):,} images")
    say(f"  95 % interval {percent(low)} to {percent(high)} %; {right:,} right")
    say(f"  expected calibration error {evaluation.expected_calibration_error:.4f}")
    digits = [str(digit) for digit in range(10)]
    Table(
        ["digit", ">accuracy %", *(f">as {digit}" for digit in digits)],
        [
            [digit, percent(accuracy), *(str(count) if count else "." for count in counts)]
            for digit, accuracy, counts in zip(
                digits, evaluation.per_class_accuracy, evaluation.confusion, strict=True
            )
        ],
    ).show()
    confusions = [f"{true} as {seen} ({n})" for true, seen, n in evaluation.top_confusions]
    say(f"  most frequent confusions: {', '.join(confusions) or 'none'}")
    Table(
        ["confidence", ">images", ">right %"],
        [
            [band.label, f"{band.count:,}", percent(band.accuracy)]
            for band in evaluation.confidence_bands
        ],
    ).show()


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 epoch``, ``2 epochs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def as_changed(overrides: Mapping[str, Any]) -> str:
    """Return what stands behind a recipe's name if fields of it got another value."""
    return f" with {', '.join(as_settings(overrides))}" if overrides else ""


def percent(share: float | None) -> str:
    """Return a share as a percentage with two digits after the point."""
    return NOTHING if share is None else f"{100 * share:.2f}"


def _cells(row: "Row", trained: bool) -> list[str]:
    if row.accuracy is None:
        return [row.name, f"{row.params:,}", NOTHING, "failed", *[NOTHING] * (5 + trained)]
    assert row.accuracy_interval is not None and row.per_class_accuracy is not None
    low, high = row.accuracy_interval
    worst = min(range(10), key=row.per_class_accuracy.__getitem__)
    spread = "" if row.accuracy_sd is None else f" sd {percent(row.accuracy_sd)}"
    return [
        row.name,
        f"{row.params:,}",
        NOTHING if row.multiply_adds is None else f"{row.multiply_adds:,}",
        f"{percent(row.accuracy)}{spread}",
        f"{percent(low)} to {percent(high)}",
        f"{worst}: {percent(row.per_class_accuracy[worst])}",
        NOTHING if row.file_bytes is None else f"{row.file_bytes / 1000:,.0f}",
        *([f"{row.train_seconds:,.1f}"] if trained else []),
        *(
            NOTHING if latency is None else f"{latency:,.0f}"
            for latency in (row.latency_us, row.latency_256_us)
        ),
    ]


def _flat(row: "Row", what: Mapping[str, Any], benchmarks: list[str]) -> dict[str, Any]:
    facts = {"name": row.name, **what} | row.facts()
    figures = facts.pop("benchmarks") or {}
    low, high = facts.pop("accuracy_interval") or (None, None)
    digits = facts.pop("per_class_accuracy") or [None] * 10
    for spread_over_seeds in ("seeds", "accuracies"):
        values = facts[spread_over_seeds] or []
        facts[spread_over_seeds] = " ".join(str(_rounded(value)) for value in values)
    facts |= {"accuracy_low": low, "accuracy_high": high}
    facts |= {f"accuracy_{digit}": share for digit, share in enumerate(digits)}
    facts |= {name: figures.get(name) for name in benchmarks}
    return {name: _rounded(value) for name, value in facts.items()}


def _rounded(value: Any) -> Any:
    """Return a figure with six digits: a mean over seeds would show the error of its last bits."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _write(text: str, path: str | os.PathLike[str]) -> None:
    if path == "-":
        results().write(text)
        return
    with replacing(path) as stream:
        stream.write(text.encode(errors="backslashreplace"))
