"""Plain recurrent networks with shortcuts: around the step, and over several steps."""

from __future__ import annotations

from typing import Any

from .._core import Tensor, dtype as DType
from ._make import size
from ._recurrent import Form, RecurrentCell, Shapes
from ._recurrent_layer import RecurrentLayer


class ResidualForm(Form):
    """What ``ResidualRNN`` and ``ResidualRNNCell`` have in common."""

    kind = "residual_rnn"


class SkipForm(Form):
    """What ``SkipRNN`` and ``SkipRNNCell`` have in common."""

    kind = "skip_rnn"
    slots = (*Form.slots, "weight_skip")
    skip: int

    def _shapes(self, inputs: int) -> Shapes:
        return {**super()._shapes(inputs), "weight_skip": (self.hidden_size, self.hidden_size)}

    def _state_sizes(self) -> dict[str, int]:
        return {"h" if i == 1 else f"h{i}": self.hidden_size for i in range(1, self.skip + 1)}

    def _prepare(self, k: Any, x: Any, w: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        *usual, w_skip = w
        gates, (w_hh,) = super()._prepare(k, x, tuple(usual))
        return gates, (w_hh, w_skip)

    def _options(self) -> str:
        return f", skip={self.skip}" + super()._options()


class ResidualRNN(ResidualForm, RecurrentLayer):
    """A plain recurrent network whose step adds to its state.

    ``h' = h + tanh(W_ih x + b_ih + W_hh h + b_hh)``: gradients pass along h unchanged, as through the
    shortcuts of He et al. 2016. All else is as in ``RNN``.

    Example:
        >>> out, h = lt.nn.ResidualRNN(10, 20)(lt.randn(5, 3, 10))
        >>> out.shape, h.shape
        ((5, 3, 20), (1, 3, 20))
    """


class SkipRNN(SkipForm, RecurrentLayer):
    """A plain recurrent network that also sees its state of ``skip`` steps ago (Lin et al. 1996).

    ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh + W_skip h_k)``, where h_k is the state of ``skip`` steps ago.
    The state is a tuple of the last ``skip`` states, newest first. All else is as in ``RNN``.

    Example:
        >>> out, state = lt.nn.SkipRNN(10, 20, skip=3)(lt.randn(5, 2, 10))
        >>> out.shape, len(state), bool((state[2][0] == out[2]).all())
        ((5, 2, 20), 3, True)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: DType | None = None,
        *,
        skip: int = 2,
        learn_initial_state: bool = False,
    ) -> None:
        self.skip = size("SkipRNN", "skip", skip, 2)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype,
            learn_initial_state=learn_initial_state,
        )  # fmt: skip


class ResidualRNNCell(ResidualForm, RecurrentCell):
    """One step of ``ResidualRNN``, as ``RNNCell``.

    Example:
        >>> lt.nn.ResidualRNNCell(10, 20)(lt.randn(3, 10)).shape
        (3, 20)
    """


class SkipRNNCell(SkipForm, RecurrentCell):
    """One step of ``SkipRNN``: from x and the last ``skip`` states, newest first, to the new ones.

    Example:
        >>> cell, state = lt.nn.SkipRNNCell(10, 20), None
        >>> for x in lt.randn(5, 3, 10):
        ...     state = cell(x, state)
        >>> [h.shape for h in state]
        [(3, 20), (3, 20)]
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: DType | None = None,
        *,
        skip: int = 2,
        learn_initial_state: bool = False,
    ) -> None:
        self.skip = size("SkipRNNCell", "skip", skip, 2)
        super().__init__(
            input_size, hidden_size, bias, device, dtype, learn_initial_state=learn_initial_state
        )
