"""K nearest neighbours (Cover and Hart 1967) by scikit-learn, among images reduced by PCA."""

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier  # type: ignore[import-untyped]
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

# A share of the votes that each digit gets for nothing, so that the logarithm is always finite.
_SMOOTHING = 1e-3


class Neighbours(nn.Module):
    """The nearest stored images vote for their digits, each by the inverse of its distance.

    All that was learned is in the module's tensors, as in any net's, so it is saved, loaded and
    copied as any net's is. No optimizer changes them: ``fit.py`` computes them.

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
        super().__init__()
        self.num_classes = num_classes
        self.neighbours = neighbours
        # Until they are loaded: random, since of equal points none would be nearer than another.
        self.mean = _fixed(torch.rand(28 * 28))
        self.components = _fixed(torch.randn(28 * 28, components))
        self.points = _fixed(torch.randint(-127, 128, (stored, components), dtype=torch.int8))
        self.labels = _fixed(torch.randint(0, num_classes, (stored,), dtype=torch.uint8))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(N, num_classes)``: logarithms of votes.

        Args:
            images: ``(N, 1, 28, 28)``, 0 to 1.
        """
        shares = np.zeros((len(images), self.num_classes))
        if len(images):  # scikit-learn takes no empty batch
            # Measured for 1,000 images on two cores: with two threads, which wait for each other by
            # spinning, it takes three times as long as with one.
            with threadpool_limits(1):
                classifier = self.classifier()
                votes = classifier.predict_proba(self.project(images).numpy(force=True))
            shares[:, classifier.classes_] = votes
        smoothed = (shares + _SMOOTHING) / (1 + self.num_classes * _SMOOTHING)
        return torch.tensor(np.log(smoothed), dtype=torch.float32, device=images.device)

    def project(self, images: Tensor) -> Tensor:
        """Return the principal components ``(N, C)``, float64, in the unit of the stored points.

        In float32 the rounding would depend on the size of the batch, and with it, now and then,
        which of two images as near as each other is among the neighbours.
        """
        return (images.flatten(1).double() - self.mean) @ self.components.double()

    def classifier(self) -> KNeighborsClassifier:
        """Return scikit-learn's estimator with the stored points.

        It is made for each batch: that takes some milliseconds, since without a search tree fitting
        is no more than storing, and so it never differs from the tensors.
        """
        classifier = KNeighborsClassifier(self.neighbours, weights="distance", algorithm="brute")
        return classifier.fit(self.points.double().numpy(force=True), self.labels.numpy(force=True))


def _fixed(values: Tensor) -> nn.Parameter:
    """Return a parameter that is stored and counted but has no gradient."""
    return nn.Parameter(values, requires_grad=False)
