"""A comparison's rows as CSV."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mnistzoo.output import write
from mnistzoo.overrides import as_settings

if TYPE_CHECKING:
    from mnistzoo.comparison import Comparison, Row


def write_csv(comparison: "Comparison", path: str | os.PathLike[str]) -> None:
    """Write a row a model, one column a figure, of six digits; to stdout for ``-``.

    A list over seeds is one cell; histories, confusions and the like are in the JSON alone.
    """
    names = comparison.benchmarks.names if comparison.benchmarks else []
    plan = comparison.training
    what = {
        "dataset": comparison.dataset["name"],
        "recipe": plan.recipe if plan else "",
        "overrides": " ".join(as_settings(plan.overrides)) if plan else "",
        "final": plan.final if plan else "",
    }
    lines = [_flat(row, what, comparison.dataset["classes"], names) for row in comparison.rows]
    text = io.StringIO(newline="")
    columns = list(dict.fromkeys(name for line in lines for name in line))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write(text.getvalue(), path)


def _flat(
    row: "Row", what: Mapping[str, Any], classes: Sequence[str], benchmarks: list[str]
) -> dict[str, Any]:
    facts = {"name": row.name, **what} | row.to_dict()
    for wordy in ("summary", "history", "evaluation", "weights_sha256", "provenance"):
        del facts[wordy]
    figures = facts.pop("benchmarks") or {}
    reliability = facts.pop("reliability") or {}
    low, high = facts.pop("accuracy_interval") or (None, None)
    shares = facts.pop("per_class_accuracy") or [None] * len(classes)
    for over_seeds in ("seeds", "accuracies"):
        facts[over_seeds] = " ".join(str(_rounded(value)) for value in facts[over_seeds] or [])
    facts |= {"accuracy_low": low, "accuracy_high": high}
    by_class = zip(classes, shares, strict=True)
    facts |= {f"accuracy_{name}": share for name, share in by_class}
    facts |= {name: figures.get(name) for name in benchmarks}
    facts |= _flat_reliability(reliability)
    return {name: _rounded(value) for name, value in facts.items()}


def _flat_reliability(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return a figure a column; nothing where no columns were asked for."""
    flat = dict(facts)
    for name, prefix in (("non_digits", "accepted"), ("corruptions", "corrupted")):
        shares = flat.pop(name, {})
        flat |= {f"{prefix}_{what}": share for what, share in shares.items()}
    return flat


def _rounded(value: Any) -> Any:
    """Return a figure with six digits: a mean over seeds would show the error of its last bits."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
