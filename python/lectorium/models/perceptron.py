"""Rosenblatt's perceptron."""

from __future__ import annotations

from .. import nn
from .._core import Tensor


class Perceptron(nn.Module):
    """Threshold units side by side, each a perceptron of its own: unit i fires where output i is above 0.

    [N, inputs] to the sums before the threshold [N, units]; weights start at 0. Source: Rosenblatt (1958),
    The perceptron: a probabilistic model for information storage and organization in the brain.

    Example:
        >>> unit = lt.models.Perceptron(inputs=2)
        >>> unit(lt.ones(1, 2)).tolist()
        [[0.0]]
    """

    def __init__(self, inputs: int = 2, units: int = 1) -> None:
        super().__init__()
        self.sum = nn.Linear(inputs, units)
        nn.init.zeros_(self.sum.weight)
        assert self.sum.bias is not None
        nn.init.zeros_(self.sum.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.sum(x)
