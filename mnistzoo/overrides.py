"""Fields of a recipe that got another value, found and said."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from mnistzoo.recipe import Distillation, Recipe, recipe_fields


def changed_fields(recipe: Recipe, changed: Recipe) -> dict[str, Any]:
    """Return the fields, but for the seed, that have another value in the second recipe."""
    before = recipe.flat()
    return {
        name: value
        for name, value in changed.flat().items()
        if name != "seed" and value != before[name]
    }


def unlike_defaults(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a written recipe, but for the seed, that have not their defaults."""
    known = recipe_fields()
    return {
        name: value
        for name, value in recipe.items()
        if name != "seed" and not (name in known and _is_default(known[name], value))
    }


def _is_default(field: Field[Any], value: Any) -> bool:
    if value is None and field in fields(Distillation):
        return True  # there is no teacher
    if field.default_factory is not MISSING:
        return bool(value == field.default_factory())
    return bool(value == field.default)


def as_settings(overrides: Mapping[str, Any]) -> list[str]:
    """Return values of a recipe's fields as ``--set`` takes them: ``epochs=1``."""
    return [f"{name}={_as_text(value)}" for name, value in overrides.items()]


def _as_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return json.dumps(value, separators=(",", ":"))
    return value if isinstance(value, str) else str(value).removesuffix(".0").lower()
