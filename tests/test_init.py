"""The public names: there, typed, and imported on first use only."""

from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

import mnistzoo

RunPython = Callable[..., "CompletedProcess[str]"]


@pytest.mark.parametrize("name", mnistzoo.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert name in dir(mnistzoo)
    assert getattr(mnistzoo, name) is not None


def test_a_name_is_that_of_its_module() -> None:
    import mnistzoo.training

    assert mnistzoo.train is mnistzoo.training.train
    assert {"Recipe", "create_model", "evaluate", "__version__"} <= set(mnistzoo.__all__)


def test_errors_that_users_catch_are_public() -> None:
    public = {name for name in mnistzoo.__all__ if name.endswith("Error")}
    assert public >= {"DataError", "ModelError", "PictureError", "WeightsError"}
    for name in {*public, "ModelFailed", "TrainingDiverged", "TrainingFailed"}:
        assert issubclass(getattr(mnistzoo, name), mnistzoo.MnistzooError)
    assert issubclass(mnistzoo.TrainingInterrupted, KeyboardInterrupt)


def test_another_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match="'mnistzoo' has no attribute 'nothing'"):
        mnistzoo.nothing  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        from mnistzoo import nothing  # type: ignore[attr-defined]  # noqa: F401


def test_to_import_mnistzoo_is_to_import_nothing_else(run_python: RunPython) -> None:
    done = run_python(
        "-c",
        "import sys, mnistzoo\n"
        "print(sorted(name for name in sys.modules if name.startswith('mnistzoo')))\n"
        "mnistzoo.ModelSpec, mnistzoo.hookimpl, mnistzoo.list_models\n"
        "print({'torch', 'numpy', 'click'} & sys.modules.keys())",
    )
    assert done.stdout.splitlines() == ["['mnistzoo']", "set()"], done.stderr
