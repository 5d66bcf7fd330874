"""The multilayer perceptron for digits."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from .. import nn
from .._core import Tensor


class MLP(nn.Module):
    """Linear layers with ReLU and dropout between them: 784-512-256-10 unless told otherwise.

    `sizes`: values in, the hidden layers, classes. `dropout`: the share of hidden units left out in training.
    [N, …] with sizes[0] values each to the logits [N, sizes[-1]]; 535,818 parameters as it stands.

    Example:
        >>> lt.models.MLP((784, 100, 10))(lt.zeros(2, 1, 28, 28)).shape
        (2, 10)
    """

    def __init__(self, sizes: Sequence[int] = (784, 512, 256, 10), dropout: float = 0.2) -> None:
        super().__init__()
        if len(sizes) < 2:
            raise ValueError(f"MLP: sizes needs at least the values in and the classes, got {tuple(sizes)}")
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in itertools.pairwise(sizes[:-1]):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
