"""The hooks through which plugins register models, data sets and logs of training runs.

A plugin is a module that an entry point of the group ``mnistzoo`` names::

    [project.entry-points.mnistzoo]
    my_plugin = "my_package"
"""

from collections.abc import Callable

import pluggy

from mnistzoo.dataset_spec import DatasetSpec
from mnistzoo.spec import ModelSpec

hookspec = pluggy.HookspecMarker("mnistzoo")
hookimpl = pluggy.HookimplMarker("mnistzoo")


@hookspec
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Call ``register(ModelSpec(...))`` once a model. Importing the plugin must not import torch.

    >>> from mnistzoo import ModelSpec, Recipe, hookimpl
    >>> @hookimpl
    ... def register_models(register):
    ...     register(
    ...         ModelSpec(
    ...             name="linear",
    ...             summary="Softmax regression",
    ...             factory="my_package.model:Linear",
    ...             num_params=7850,
    ...             recipes={
    ...                 "default": Recipe(
    ...                     epochs=5, batch_size=64, optimizer="adam", learning_rate=0.001
    ...                 )
    ...             },
    ...         )
    ...     )
    """


@hookspec
def register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """Call ``register(DatasetSpec(...))`` once a data set.

    >>> from mnistzoo import DataFile, DatasetSpec, hookimpl
    >>> @hookimpl
    ... def register_datasets(register):
    ...     register(
    ...         DatasetSpec(
    ...             name="shapes",
    ...             summary="Circles and squares",
    ...             classes=("circle", "square"),
    ...             train=(
    ...                 DataFile("train-images-idx3-ubyte", f"sha256:{'0' * 64}"),
    ...                 DataFile("train-labels-idx1-ubyte", f"sha256:{'1' * 64}"),
    ...             ),
    ...             test=(
    ...                 DataFile("t10k-images-idx3-ubyte", f"sha256:{'2' * 64}"),
    ...                 DataFile("t10k-labels-idx1-ubyte", f"sha256:{'3' * 64}"),
    ...             ),
    ...             train_images=1200,
    ...             test_images=200,
    ...             validation_size=100,
    ...             folders=("my_package:data",),
    ...         )
    ...     )
    """


@hookspec
def register_logs(register: Callable[[str, str], None]) -> None:
    """Call ``register(kind, factory)`` once a kind of log, for ``train --log KIND:TARGET``.

    The factory is named as ``"package.module:callable"``. Called with the text of the target, it
    returns a :class:`mnistzoo.Callback`.

    >>> from mnistzoo import hookimpl
    >>> @hookimpl
    ... def register_logs(register):
    ...     register("mlflow", "my_package.log:MlflowLog")
    """
