"""MNISTConvNet: two 3x3 convolutions and a dense layer."""

from torch import Tensor, nn
from torch.nn import functional as F


class MNISTConvNet(nn.Module):
    """Convolutions of 32 and 64 channels, each with ReLU and 2x2 max-pooling; dense 128."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.fc1 = nn.Linear(64 * 7 * 7, 128)
        self.fc2 = nn.Linear(128, num_classes)
        self.dropout = nn.Dropout(0.5)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(N, num_classes)`` for images ``(N, 1, 28, 28)``, 0 to 1."""
        # ReLU and max-pooling commute; after pooling there is a quarter as much to rectify.
        features = F.relu(F.max_pool2d(self.conv1(images), 2))
        features = F.relu(F.max_pool2d(self.conv2(features), 2))
        hidden = self.dropout(F.relu(self.fc1(features.flatten(1))))
        return self.fc2(hidden)
