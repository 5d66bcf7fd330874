"""PyTorch's recurrent layers: plain, LSTM and GRU."""

from __future__ import annotations

from typing import Any

from .._core import Tensor, dtype as DType
from ._make import size
from ._recurrent import Form, Shapes, flag
from ._recurrent_layer import RecurrentLayer


class PlainForm(Form):
    """``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or with ReLU."""

    def _set_nonlinearity(self, nonlinearity: Any) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"{type(self).__name__}: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}"
            )
        self.nonlinearity = nonlinearity
        self.kind = f"rnn_{nonlinearity}"


class LSTMForm(Form):
    """The gates i, f, g, o of PyTorch's LSTM, with ``proj_size`` where that is not 0."""

    kind = "lstm"
    slots = (*Form.slots, "weight_hr")
    gates = 4
    proj_size = 0

    def _shapes(self, inputs: int) -> Shapes:
        shapes = super()._shapes(inputs)
        if self.proj_size:
            shapes["weight_hh"] = (self.gates * self.hidden_size, self.proj_size)
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        return shapes

    def _state_sizes(self) -> dict[str, int]:
        return {"h": self.proj_size or self.hidden_size, "c": self.hidden_size}

    def _prepare(self, k: Any, x: Any, w: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        w_ih, w_hh, b_ih, b_hh, w_hr = w
        return k.linear(x, w_ih, b_ih if b_hh is None else k.add(b_ih, b_hh)), (w_hh, w_hr)


class GRUForm(Form):
    """The gates r, z, n of PyTorch's GRU; the reset gate acts after the product with W_hn, or before it."""

    gates = 3

    def _set_reset(self, reset_after: Any) -> None:
        self.reset_after = flag(type(self).__name__, "reset_after", reset_after)
        self.kind = "gru" if reset_after else "gru_reset_before"

    def _prepare(self, k: Any, x: Any, w: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        if not self.reset_after:
            return super()._prepare(k, x, w)
        w_ih, w_hh, b_ih, b_hh = w
        return k.linear(x, w_ih, b_ih), (w_hh, b_hh)

    def _options(self) -> str:
        return super()._options() + ("" if self.reset_after else ", reset_after=False")


class RNN(PlainForm, RecurrentLayer):
    """A plain recurrent network (Elman 1990): ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``.

    ``nonlinearity``: "tanh" or "relu". Called with an input ``[T, B, input_size]`` (``batch_first``:
    ``[B, T, input_size]``; without a batch ``[T, input_size]``) or a ``PackedSequence``, and perhaps the
    initial state ``[num_layers * directions, B, hidden_size]`` (0 if left out; ``learn_initial_state=True``
    makes parameters of it), it gives the outputs of the last layer,
    ``[T, B, directions * hidden_size]``, and the final state. ``lengths=`` (ints or a tensor, in any order)
    says how long each sequence of a padded batch is: outputs beyond are 0, and the final states are those at
    each length. ``dropout`` acts between layers.

    Long sequences are trained in stretches: pass the final state of one, after ``nn.utils.rnn.detach``, to
    the next (truncated backpropagation through time).

    Errors: ShapeError for inputs, states and lengths that do not fit.

    Example:
        >>> rnn = lt.nn.RNN(10, 20, num_layers=2)
        >>> out, h = rnn(lt.randn(5, 3, 10))
        >>> out.shape, h.shape
        ((5, 3, 20), (2, 3, 20))
        >>> out, h = rnn(lt.randn(5, 3, 10), lengths=[5, 2, 4])
        >>> bool((out[2:, 1] == 0).all())
        True
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: DType | None = None,
        *,
        learn_initial_state: bool = False,
    ) -> None:
        self._set_nonlinearity(nonlinearity)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype,
            learn_initial_state=learn_initial_state,
        )  # fmt: skip


class LSTM(LSTMForm, RecurrentLayer):
    """Long short-term memory (Hochreiter & Schmidhuber 1997, forget gates: Gers et al. 2000).

    ``c' = s(f) c + s(i) tanh(g)`` and ``h' = s(o) tanh(c')``, where ``i, f, g, o`` are
    ``W_ih x + b_ih + W_hh h + b_hh``. With ``proj_size`` the output is ``W_hr h'`` (Sak et al. 2014). Inputs,
    ``lengths=`` and outputs are those of ``RNN``; the state is a tuple (h, c).

    Example:
        >>> lstm = lt.nn.LSTM(10, 20, bidirectional=True, batch_first=True)
        >>> out, (h, c) = lstm(lt.randn(3, 5, 10))
        >>> out.shape, h.shape, c.shape
        ((3, 5, 40), (2, 3, 20), (2, 3, 20))
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
        proj_size: int = 0,
        device: Any = None,
        dtype: DType | None = None,
        *,
        learn_initial_state: bool = False,
    ) -> None:
        self.proj_size = size("LSTM", "proj_size", proj_size, 0)
        if proj_size and isinstance(hidden_size, int) and proj_size >= hidden_size:
            raise ValueError(f"LSTM: proj_size must be below hidden_size {hidden_size}, got {proj_size}")
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype,
            learn_initial_state=learn_initial_state,
        )  # fmt: skip


class GRU(GRUForm, RecurrentLayer):
    """Gated recurrent units (Cho et al. 2014).

    ``h' = (1 - z) n + z h`` with ``r, z = s(W_ih x + b_ih + W_hh h + b_hh)``. As in PyTorch the reset gate
    acts after the product, ``n = tanh(W_in x + b_in + r (W_hn h + b_hn))``; with ``reset_after=False`` before
    it, as in the paper, ``n = tanh(W_in x + b_in + W_hn (r h) + b_hn)``. Inputs, ``lengths=`` and outputs are
    those of ``RNN``.

    Example:
        >>> gru = lt.nn.GRU(10, 20, reset_after=False)
        >>> gru
        GRU(10, 20, reset_after=False)
        >>> out, h = gru(lt.randn(5, 3, 10))
        >>> out.shape, h.shape
        ((5, 3, 20), (1, 3, 20))
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
        reset_after: bool = True,
        learn_initial_state: bool = False,
    ) -> None:
        self._set_reset(reset_after)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype,
            learn_initial_state=learn_initial_state,
        )  # fmt: skip
