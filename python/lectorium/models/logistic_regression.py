"""Logistic regression: one linear layer under a softmax."""

from __future__ import annotations

from .. import nn
from .._core import Tensor


class LogisticRegression(nn.Module):
    """One linear layer; its outputs are the logits of a softmax.

    [N, …] with `inputs` values each to [N, classes]; 7,850 parameters for digits of 28x28.

    Example:
        >>> lt.models.LogisticRegression()(lt.zeros(2, 1, 28, 28)).shape
        (2, 10)
    """

    def __init__(self, inputs: int = 784, classes: int = 10) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1))
