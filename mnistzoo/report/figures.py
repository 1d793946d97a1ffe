"""Numbers as people read them."""

from collections.abc import Iterable, Mapping
from typing import Any

from mnistzoo.overrides import as_settings

NOTHING = "-"


def percent(share: float | None) -> str:
    """Return a share as a percentage with two digits after the point."""
    return NOTHING if share is None else f"{100 * share:.2f}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 epoch``, ``2 epochs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def grouped(number: float | None) -> str:
    """Return a whole number with its digits in groups of three."""
    return NOTHING if number is None else f"{number:,.0f}"


def test_images(dataset: Mapping[str, Any]) -> str:
    """Return how many images there are, and whether somebody published them."""
    return counted(dataset["images"], f"{'official ' if dataset['verified'] else ''}test image")


def whose(shipped: Iterable[bool]) -> str:
    """Return whose the accuracies are: of each model, whether its plugin ships the weights."""
    kinds = set(shipped)
    if kinds == {False}:
        return "the files named"
    return "the files named and the shipped weights" if False in kinds else "the shipped weights"


def as_changed(overrides: Mapping[str, Any]) -> str:
    """Return what stands behind a recipe's name if fields of it got another value."""
    return f" with {', '.join(as_settings(overrides))}" if overrides else ""
