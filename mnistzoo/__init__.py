"""mnistzoo: handwritten-digit classifiers as plugins, compared honestly."""

import importlib
from typing import TYPE_CHECKING, Any

from mnistzoo.errors import MnistzooError
from mnistzoo.spec import ModelSpec, Recipe, Weights

if TYPE_CHECKING:
    from mnistzoo.data import Dataset, Split, load_dataset, read_idx, write_idx
    from mnistzoo.evaluation import Evaluation, evaluate
    from mnistzoo.export import Export, export_onnx
    from mnistzoo.hookspecs import hookimpl
    from mnistzoo.pictures import read_picture
    from mnistzoo.plugins import register_plugin
    from mnistzoo.prediction import Prediction
    from mnistzoo.runtime import Predictor
    from mnistzoo.training import train
    from mnistzoo.zoo import create_model, get_recipe, get_spec, list_models, load_model

__version__ = "0.1.0"

# Imported on first use, so that a plugin or a look at the list of models never waits for torch, and
# the Predictor works where there is none.
_ROOMS = {
    "Dataset": "mnistzoo.data",
    "Evaluation": "mnistzoo.evaluation",
    "Export": "mnistzoo.export",
    "Prediction": "mnistzoo.prediction",
    "Predictor": "mnistzoo.runtime",
    "Split": "mnistzoo.data",
    "create_model": "mnistzoo.zoo",
    "evaluate": "mnistzoo.evaluation",
    "export_onnx": "mnistzoo.export",
    "get_recipe": "mnistzoo.zoo",
    "get_spec": "mnistzoo.zoo",
    "hookimpl": "mnistzoo.hookspecs",
    "list_models": "mnistzoo.zoo",
    "load_dataset": "mnistzoo.data",
    "load_model": "mnistzoo.zoo",
    "read_idx": "mnistzoo.data",
    "read_picture": "mnistzoo.pictures",
    "register_plugin": "mnistzoo.plugins",
    "train": "mnistzoo.training",
    "write_idx": "mnistzoo.data",
}

__all__ = [
    "Dataset",
    "Evaluation",
    "Export",
    "MnistzooError",
    "ModelSpec",
    "Prediction",
    "Predictor",
    "Recipe",
    "Split",
    "Weights",
    "create_model",
    "evaluate",
    "export_onnx",
    "get_recipe",
    "get_spec",
    "hookimpl",
    "list_models",
    "load_dataset",
    "load_model",
    "read_idx",
    "read_picture",
    "register_plugin",
    "train",
    "write_idx",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'mnistzoo' has no attribute {name!r}")
    return getattr(importlib.import_module(_ROOMS[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_ROOMS]
