"""LeNet-5, the convolutional net that reads digits."""

from __future__ import annotations

from .. import nn
from .._core import Tensor


class LeNet5(nn.Module):
    """LeNet-5 as the lecture draws it, for 1x28x28: two convolutions with pooling, two linear layers.

    [N, 1, 28, 28] to the logits [N, 10]; 1,256,080 parameters. Source: LeCun, Bottou, Bengio and Haffner
    (1998), Gradient-based learning applied to document recognition; with ReLU, max pooling and wider layers
    than there.

    Example:
        >>> lt.models.LeNet5()(lt.zeros(2, 1, 28, 28)).shape
        (2, 10)
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 20, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(20, 50, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(50 * 7 * 7, 500),
            nn.ReLU(),
            nn.Linear(500, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))
