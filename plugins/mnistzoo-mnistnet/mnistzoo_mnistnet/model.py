"""MNISTNet: a multilayer perceptron, 784-128-64-10."""

from torch import Tensor, nn
from torch.nn import functional as F


class MNISTNet(nn.Module):
    """Two hidden layers with ReLU and dropout 0.2 after each."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.fc1 = nn.Linear(28 * 28, 128)
        self.fc2 = nn.Linear(128, 64)
        self.fc3 = nn.Linear(64, num_classes)
        self.dropout = nn.Dropout(0.2)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(N, num_classes)`` for images ``(N, 1, 28, 28)``, 0 to 1."""
        hidden = self.dropout(F.relu(self.fc1(images.flatten(1))))
        hidden = self.dropout(F.relu(self.fc2(hidden)))
        return self.fc3(hidden)
