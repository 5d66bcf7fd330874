"""AlexNet, the net that won ImageNet in 2012."""

from __future__ import annotations

from .. import nn
from .._core import Tensor


class AlexNet(nn.Module):
    """Five convolutions and three linear layers: [N, 3, 224, 224] to the logits [N, classes].

    Pictures of 63x63 and more. 61,100,840 parameters; names and shapes are torchvision's. Source: Krizhevsky,
    Sutskever and Hinton (2012), ImageNet classification with deep convolutional neural networks, in the form
    of Krizhevsky (2014), One weird trick for parallelizing convolutional neural networks: one column, no
    local response normalisation.

    Example:
        >>> lt.models.AlexNet(classes=10)(lt.zeros(1, 3, 64, 64)).shape
        (1, 10)
    """

    def __init__(self, classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(x.flatten(-3))  # one picture without a batch axis too
