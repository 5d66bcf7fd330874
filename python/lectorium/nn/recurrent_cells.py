"""One step of PyTorch's recurrent layers."""

from __future__ import annotations

from typing import Any

from .._core import dtype as DType
from ._recurrent import RecurrentCell
from .recurrent import GRUForm, LSTMForm, PlainForm


class RNNCell(PlainForm, RecurrentCell):
    """One step of ``RNN``: from x ``[B, input_size]`` and h ``[B, hidden_size]`` to the new h.

    Both may lack the batch. An h that is left out is 0, or with ``learn_initial_state=True`` a parameter.

    Example:
        >>> cell, h = lt.nn.RNNCell(10, 20), None
        >>> for x in lt.randn(6, 3, 10):
        ...     h = cell(x, h)
        >>> h.shape
        (3, 20)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: DType | None = None,
        *,
        learn_initial_state: bool = False,
    ) -> None:
        self._set_nonlinearity(nonlinearity)
        super().__init__(
            input_size, hidden_size, bias, device, dtype, learn_initial_state=learn_initial_state
        )


class LSTMCell(LSTMForm, RecurrentCell):
    """One step of ``LSTM``: from x ``[B, input_size]`` and (h, c) to the new (h, c), as ``RNNCell``.

    Example:
        >>> h, c = lt.nn.LSTMCell(10, 20)(lt.randn(3, 10))
        >>> h.shape, c.shape
        ((3, 20), (3, 20))
    """


class GRUCell(GRUForm, RecurrentCell):
    """One step of ``GRU``, as ``RNNCell``.

    Example:
        >>> lt.nn.GRUCell(10, 20)(lt.randn(3, 10), lt.zeros(3, 20)).shape
        (3, 20)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: DType | None = None,
        *,
        reset_after: bool = True,
        learn_initial_state: bool = False,
    ) -> None:
        self._set_reset(reset_after)
        super().__init__(
            input_size, hidden_size, bias, device, dtype, learn_initial_state=learn_initial_state
        )
