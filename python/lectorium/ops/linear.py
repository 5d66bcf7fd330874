"""Matrix products and their gradients."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._core import Tensor, note, recording
from ..autograd.tape import One, op
from .elementwise import _wants
from .unary import computed_relu, relu


@op
def matmul(k: Any, x: Any, y: Any) -> One:
    """The product of vectors, matrices or batches of matrices (broadcast).

    Shapes: ``[..., n, k]`` and ``[..., k, m]`` give ``[..., n, m]``; a vector counts as a row on the left and
    as a column on the right. Errors: ShapeError for shapes that do not fit.

    Example:
        >>> a = lt.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> lt.matmul(a, lt.tensor([1.0, 10.0])), lt.matmul(a, a)
        (tensor([21., 43.]), tensor([[ 7., 10.],
                [15., 22.]]))
    """
    return k.matmul(x, y), (x if _wants(y) else None, y if _wants(x) else None, k.meta(x), k.meta(y))


@matmul.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, y, mx, my = saved
    nx, ny = len(mx.shape), len(my.shape)
    if nx == 1 and ny == 1:
        return need[0] and k.mul(g, y), need[1] and k.mul(g, x)
    if nx == 1:
        # [K] @ [..., K, N]: as a matrix of one row.
        g = k.unsqueeze(g, -2)
        dx = need[0] and k.sum_to(k.squeeze(k.matmul(g, k.transpose(y, -1, -2)), (-2,)), mx)
        return dx, need[1] and k.sum_to(k.matmul(k.unsqueeze(x, -1), g), my)
    if ny == 1:
        g = k.unsqueeze(g, -1)
        dx = need[0] and k.sum_to(k.matmul(g, k.unsqueeze(y, 0)), mx)
        return dx, need[1] and k.sum_to(k.squeeze(k.matmul(k.transpose(x, -1, -2), g), (-1,)), my)
    dx = need[0] and k.sum_to(k.matmul(g, k.transpose(y, -1, -2)), mx)
    return dx, need[1] and k.sum_to(k.matmul(k.transpose(x, -1, -2), g), my)


def _kept(k: Any, x: Any, w: Any) -> tuple[Any, ...]:
    return x if _wants(w) else None, w if _wants(x) else None, k.meta(x), k.meta(w)


@op
def linear(k: Any, x: Any, w: Any, b: Any = None) -> One:
    """``x wᵀ + b`` over the last axis of ``x``."""
    return k.linear(x, w, b), _kept(k, x, w)


@linear.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, w, mx, mw = saved
    rows = 1
    for d in mx.shape[:-1]:
        rows *= d
    flat = k.reshape(g, [rows, mw.shape[0]])
    dx = need[0] and k.reshape(k.matmul(flat, w), list(mx.shape))
    dw = need[1] and k.matmul(k.transpose(flat, 0, 1), k.reshape(x, [rows, mx.shape[-1]]))
    return dx, dw, len(need) > 2 and need[2] and k.sum(flat, (0,))


def linear_relu(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """``relu(linear(x, w, b))``, the ReLU while the product is written; on the tape they are two."""
    if recording():
        # A recorder sees what is on the tape.
        return relu(linear(x, w, b))
    y = _core.linear(x, w, b, True)
    note(linear.op, (x, w, b), y, _kept(_core, x, w))
    return computed_relu(y)
