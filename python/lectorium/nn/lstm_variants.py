"""LSTMs with peepholes, with layer normalisation, and with all gates in one matrix."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._core import Tensor
from ..ops.cells import LAYER_NORM_EPS, split
from ..ops.recurrent import HALF
from . import init
from ._recurrent import Form, RecurrentCell, Shapes
from ._recurrent_layer import RecurrentLayer


class _TwoStates(Form):
    gates = 4

    def _state_sizes(self) -> dict[str, int]:
        return {"h": self.hidden_size, "c": self.hidden_size}


class ConcatForm(_TwoStates):
    """What ``ConcatLSTM`` and ``ConcatLSTMCell`` have in common."""

    kind = "lstm"
    slots = ("weight_xh", "bias_xh")
    one_map = False

    def _shapes(self, inputs: int) -> Shapes:
        n = 4 * self.hidden_size
        weight = {"weight_xh": (n, inputs + self.hidden_size)}
        return {**weight, "bias_xh": (n,)} if self.bias else weight

    def _prepare(self, k: Any, x: Any, w: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        weight, bias = w
        w_ih, w_hh = split(k, weight, [weight.shape[1] - self.hidden_size, self.hidden_size], 1)
        return k.linear(x, w_ih, bias), (w_hh, None)


class PeepholeForm(_TwoStates):
    """What ``PeepholeLSTM`` and ``PeepholeLSTMCell`` have in common."""

    kind = "peephole_lstm"
    slots = (*Form.slots, "weight_ch")

    def _shapes(self, inputs: int) -> Shapes:
        return {**super()._shapes(inputs), "weight_ch": (3 * self.hidden_size,)}

    def _prepare(self, k: Any, x: Any, w: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        *usual, w_ch = w
        gates, (w_hh,) = super()._prepare(k, x, tuple(usual))
        return gates, (w_hh, w_ch)


class LayerNormForm(_TwoStates):
    """What ``LayerNormLSTM`` and ``LayerNormLSTMCell`` have in common."""

    kind = "layer_norm_lstm"
    one_map = False
    slots = (
        "weight_ih", "weight_hh", "weight_ln_ih", "weight_ln_hh", "weight_ln_ch", "bias_ih", "bias_ln_ch",
    )  # fmt: skip

    def _shapes(self, inputs: int) -> Shapes:
        h, n = self.hidden_size, 4 * self.hidden_size
        weights = {"weight_ih": (n, inputs), "weight_hh": (n, h)}
        gains = {"weight_ln_ih": (n,), "weight_ln_hh": (n,), "weight_ln_ch": (h,)}
        biases = {"bias_ih": (n,), "bias_ln_ch": (h,)} if self.bias else {}
        return {**weights, **gains, **biases}

    def _prepare(self, k: Any, x: Any, w: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        w_ih, w_hh, gain_ih, gain_hh, gain_ch, b_ih, b_ch = w
        gates, dtype = k.linear(x, w_ih), x.dtype
        if dtype in HALF:
            # Layer normalisation has kernels of float32 and float64 only.
            gates, gain_ih, b_ih = (
                None if t is None else k.cast(t, _core.float32) for t in (gates, gain_ih, b_ih)
            )
        gates = k.layer_norm(gates, 1, gain_ih, b_ih, LAYER_NORM_EPS)[0]
        return k.cast(gates, dtype) if dtype in HALF else gates, (w_hh, gain_hh, gain_ch, b_ch)

    def _reset(self, name: str, p: Tensor, bound: float) -> None:
        if name.startswith("weight_ln"):
            init.ones_(p)
        elif name.startswith("bias"):
            init.zeros_(p)
        else:
            super()._reset(name, p, bound)


class ConcatLSTM(ConcatForm, RecurrentLayer):
    """An LSTM whose gates are one matrix on x and h joined: ``i, f, g, o = W [x; h] + b``.

    It computes what ``LSTM`` does: ``weight_xh`` is ``weight_ih`` beside ``weight_hh``, ``bias_xh`` the sum
    of both biases. Arguments, inputs and outputs are those of ``LSTM``, without ``proj_size``.

    Example:
        >>> lstm = lt.nn.ConcatLSTM(10, 20)
        >>> out, (h, c) = lstm(lt.randn(5, 3, 10))
        >>> out.shape, lstm.weight_xh_l0.shape
        ((5, 3, 20), (80, 30))
    """


class PeepholeLSTM(PeepholeForm, RecurrentLayer):
    """An LSTM whose gates see the cell (Gers et al. 2002): i and f the old c, o the new one.

    ``weight_ch`` holds the three vectors p_i, p_f, p_o of ``i = s(... + p_i c)``. All else, the other
    parameters' names too, is as in ``LSTM``, without ``proj_size``.

    Example:
        >>> out, (h, c) = lt.nn.PeepholeLSTM(10, 20)(lt.randn(5, 3, 10))
        >>> out.shape, c.shape
        ((5, 3, 20), (1, 3, 20))
    """


class LayerNormLSTM(LayerNormForm, RecurrentLayer):
    """A layer-normalised LSTM (Ba et al. 2016, supplement).

    ``i, f, g, o = LN(W_ih x) + LN(W_hh h) + b``, ``c' = s(f) c + s(i) tanh(g)``, ``h' = s(o) tanh(LN(c'))``,
    where LN normalises over all gates of a step together.

    ``weight_ln_ih``, ``weight_ln_hh`` and ``weight_ln_ch`` are the gains, at first 1; ``bias_ih`` is the sum
    of the paper's biases of the gates and ``bias_ln_ch`` that of c, at first 0. The variance grows by 1e-5.
    All else is as in ``LSTM``, without ``proj_size``.

    Example:
        >>> out, (h, c) = lt.nn.LayerNormLSTM(10, 20)(lt.randn(5, 3, 10))
        >>> out.shape, c.shape
        ((5, 3, 20), (1, 3, 20))
    """


class ConcatLSTMCell(ConcatForm, RecurrentCell):
    """One step of ``ConcatLSTM``, as ``LSTMCell``.

    Example:
        >>> h, c = lt.nn.ConcatLSTMCell(10, 20)(lt.randn(3, 10))
        >>> h.shape
        (3, 20)
    """


class PeepholeLSTMCell(PeepholeForm, RecurrentCell):
    """One step of ``PeepholeLSTM``, as ``LSTMCell``.

    Example:
        >>> h, c = lt.nn.PeepholeLSTMCell(10, 20)(lt.randn(3, 10))
        >>> h.shape
        (3, 20)
    """


class LayerNormLSTMCell(LayerNormForm, RecurrentCell):
    """One step of ``LayerNormLSTM``, as ``LSTMCell``.

    Example:
        >>> h, c = lt.nn.LayerNormLSTMCell(10, 20)(lt.randn(3, 10))
        >>> h.shape
        (3, 20)
    """
