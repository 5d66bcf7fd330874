"""Running sums, products and extremes, and their gradients."""

from __future__ import annotations

from typing import Any

from .. import _core
from ..autograd.tape import One, Two, op


@op
def cumsum(k: Any, x: Any, dim: int, dtype: Any = None) -> One:
    """Running sums along ``dim``."""
    return k.cumsum(x, dim, dtype), (k.meta(x), dim)


@cumsum.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    meta, dim = saved
    return (k.cast(k.cumsum_reverse(g, dim), meta.dtype),)


@op
def cumsum_reverse(k: Any, x: Any, dim: int) -> One:
    """Running sums along ``dim`` from its end."""
    return k.cumsum_reverse(x, dim), (dim,)


@cumsum_reverse.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.cumsum(g, saved[0]),)


@op
def cumprod(k: Any, x: Any, dim: int, dtype: Any = None) -> One:
    """Running products along ``dim``."""
    return k.cumprod(x, dim, dtype), (x, dim)


@cumprod.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    # dL/dx_i = sum over j >= i of g_j * prod of x up to j without i: an O(n²) table, right with zeros.
    x, dim = saved
    meta = k.meta(x)
    if not meta.shape:
        return (g,)
    axis = dim % len(meta.shape)
    n = meta.shape[axis]
    rows: list[Any] = []
    for i in range(n):
        ones = _core.full([1 if a == axis else d for a, d in enumerate(meta.shape)], 1.0, meta.dtype)
        head = k.narrow(x, axis, 0, i)
        tail = k.narrow(x, axis, i + 1, n - i - 1)
        products = k.cumprod(k.cat([head, ones, tail], axis), axis)
        part = k.mul(k.narrow(products, axis, i, n - i), k.narrow(g, axis, i, n - i))
        rows.append(k.sum(part, (axis,), True))
    return (k.cat(rows, axis) if rows else k.zeros_of(meta),)


@op
def logcumsumexp(k: Any, x: Any, dim: int) -> One:
    """``log(cumsum(exp(x)))`` without overflow.

    Example:
        >>> lt.logcumsumexp(lt.tensor([0.0, 0.0, 0.0, 1000.0]), 0)
        tensor([0.0000e+00, 6.9315e-01, 1.0986e+00, 1.0000e+03])
    """
    out = k.logcumsumexp(x, dim)
    return out, (x, out, dim)


@logcumsumexp.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, out, dim = saved
    if 0 in k.meta(x).shape:
        return (g,)
    # Shifted by the largest value of x, so that neither factor overflows.
    shift = _core.amax(x.detach(), (dim,), True)
    weighted = k.cumsum_reverse(k.mul(g, k.exp(k.sub(shift, out))), dim)
    return (k.mul(k.exp(k.sub(x, shift)), weighted),)


def _running_extreme(name: str):
    def forward(k: Any, x: Any, dim: int) -> Two:
        values, indices = getattr(k, name)(x, dim)
        return (values, indices), (indices, k.meta(x), dim)

    forward.__name__ = forward.__qualname__ = name
    forward.__doc__ = f"The running {name[3:]}imum along ``dim`` and where it is."
    made = op(forward)

    @made.vjp
    def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
        indices, meta, dim = saved
        return (k.scatter_add(k.zeros_of(meta), dim, indices, g),)

    return made


cummax = _running_extreme("cummax")
cummin = _running_extreme("cummin")
