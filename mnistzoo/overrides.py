"""Fields of a recipe that got another value, found and said."""

import json
from collections.abc import Mapping
from typing import Any

from mnistzoo.recipe import Recipe


def changed_fields(recipe: Recipe, changed: Recipe) -> dict[str, Any]:
    """Return the fields, but for the seed, that have another value in the second recipe."""
    before = recipe.flat()
    return {
        name: value
        for name, value in changed.flat().items()
        if name != "seed" and value != before[name]
    }


def as_settings(overrides: Mapping[str, Any]) -> list[str]:
    """Return values of a recipe's fields as ``--set`` takes them: ``epochs=1``."""
    return [f"{name}={_as_text(value)}" for name, value in overrides.items()]


def _as_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return json.dumps(value, separators=(",", ":"))
    return value if isinstance(value, str) else str(value).removesuffix(".0").lower()
