"""The smallest net that learns XOR."""

from __future__ import annotations

from .. import nn
from .._core import Tensor


class XorMLP(nn.Module):
    """One hidden layer of tanh units and one output, the logit of "the two inputs differ".

    [N, 2] to [N, 1]; with four hidden units 17 parameters.

    Example:
        >>> lt.models.XorMLP()(lt.zeros(4, 2)).shape
        (4, 1)
    """

    def __init__(self, hidden: int = 4) -> None:
        super().__init__()
        self.hidden = nn.Linear(2, hidden)
        self.out = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.hidden(x).tanh())
