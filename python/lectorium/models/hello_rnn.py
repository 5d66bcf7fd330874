"""The four letters of "hello": the smallest character-level model, as the lecture draws it."""

from __future__ import annotations

from typing import Any

from .. import nn
from .._core import Tensor


class HelloRNN(nn.Module):
    """One-hot letters [N, T, letters] to scores [N, T, letters] of the next ones, and the last hidden state.

    h_t = tanh(W_xh x_t + W_hh h_{t-1} + b), y_t = W_hy h_t + b: four letters, three hidden units, 43
    parameters. Source: Karpathy (2015), The unreasonable effectiveness of recurrent neural networks.

    Example:
        >>> scores, h = lt.models.HelloRNN()(lt.eye(4).unsqueeze(0))
        >>> scores.shape, h.shape
        ((1, 4, 4), (1, 1, 3))
    """

    def __init__(self, letters: int = 4, hidden: int = 3) -> None:
        super().__init__()
        self.rnn = nn.RNN(letters, hidden, batch_first=True)
        self.scores = nn.Linear(hidden, letters)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        h, state = self.rnn(x, state)
        return self.scores(h), state
