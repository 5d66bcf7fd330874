"""Recurrent nets side by side on the adding problem: each reads a sequence and ends with one number."""

from __future__ import annotations

from collections.abc import Sequence

from .. import cat, nn
from .._core import Tensor

#: The cells by the names that `--cell` knows.
CELLS = ("rnn", "lstm", "gru", "irnn")


class AddingNet(nn.Module):
    """Sequences [N, T, 2] to numbers [N, 1], which a linear layer reads from the last hidden state.

    `cell`: "rnn" (tanh), "lstm", "gru", or "irnn": a ReLU whose recurrent weights begin as the identity, so
    that at first it only sums up. Source for it: Le, Jaitly and Hinton (2015), A simple way to initialize
    recurrent networks of rectified linear units. Errors: ValueError for an unknown cell.

    Example:
        >>> lt.models.AddingNet("irnn")(lt.zeros(3, 100, 2)).shape
        (3, 1)
    """

    def __init__(self, cell: str = "lstm", hidden: int = 100) -> None:
        super().__init__()
        if cell == "lstm":
            self.rnn = nn.LSTM(2, hidden, batch_first=True)
        elif cell == "gru":
            self.rnn = nn.GRU(2, hidden, batch_first=True)
        elif cell in ("rnn", "irnn"):
            kind = "tanh" if cell == "rnn" else "relu"
            self.rnn = nn.RNN(2, hidden, nonlinearity=kind, batch_first=True)
        else:
            raise ValueError(f"AddingNet: cell must be one of {', '.join(CELLS)}, got {cell!r}")
        if cell == "irnn":
            nn.init.eye_(self.rnn.weight_hh_l0)
            nn.init.normal_(self.rnn.weight_ih_l0, std=0.001)
            nn.init.zeros_(self.rnn.bias_ih_l0)
            nn.init.zeros_(self.rnn.bias_hh_l0)
        if cell in ("lstm", "gru"):
            # The LSTM's forget gate and the GRU's z stand in the same place: both begin open, so as to keep.
            nn.init.constant_(self.rnn.bias_ih_l0[hidden : 2 * hidden], 4.0)
        self.sum = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        h, _ = self.rnn(x)
        return self.sum(h[:, -1])


class AddingNets(nn.Module):
    """One `AddingNet` for each cell, with nothing in common but the input: [N, T, 2] to [N, cells].

    Example:
        >>> lt.models.AddingNets(("rnn", "lstm"))(lt.zeros(3, 100, 2)).shape
        (3, 2)
    """

    def __init__(self, cells: Sequence[str] = CELLS, hidden: int = 100) -> None:
        super().__init__()
        self.nets = nn.ModuleDict({cell: AddingNet(cell, hidden) for cell in cells})

    def forward(self, x: Tensor) -> Tensor:
        return cat([net(x) for net in self.nets.values()], 1)
