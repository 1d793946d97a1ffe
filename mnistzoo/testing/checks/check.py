"""What a check is, and how a function becomes one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from mnistzoo.testing.subject import Subject

Group = Literal["all", "created", "modules", "trainable", "repeatable", "exportable"]

# To which models a check applies; ``Subject.outside`` says of one why it does not.
GROUPS: Mapping[Group, str] = {
    "all": "all",
    "created": "all but ONNX files",
    "modules": "torch modules",
    "trainable": "models with a recipe, or a `fit` of their own",
    "repeatable": "all but stochastic ones",
    "exportable": "torch modules that are not stochastic",
}


@dataclass(frozen=True)
class Check:
    """A named check.

    Attributes:
        name: by which expected failures declare it.
        run: raises if the model does not pass; it may return what it could not look at, and how
            to have it looked at.
        needs: the checks without which this one would mislead.
        group: of models that it applies to.
    """

    name: str
    run: Callable[[Subject], str | None]
    needs: tuple["Check", ...]
    group: Group = "all"


def check(
    *needs: Check, group: Group = "all"
) -> Callable[[Callable[[Subject], str | None]], Check]:
    """Make a check of a function; its name is the function's, without an underscore at the end.

    The docstring says what it checks and, after ``Mend:``, what to do where that fails.
    """
    return lambda run: Check(run.__name__.rstrip("_"), run, needs, group)
