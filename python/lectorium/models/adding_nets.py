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
    that at first it only sums up (Le, Jaitly and Hinton 2015, A simple way to initialize recurrent networks
    of rectified linear units). `length`: steps that the gates of "lstm" and "gru" are to remember over;
    their biases begin so that each unit keeps its state for a time of its own, from 1 to ``length - 1``
    steps (Tallec and Ollivier 2018, Can recurrent neural networks warp time?, equation 16). Errors:
    ValueError for an unknown cell.

    Example:
        >>> lt.models.AddingNet("irnn")(lt.zeros(3, 100, 2)).shape
        (3, 1)
    """

    def __init__(self, cell: str = "lstm", hidden: int = 100, length: int = 100) -> None:
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
            # The LSTM's forget gate and the GRU's z stand in the same place, and both keep.
            bias = self.rnn.bias_ih_l0.data
            keep = bias[hidden : 2 * hidden]
            nn.init.uniform_(keep, 1.0, length - 1.0).log_()
            if cell == "lstm":
                bias[:hidden] = -keep
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

    def __init__(self, cells: Sequence[str] = CELLS, hidden: int = 100, length: int = 100) -> None:
        super().__init__()
        self.nets = nn.ModuleDict({cell: AddingNet(cell, hidden, length) for cell in cells})

    def forward(self, x: Tensor) -> Tensor:
        return cat([net(x) for net in self.nets.values()], 1)
