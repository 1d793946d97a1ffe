"""The weights that a plugin ships, and the accuracy that it declares for them."""

import zipfile
from pathlib import Path

from mnistzoo.contract import CheckFailed
from mnistzoo.evaluation import DECLARED_TOLERANCE, Evaluation
from mnistzoo.inference import predict_logits
from mnistzoo.models import weights_path
from mnistzoo.testing.checks.check import check
from mnistzoo.testing.checks.plugin import factory
from mnistzoo.testing.subject import NotApplicable, Subject
from mnistzoo.weights import read_metadata

_PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt"}


@check(factory)
def weights(subject: Subject) -> None:
    """The shipped file has the declared checksum and fits the model.

    Mend: declare the file's ``sha256`` anew after each training; ship the weights of this
    architecture.
    """
    subject.shipped()


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
def metrics(subject: Subject) -> None:
    """The shipped weights, or those of the members, have the declared test accuracy, to 0.05
    points; the file's metadata says no other.

    Mend: declare what ``mnistzoo evaluate MODEL`` shows.
    """
    spec = subject.spec
    if spec.weights is None and not spec.members:
        raise NotApplicable("the plugin ships no weights")
    if spec.members and not spec.metrics:
        raise NotApplicable("the plugin declares no metrics of what is made of other models")
    declared = spec.declared_metrics.get("test_accuracy")
    if declared is None:
        raise CheckFailed("no metric 'test_accuracy' is declared; add it to metrics")
    with subject.calling("evaluating the shipped weights"):
        logits = predict_logits(subject.shipped(), subject.test.tensors()[0]).numpy()
        found = Evaluation.from_logits(logits, subject.test.labels).accuracy
    subject.shipped_logits = logits
    if abs(found - declared) > DECLARED_TOLERANCE:
        raise CheckFailed(
            f"test_accuracy is declared as {declared}, but the weights have {found}; declare what "
            f"`mnistzoo evaluate {spec.name}` shows"
        )
    if spec.weights is None:
        return
    metrics = read_metadata(weights_path(spec)).get("metrics")
    told = metrics.get("test_accuracy", declared) if isinstance(metrics, dict) else declared
    if told != declared:
        raise CheckFailed(
            f"test_accuracy is declared as {declared}, but the metadata of the weights says "
            f"{told}; save the file with its true metrics, and declare its new sha256"
        )


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
