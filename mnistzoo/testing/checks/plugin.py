"""What a plugin declares: its names, its texts, its factory and the count of its parameters."""

import os
import subprocess
import sys

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from mnistzoo.classifier import count_parameters, is_module
from mnistzoo.contract import CheckFailed
from mnistzoo.errors import MnistzooError
from mnistzoo.registry import describe_conflict
from mnistzoo.testing.checks.check import check
from mnistzoo.testing.subject import NotApplicable, Subject

_IMPORT_SECONDS = 120

# Runs in a fresh process: loads one plugin, and says which of its lines imports torch.
_IMPORT_PROBE = """
import os, sys, traceback
from importlib.metadata import EntryPoint

import mnistzoo.plugins

OWN = os.path.dirname(mnistzoo.__file__)

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            for frame in reversed(traceback.extract_stack()[:-1]):
                if "importlib" not in frame.filename and not frame.filename.startswith(OWN):
                    print(f"{frame.filename}, line {frame.lineno}", flush=True)
                    os._exit(3)

sys.meta_path.insert(0, Watch())
mnistzoo.plugins.call_hooks(EntryPoint("plugin", sys.argv[1], mnistzoo.plugins.GROUP).load())
"""


@check()
def names(subject: Subject) -> None:
    """No other model claims the name or an alias.

    Mend: take another name, or uninstall the other plugin.
    """
    if subject.contested:
        raise CheckFailed("; ".join(describe_conflict(*each) for each in subject.contested.items()))


@check()
def metadata(subject: Subject) -> None:
    """``summary``, ``license`` (an SPDX identifier), ``source`` and ``measured`` are there;
    ``expected_failures`` names checks that exist.

    Mend: fill them in.
    """
    from mnistzoo.testing.checks import CHECKS  # all of them, of this file too

    spec = subject.spec
    missing = [field for field in ("summary", "license", "source") if not getattr(spec, field)]
    if missing:
        raise CheckFailed(
            f"the ModelSpec declares no {' and no '.join(missing)}; add "
            + ", ".join(f"{field}='...'" for field in missing)
        )
    try:
        canonicalize_license_expression(spec.license)
    except InvalidLicenseExpression:
        raise CheckFailed(
            f"license is {spec.license!r}, expected an SPDX identifier; write 'MIT', say"
        ) from None
    measured = spec.measured if spec.weights is None else spec.weights.measured
    if (spec.weights is not None or spec.metrics) and not measured:
        raise CheckFailed("it is not said how the metrics came about; add measured='...'")
    if unknown := spec.expected_failures.keys() - CHECKS.keys():
        raise CheckFailed(
            f"expected_failures names {min(unknown)!r}, which is not a check; the checks are "
            f"{', '.join(CHECKS)}"
        )


@check()
def import_(subject: Subject) -> None:
    """Importing the plugin and calling its hook leave torch unimported.

    Mend: import torch in the factory's module only.
    """
    plugin = subject.registration.plugin
    if not plugin.version:
        raise NotApplicable("the plugin is registered in this process, not installed")
    try:
        done = subprocess.run(
            [sys.executable, "-c", _IMPORT_PROBE, plugin.entry_point],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=False,
            timeout=_IMPORT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise CheckFailed(
            f"importing {plugin.entry_point} takes more than {_IMPORT_SECONDS} s; move the work "
            "into the factory"
        ) from None
    if done.returncode == 3:
        place = done.stdout.splitlines()[-1]  # the plugin may have printed before
        raise CheckFailed(
            f"importing {plugin.entry_point} imports torch ({place}), which makes "
            "every command wait; import it in the module of the factory only"
        )
    if done.returncode != 0:
        last = (done.stderr.splitlines() or [f"exit code {done.returncode}"])[-1]
        raise CheckFailed(
            f"importing {plugin.entry_point} in a fresh process fails: {last}; make the module "
            "work when nothing else is imported"
        )


@check()
def factory(subject: Subject) -> None:
    """The factory is found and returns a ``torch.nn.Module``, an estimator or an object with
    ``logits()``; an ONNX file opens.

    Mend: correct ``factory``.
    """
    subject.at_defaults()
    subject.created()


@check(factory)
def parameters(subject: Subject) -> None:
    """``num_params`` is the real number.

    Mend: write the number in the message.
    """
    declared, model = subject.spec.num_params, subject.at_defaults()
    if not is_module(model) and not subject.spec.is_onnx:
        if subject.spec.weights is None:
            raise NotApplicable("it has no parameters before it is trained")
        try:
            model = subject.shipped()
        except (MnistzooError, OSError):  # which the check weights tells
            raise NotApplicable("its weights, which alone have parameters, do not load") from None
    found = count_parameters(model)
    if found != declared:
        raise CheckFailed(
            f"num_params is {'None' if declared is None else f'{declared:,}'}, but the model has "
            f"{found:,}; write num_params={found:_}"
        )


CHECKS = (
    names,
    metadata,
    import_,
    factory,
    parameters,
)
