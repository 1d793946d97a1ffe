"""scikit-learn's support vector machine; mnistzoo takes it as it is."""

from collections.abc import Callable

from sklearn.svm import SVC  # type: ignore[import-untyped]

from mnistzoo import Recipe, Split
from mnistzoo.classifier import as_features


def svm(C: float, num_classes: int = 10) -> SVC:  # noqa: N803 (scikit-learn's own name)
    """Return an untrained machine, which learns from the labels how many classes there are."""
    return SVC(C=C)


def fit(model: SVC, recipe: Recipe, data: Split, report: Callable[..., None]) -> None:
    """Fit it in one go: there are no epochs to report."""
    model.fit(as_features(data.images), data.labels)
