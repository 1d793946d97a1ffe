"""The hooks through which plugins register models and logs of training runs.

A plugin is a module that an entry point of the group ``mnistzoo`` names::

    [project.entry-points.mnistzoo]
    my_plugin = "my_package"
"""

from collections.abc import Callable

import pluggy

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
def register_logs(register: Callable[[str, str], None]) -> None:
    """Call ``register(kind, factory)`` once a kind of log, for ``train --log KIND:TARGET``.

    The factory is named as ``"package.module:callable"``. Called with the text of the target, it
    returns a :class:`mnistzoo.Callback`.

    >>> from mnistzoo import hookimpl
    >>> @hookimpl
    ... def register_logs(register):
    ...     register("mlflow", "my_package.log:MlflowLog")
    """
