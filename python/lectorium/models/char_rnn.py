"""The character-level language model: a text's next character from those before it."""

from __future__ import annotations

from typing import Any

from .. import nn
from .._core import Tensor

#: The cells by the names that `--cell` knows.
CELLS = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU", "mut1": "MUT1", "mut2": "MUT2", "mut3": "MUT3"}


class CharRNN(nn.Module):
    """Characters [N, T] to scores [N, T, vocabulary] of the ones that follow, and the state after the last.

    `cell`: one of CELLS. `state`: where an earlier piece of the same text ended; zeros if None. `dropout`:
    between layers and before the scores. 1,086,017 parameters for 65 characters as it stands. Source:
    Karpathy (2015), The unreasonable effectiveness of recurrent neural networks. The one-hot input and its
    matrix are an embedding here.

    Errors: ValueError for an unknown cell.

    Example:
        >>> model = lt.models.CharRNN(vocabulary=65)
        >>> scores, state = model(lt.randint(0, 65, (2, 50)))
        >>> scores.shape
        (2, 50, 65)
    """

    def __init__(
        self, vocabulary: int, hidden: int = 256, layers: int = 2, cell: str = "lstm", dropout: float = 0.2
    ) -> None:
        super().__init__()
        if cell not in CELLS:
            raise ValueError(f"CharRNN: cell must be one of {', '.join(CELLS)}, got {cell!r}")
        between = dropout if layers > 1 else 0.0
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.rnn = getattr(nn, CELLS[cell])(hidden, hidden, layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(dropout)
        self.scores = nn.Linear(hidden, vocabulary)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        h, state = self.rnn(self.embedding(x), state)
        return self.scores(self.dropout(h)), state
