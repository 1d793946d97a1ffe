"""The name of the file that holds a training run's weights."""

import re
from pathlib import Path

from mnistzoo.overrides import as_settings, changed_fields
from mnistzoo.recipe import Recipe
from mnistzoo.registry import Registration, get_recipe
from mnistzoo.spec import DEFAULT_DATASET


def file_name(
    registration: Registration,
    recipe_name: str,
    recipe: Recipe,
    dataset: str,
    *,
    final: bool,
    begun: str = "",
) -> str:
    """Return the name of the file for a run's weights; it tells the run from any other.

    Args:
        registration: of the model.
        recipe_name: of the model's recipe.
        recipe: that is followed; in which fields it differs from the model's stands in the name.
        dataset: the name of the data set.
        final: whether the validation split is trained on too.
        begun: the name of the file that the model begins with, if there is one.
    """
    overrides = changed_fields(get_recipe(registration.spec, recipe_name), recipe)
    parts = [
        *(registration.spec.name, recipe_name, f"seed{recipe.seed}", *as_settings(overrides)),
        *([] if dataset == DEFAULT_DATASET else [re.sub(r"[^\w.-]+", "-", dataset).strip("-")]),
        *(["final"] if final else []),
        *([f"from-{Path(begun).stem}"] if begun else []),
    ]
    # A path's colon and the braces of arguments are not for names of files.
    return re.sub(r"[^\w.=+-]+", "_", "-".join(parts)) + ".safetensors"


def unfinished(path: Path, done: int, epochs: int) -> Path:
    """Return where the weights of a run that was stopped go: beside those of the complete one."""
    return path.with_name(f"{path.stem}-epoch{done}of{epochs}{path.suffix}")
