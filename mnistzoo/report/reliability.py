"""The columns beyond accuracy, for tables and for the report: figures and notes."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

_FITTED = {"calibration", "coverage", "non-digits"}  # which need the validation images


def figures(facts: Mapping[str, Any], columns: Collection[str]) -> dict[str, float | None]:
    """Return what the columns show of a model: heading to share, from 0 to 1.

    Args:
        facts: of the model, as ``Row.to_dict`` returns them.
        columns: some of :data:`mnistzoo.reliability.COLUMNS`.
    """
    found = facts.get("reliability")
    if found is None:
        return {}
    by_column: dict[str, dict[str, float | None]] = {
        "calibration": {"ECE %": found["expected_calibration_error"]},
        "coverage": {
            "accepted %": found["accepted"],
            "accuracy of them %": found["accepted_accuracy"],
        },
        "non-digits": {f"{what} accepted %": share for what, share in found["non_digits"].items()},
        "corruptions": {"corrupted %": found["corrupted_accuracy"]},
    }
    return {
        heading: share
        for column, shares in by_column.items()
        if column in columns
        for heading, share in shares.items()
    }


def headings(models: Iterable[Mapping[str, Any]], columns: Collection[str]) -> list[str]:
    """Return the headings that :func:`figures` has for any of the models."""
    return list(dict.fromkeys(name for facts in models for name in figures(facts, columns)))


def notes(models: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines that stand below the columns.

    Args:
        models: the facts of each.
        columns: to how they are measured.
    """
    for column, how in columns.items():
        yield f"{column}: {how}"
    measured = [facts for facts in models if facts.get("reliability")]
    if _FITTED & columns.keys():
        fitted = [
            facts for facts in measured if not facts["reliability"].get("calibration_shipped")
        ]
        for how, whose in {
            "shipped with the weights": [facts for facts in measured if facts not in fitted],
            "fitted on the validation images": fitted,
            "fitted on validation images that the training has seen, or may have seen": [
                facts for facts in fitted if not facts["held_out"]
            ],
        }.items():
            if whose:
                names = ", ".join(facts["name"] for facts in whose)
                yield f"temperature and threshold {how}: {names}"
    if columns and any(len(facts["seeds"] or ()) > 1 for facts in measured):
        yield f"{', '.join(columns)}: of the first seed"
