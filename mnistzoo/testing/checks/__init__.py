"""The checks by name: what a model has to do so that the zoo's rooms can rely on it.

Each raises :class:`~mnistzoo.testing.subject.CheckFailed` with what was expected, what was found
and how to mend it, or :class:`~mnistzoo.testing.subject.NotApplicable`.
"""

from mnistzoo.testing.checks import contract, export, plugin, training, weights
from mnistzoo.testing.checks.check import Check

CHECKS: dict[str, Check] = {
    check.name: check
    for group in (plugin, contract, weights, training, export)  # the quick ones first
    for check in group.CHECKS
}
