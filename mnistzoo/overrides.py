"""Fields of a recipe that got another value, found and said."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from mnistzoo.spec import Recipe


def changed_fields(recipe: Recipe, changed: Recipe) -> dict[str, Any]:
    """Return the fields, but for the seed, that have another value in the second recipe."""
    return {
        field.name: getattr(changed, field.name)
        for field in dataclasses.fields(Recipe)
        if field.name != "seed" and getattr(changed, field.name) != getattr(recipe, field.name)
    }


def as_settings(overrides: Mapping[str, Any]) -> list[str]:
    """Return values of a recipe's fields as ``--set`` takes them: ``epochs=1``."""
    return [
        f"{name}={value if isinstance(value, str) else str(value).removesuffix('.0').lower()}"
        for name, value in overrides.items()
    ]
