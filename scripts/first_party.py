"""The distributions in plugins/ and the models that they register: each folder says it itself."""

import tomllib
from pathlib import Path

from mnistzoo import list_models
from mnistzoo.registry import get_registration

PLUGINS = Path(__file__).parent.parent / "plugins"
FOLDERS = {
    tomllib.loads(path.read_text("utf-8"))["project"]["name"]: path.parent
    for path in sorted(PLUGINS.glob("*/pyproject.toml"))
}


def folder_of(model: str) -> Path | None:
    """Return the folder in plugins/ whose distribution registers a model, if one does."""
    return FOLDERS.get(get_registration(model).plugin.distribution)


def first_party() -> list[str]:
    """Return the sorted names of the installed models that come from plugins/."""
    return [name for name in list_models() if folder_of(name)]
