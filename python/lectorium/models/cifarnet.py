"""The small convolutional net for CIFAR-10, as course code for PyTorch has it: only the import differs."""

from __future__ import annotations

import lectorium as torch
import lectorium.nn as nn
import lectorium.nn.functional as F


class CifarNet(nn.Module):
    """Two convolutions with pooling and three linear layers: [N, 3, 32, 32] to the logits [N, 10].

    62,006 parameters. Source: the network of PyTorch's "Training a classifier" tutorial.

    Example:
        >>> lt.models.CifarNet()(lt.zeros(2, 3, 32, 32)).shape
        (2, 10)
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = x.view(-1, 16 * 5 * 5)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        x = self.fc3(x)
        return x
