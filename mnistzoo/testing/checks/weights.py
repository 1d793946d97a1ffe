"""The weights that a plugin ships, and the accuracy that it declares for them."""

import math
import zipfile
from pathlib import Path

from mnistzoo.contract import CheckFailed
from mnistzoo.data import Split
from mnistzoo.evaluation import DECLARED_TOLERANCE, evaluate, evaluate_repeatedly
from mnistzoo.models import weights_path
from mnistzoo.spec import DEFAULT_DATASET, Weights
from mnistzoo.testing.checks.check import check
from mnistzoo.testing.checks.plugin import factory
from mnistzoo.testing.subject import NotApplicable, Subject, data_of
from mnistzoo.weights import read_metadata

_SPREADS = 4  # of a share of fewer images than were declared for; chance goes further one in 16,000
_PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt"}


@check(factory)
def weights(subject: Subject) -> str:
    """Each shipped file has the declared checksum and fits the model.

    Mend: declare the file's ``sha256`` anew after each training; ship the weights of this
    architecture.
    """
    subject.shipped()
    for further in subject.further_weights:
        subject.shipped(further)
    return _without_data(subject)


@check()
def pickling_free(subject: Subject) -> None:
    """The package holds no pickle.

    Mend: ship safetensors only.
    """
    for path in sorted(subject.package.rglob("*")):
        if path.is_file() and _is_pickle(path):
            raise CheckFailed(
                f"{path} is a pickle, and to load one runs code; save tensors with "
                "`mnistzoo train -o`, or mnistzoo.weights.save_weights"
            )


@check(weights)
def metrics(subject: Subject) -> str:
    """The shipped weights, or those of the members, have the declared test accuracy, to 0.05
    points, with ``--quick`` as far as a tenth of the images can tell; the file's metadata says no
    other. Further weights are evaluated where their data set is found; else the line says so.

    Mend: declare what ``mnistzoo evaluate MODEL`` shows.
    """
    spec = subject.spec
    if spec.weights is None and not spec.members:
        raise NotApplicable("the plugin ships no weights")
    if spec.members and not spec.metrics:
        raise NotApplicable("the plugin declares no metrics of what is made of other models")
    _require_accuracy(subject, subject.test, spec.weights)
    left_out = [_without_data(subject)]
    for further in subject.further_weights:
        data = data_of(further)
        if data.where():
            _require_accuracy(subject, subject.some(data.test), further)
        else:
            left_out.append(
                f"the weights for {data.name} were not evaluated, because its files are not here; "
                f"`mnistzoo data download --dataset {data.name}` gets them"
            )
    return "; ".join(filter(None, left_out))


def _without_data(subject: Subject) -> str:
    """Return which further weights no check can look at, and what to do; mostly empty."""
    looked_at = subject.further_weights
    names = [each.dataset for each in subject.spec.further_weights if each not in looked_at]
    if not names:
        return ""
    return (
        f"the weights for {' and '.join(names)} were not looked at, since no installed plugin "
        "registers such a data set; install the one that does"
    )


def _require_accuracy(subject: Subject, test: Split, shipped: Weights | None) -> None:
    """Fail unless what is shipped is as accurate on the test images as declared."""
    spec = subject.spec
    declared = (spec.metrics if shipped is None else shipped.metrics).get("test_accuracy")
    if declared is None:
        raise CheckFailed("no metric 'test_accuracy' is declared; add it to metrics")
    with subject.calling("evaluating the shipped weights"):
        found, tolerance = _accuracy(subject, test, shipped)
    images = ""
    if subject.quick:
        tolerance += _SPREADS * math.sqrt(declared * (1 - declared) / len(test))
        images = f" on {len(test):,} images"
    if abs(found - declared) > tolerance:
        option = ""
        if shipped is not None and shipped.dataset != DEFAULT_DATASET:
            option = f" --dataset {shipped.dataset}"
        raise CheckFailed(
            f"test_accuracy is declared as {declared}, but the weights have {found}{images}; "
            f"declare what `mnistzoo evaluate {spec.name}{option}` shows"
        )
    if shipped is None or not shipped.file.endswith(".safetensors"):
        return
    metrics = read_metadata(weights_path(spec, shipped)).get("metrics")
    told = metrics.get("test_accuracy", declared) if isinstance(metrics, dict) else declared
    # `mnistzoo ship` declares six decimals, and stores all.
    if not isinstance(told, int | float) or round(told, 6) != round(declared, 6):
        raise CheckFailed(
            f"test_accuracy is declared as {declared}, but the metadata of the weights says "
            f"{told}; save the file with its true metrics, and declare its new sha256"
        )


def _accuracy(subject: Subject, test: Split, shipped: Weights | None) -> tuple[float, float]:
    """Return the accuracy of what is shipped, and how far it may be from the declared one."""
    model = subject.shipped(shipped)
    if subject.spec.stochastic:
        repeated = evaluate_repeatedly(model, test, device="cpu")
        return repeated.accuracy, DECLARED_TOLERANCE + 3 * repeated.accuracy_sd
    return evaluate(model, test, device="cpu").accuracy, DECLARED_TOLERANCE


def _is_pickle(path: Path) -> bool:
    """Say whether a file is called so, begins as one of protocol 2 to 5 does, or is torch's."""
    if path.suffix.lower() in _PICKLES:
        return True
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".pkl") for name in archive.namelist())
    with path.open("rb") as stream:
        start = stream.read(2)
    return start[:1] == b"\x80" and start[1:] in (b"\x02", b"\x03", b"\x04", b"\x05")


CHECKS = (
    weights,
    pickling_free,
    metrics,
)
