"""MC dropout (arXiv 1506.02142): each evaluation draws another net."""

from torch import Tensor, nn
from torch.nn import functional as F


class MCDropout(nn.Module):
    """784, 128 and a unit a class, half of the hidden ones dropped, always."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.hidden = nn.Linear(784, 128)
        self.head = nn.Linear(128, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, C) for images (N, 1, 28, 28), 0 to 1."""
        hidden = F.relu(self.hidden(images.flatten(1)))
        return self.head(F.dropout(hidden, 0.5, training=True))
