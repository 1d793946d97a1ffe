"""What a check is, and how a function becomes one."""

from collections.abc import Callable
from dataclasses import dataclass

from mnistzoo.testing.subject import Subject


@dataclass(frozen=True)
class Check:
    """A named check.

    Attributes:
        name: by which expected failures declare it.
        run: raises if the model does not pass.
        needs: the checks without which this one would mislead.
    """

    name: str
    run: Callable[[Subject], None]
    needs: tuple["Check", ...]


def check(*needs: Check) -> Callable[[Callable[[Subject], None]], Check]:
    """Make a check of a function; its name is the function's, without an underscore at the end.

    The docstring says what it checks and, after ``Mend:``, what to do where that fails.
    """
    return lambda run: Check(run.__name__.rstrip("_"), run, needs)
