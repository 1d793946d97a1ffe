from mnistzoo._version import __version__ as __version__
from mnistzoo.data import Dataset as Dataset
from mnistzoo.data import Split as Split
from mnistzoo.data import load_dataset as load_dataset
from mnistzoo.data import read_idx as read_idx
from mnistzoo.data import write_idx as write_idx
from mnistzoo.errors import MnistzooError as MnistzooError
from mnistzoo.evaluation import Evaluation as Evaluation
from mnistzoo.evaluation import evaluate as evaluate
from mnistzoo.export import Export as Export
from mnistzoo.export import export_onnx as export_onnx
from mnistzoo.hookspecs import hookimpl as hookimpl
from mnistzoo.models import create_model as create_model
from mnistzoo.models import load_model as load_model
from mnistzoo.pictures import read_picture as read_picture
from mnistzoo.plugins import register_plugin as register_plugin
from mnistzoo.registry import get_recipe as get_recipe
from mnistzoo.registry import get_spec as get_spec
from mnistzoo.registry import list_models as list_models
from mnistzoo.runtime import Predictor as Predictor
from mnistzoo.spec import Augmentation as Augmentation
from mnistzoo.spec import Distillation as Distillation
from mnistzoo.spec import ModelSpec as ModelSpec
from mnistzoo.spec import Recipe as Recipe
from mnistzoo.spec import Weights as Weights
from mnistzoo.training import train as train

__all__: list[str]
