"""One step of every recurrent cell, in small operations.

``STEPS[kind](k, x, state, weights) -> (y, state)``: ``k`` is the namespace of kernels or of operations,
``x`` ``[B, G*H]`` the input's part of the gates with every bias that can be added ahead. These are the
oracle of the fused kernels, and what runs in their place under ``create_graph``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import _core
from .join import views

State = tuple[Any, ...]
Step = Callable[[Any, Any, State, Sequence[Any]], tuple[Any, State]]

# What layer normalisation adds to the variance, everywhere in a layer-normalised LSTM.
LAYER_NORM_EPS = 1e-5


def parts(k: Any, x: Any, n: int, dim: int = -1) -> tuple[Any, ...]:
    """An axis in ``n`` equal parts: the gates."""
    return split(k, x, [x.shape[dim] // n] * n, dim)


def split(k: Any, x: Any, sizes: Sequence[int], dim: int) -> tuple[Any, ...]:
    """An axis in parts of the given sizes."""
    return views(x, sizes, dim) if k is _core else k.split(x, sizes, dim)


def _rnn(activation: str) -> Step:
    def step(k: Any, x: Any, state: State, weights: Sequence[Any]) -> tuple[Any, State]:
        h = getattr(k, activation)(k.add(x, k.linear(state[0], weights[0])))
        return h, (h,)

    return step


def lstm(k: Any, x: Any, state: State, weights: Sequence[Any]) -> tuple[Any, State]:
    """Gers et al. 2000, gates i, f, g, o; ``w_hr`` (or None) projects h (Sak et al. 2014)."""
    (h, c), (w_hh, w_hr) = state, weights
    i, f, g, o = parts(k, k.add(x, k.linear(h, w_hh)), 4)
    c = k.add(k.mul(k.sigmoid(f), c), k.mul(k.sigmoid(i), k.tanh(g)))
    h = k.mul(k.sigmoid(o), k.tanh(c))
    if w_hr is not None:
        h = k.linear(h, w_hr)
    return h, (h, c)


def peephole_lstm(k: Any, x: Any, state: State, weights: Sequence[Any]) -> tuple[Any, State]:
    """Gers et al. 2002: the gates i and f see c, o sees the new c; ``p`` holds the three vectors."""
    (h, c), (w_hh, p) = state, weights
    i, f, g, o = parts(k, k.add(x, k.linear(h, w_hh)), 4)
    p_i, p_f, p_o = parts(k, p, 3)
    i, f = k.sigmoid(k.add(i, k.mul(p_i, c))), k.sigmoid(k.add(f, k.mul(p_f, c)))
    c = k.add(k.mul(f, c), k.mul(i, k.tanh(g)))
    h = k.mul(k.sigmoid(k.add(o, k.mul(p_o, c))), k.tanh(c))
    return h, (h, c)


def layer_norm_lstm(k: Any, x: Any, state: State, weights: Sequence[Any]) -> tuple[Any, State]:
    """Ba et al. 2016: ``W_hh h`` is normalised over all gates together, and so is c on its way to h.

    ``x`` is the normalised projection of the input, with its bias; weights: w_hh ``[4H, H]``, the gain of
    ``W_hh h`` ``[4H]``, the gain and the bias of c ``[H]``.
    """
    (h, c), (w_hh, gain_hh, gain_c, bias_c) = state, weights
    recurrent = k.layer_norm(k.linear(h, w_hh), 1, gain_hh, None, LAYER_NORM_EPS)[0]
    i, f, g, o = parts(k, k.add(x, recurrent), 4)
    c = k.add(k.mul(k.sigmoid(f), c), k.mul(k.sigmoid(i), k.tanh(g)))
    h = k.mul(k.sigmoid(o), k.tanh(k.layer_norm(c, 1, gain_c, bias_c, LAYER_NORM_EPS)[0]))
    return h, (h, c)


def gru(k: Any, x: Any, state: State, weights: Sequence[Any]) -> tuple[Any, State]:
    """The reset gate acts after the product, as in cuDNN and PyTorch; gates r, z, n; ``b_hh`` or None."""
    (h,), (w_hh, b_hh) = state, weights
    (x_r, x_z, x_n), (h_r, h_z, h_n) = parts(k, x, 3), parts(k, k.linear(h, w_hh, b_hh), 3)
    r, z = k.sigmoid(k.add(x_r, h_r)), k.sigmoid(k.add(x_z, h_z))
    n = k.tanh(k.add(x_n, k.mul(r, h_n)))
    h = k.add(n, k.mul(z, k.sub(h, n)))
    return h, (h,)


def gru_reset_before(k: Any, x: Any, state: State, weights: Sequence[Any]) -> tuple[Any, State]:
    """Cho et al. 2014: the reset gate acts on h before the product; gates r, z, n."""
    (h,), (w_hh,) = state, weights
    w_r, w_z, w_n = parts(k, w_hh, 3, 0)
    x_r, x_z, x_n = parts(k, x, 3)
    r, z = k.sigmoid(k.add(x_r, k.linear(h, w_r))), k.sigmoid(k.add(x_z, k.linear(h, w_z)))
    n = k.tanh(k.add(x_n, k.linear(k.mul(r, h), w_n)))
    h = k.add(n, k.mul(z, k.sub(h, n)))
    return h, (h,)


def _mut(update: Callable[[Any, Any, Any, Any], Any], products: int) -> Step:
    """Jozefowicz et al. 2015, gates z, r, h: the three differ in what the update gate z sees."""

    def step(k: Any, x: Any, state: State, weights: Sequence[Any]) -> tuple[Any, State]:
        (h,) = state
        *w_z, w_r, w_h = parts(k, weights[0], products, 0)
        x_z, x_r, x_h = parts(k, x, 3)
        z = k.sigmoid(update(k, x_z, h, w_z))
        r = k.sigmoid(k.add(x_r, k.linear(h, w_r)))
        n = k.tanh(k.add(x_h, k.linear(k.mul(r, h), w_h)))
        h = k.add(h, k.mul(z, k.sub(n, h)))
        return h, (h,)

    return step


def _input_only(k: Any, x: Any, h: Any, w: Any) -> Any:
    return x


def _with_state(k: Any, x: Any, h: Any, w: Any) -> Any:
    return k.add(x, k.linear(h, w[0]))


def _with_bent_state(k: Any, x: Any, h: Any, w: Any) -> Any:
    return k.add(x, k.linear(k.tanh(h), w[0]))


def residual_rnn(k: Any, x: Any, state: State, weights: Sequence[Any]) -> tuple[Any, State]:
    """``h' = h + tanh(x + W_hh h)``."""
    (h,) = state
    h = k.add(h, k.tanh(k.add(x, k.linear(h, weights[0]))))
    return h, (h,)


def skip_rnn(k: Any, x: Any, state: State, weights: Sequence[Any]) -> tuple[Any, State]:
    """``h' = tanh(x + W_hh h + W_skip h_k)``, h_k that of k steps ago; state: the last k, newest first."""
    w_hh, w_skip = weights
    near, far = k.linear(state[0], w_hh), k.linear(state[-1], w_skip)
    h = k.tanh(k.add(k.add(x, near), far))
    return h, (h, *state[:-1])


STEPS: dict[str, Step] = {
    "rnn_tanh": _rnn("tanh"),
    "rnn_relu": _rnn("relu"),
    "lstm": lstm,
    "gru": gru,
    "gru_reset_before": gru_reset_before,
    "mut1": _mut(_input_only, 2),
    "mut2": _mut(_with_state, 3),
    "mut3": _mut(_with_bent_state, 3),
    "peephole_lstm": peephole_lstm,
    "layer_norm_lstm": layer_norm_lstm,
    "residual_rnn": residual_rnn,
    "skip_rnn": skip_rnn,
}
