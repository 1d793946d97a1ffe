"""K nearest neighbours (Cover and Hart 1967) by scikit-learn, among images reduced by PCA."""

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsClassifier  # type: ignore[import-untyped]
from threadpoolctl import threadpool_limits

# A share of the votes that each digit gets for nothing, so that the logarithm is always finite.
_SMOOTHING = 1e-3


class Neighbours:
    """The nearest stored images vote for their digits, each by the inverse of its distance.

    All that was learned is in its arrays, so mnistzoo saves and loads it. ``fit.py`` computes them.

    Args:
        num_classes: how many logits an image gets.
        stored: how many images are remembered.
        components: numbers that describe an image.
        neighbours: how many of the nearest have a vote.
    """

    def __init__(
        self,
        num_classes: int = 10,
        stored: int = 55_000,
        components: int = 50,
        neighbours: int = 8,
    ) -> None:
        self.num_classes = num_classes
        self.neighbours = neighbours
        self.mean = np.zeros(28 * 28, np.float32)
        self.components = np.zeros((28 * 28, components), np.float32)
        self.points = np.zeros((stored, components), np.int8)
        self.labels = np.zeros(stored, np.uint8)

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return logits ``(N, num_classes)``: logarithms of votes.

        Args:
            images: ``(N, 28, 28)``, 255 ink.
        """
        shares = np.zeros((len(images), self.num_classes))
        if len(images):  # scikit-learn takes no empty batch
            # Measured for 1,000 images on two cores: with two threads, which wait for each other by
            # spinning, it takes three times as long as with one.
            with threadpool_limits(1):
                classifier = self.classifier()
                shares[:, classifier.classes_] = classifier.predict_proba(self.project(images))
        smoothed = (shares + _SMOOTHING) / (1 + self.num_classes * _SMOOTHING)
        return np.log(smoothed).astype(np.float32)

    def project(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the principal components ``(N, C)``, float64, in the unit of the stored points.

        In float32 the rounding would depend on the size of the batch, and with it, now and then,
        which of two images as near as each other is among the neighbours.
        """
        pixels = (images.reshape(len(images), -1) / np.float32(255)).astype(np.float64)
        return (pixels - self.mean) @ self.components.astype(np.float64)

    def classifier(self) -> KNeighborsClassifier:
        """Return scikit-learn's estimator with the stored points.

        It is made for each batch: that takes some milliseconds, since without a search tree fitting
        is no more than storing, and so it never differs from the arrays.
        """
        classifier = KNeighborsClassifier(self.neighbours, weights="distance", algorithm="brute")
        return classifier.fit(self.points.astype(np.float64), self.labels)
