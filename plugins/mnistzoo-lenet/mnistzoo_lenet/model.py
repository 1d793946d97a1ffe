"""LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998, Proc. IEEE 86(11)), as it is commonly built."""

from torch import Tensor, nn
from torch.nn import functional as F


class LeNet5(nn.Module):
    """Two 5x5 convolutions, each with tanh and 2x2 average pooling, then three dense layers.

    The names C1 to F6 in the comments are those of the paper; README.md says what differs from it.
    """

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        # The paper puts the 28x28 digit into a 32x32 field; here the padding does.
        self.conv1 = nn.Conv2d(1, 6, kernel_size=5, padding=2)  # C1
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)  # C3
        self.fc1 = nn.Linear(16 * 5 * 5, 120)  # C5: its 5x5 kernels see the whole 5x5 map
        self.fc2 = nn.Linear(120, 84)  # F6
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(N, num_classes)`` for images ``(N, 1, 28, 28)``, 0 to 1."""
        features = F.avg_pool2d(self.conv1(images).tanh(), 2)  # (N, 6, 14, 14), S2
        features = F.avg_pool2d(self.conv2(features).tanh(), 2)  # (N, 16, 5, 5), S4
        hidden = self.fc1(features.flatten(1)).tanh()
        hidden = self.fc2(hidden).tanh()
        return self.fc3(hidden)
