"""Reductions and their gradients."""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from ..autograd.tape import One, Two, op, plain
from ._docs import DOCS

_ALL: tuple[int, ...] = ()


def _axes(dim: Any, ndim: int) -> list[int]:
    """Normalised axes; None or () means all."""
    if dim is None or (not isinstance(dim, int) and len(dim) == 0):
        return list(range(ndim))
    dims = [dim] if isinstance(dim, int) else list(dim)
    return [d % max(ndim, 1) for d in dims] if ndim else []


def _kept(meta: Any, dim: Any) -> list[int]:
    """The reduced shape with the reduced axes kept at size 1."""
    shape = list(meta.shape)
    for a in _axes(dim, len(shape)):
        shape[a] = 1
    return shape


def _spread(k: Any, g: Any, meta: Any, dim: Any) -> Any:
    """``g`` seen in the shape before the reduction."""
    return k.expand(k.reshape(g, _kept(meta, dim)), list(meta.shape))


def _count(meta: Any, dim: Any) -> int:
    return math.prod(meta.shape[a] for a in _axes(dim, len(meta.shape)))


@op
def sum(k: Any, x: Any, dim: Any = _ALL, keepdim: bool = False, dtype: Any = None) -> One:
    """The sum over the axes ``dim`` (all by default); integers sum as int64.

    ``dtype`` casts before adding. Errors: IndexError for an axis that does not exist.

    Example:
        >>> x = lt.tensor([[1, 2], [3, 4]])
        >>> lt.sum(x), lt.sum(x, 0), lt.sum(x, dim=1, keepdim=True).shape
        (tensor(10), tensor([4, 6]), (2, 1))
    """
    return k.sum(x, dim, keepdim, dtype), (k.meta(x), dim)


@sum.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    meta, dim = saved
    return (k.cast(_spread(k, g, meta, dim), meta.dtype),)


@op
def mean(k: Any, x: Any, dim: Any = _ALL, keepdim: bool = False, dtype: Any = None) -> One:
    """The mean over the axes ``dim`` (all by default) of floats.

    NaN of nothing. Errors: TypeError for integers without a ``dtype`` of floats, IndexError for an axis that
    does not exist.

    Example:
        >>> x = lt.tensor([[1.0, 2.0], [3.0, 5.0]])
        >>> lt.mean(x), lt.mean(x, 0), lt.mean(lt.tensor([1, 2]), dtype=lt.float32)
        (tensor(2.7500), tensor([2.0000, 3.5000]), tensor(1.5000))
    """
    return k.mean(x, dim, keepdim, dtype), (k.meta(x), dim)


@mean.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    meta, dim = saved
    n = _count(meta, dim)
    return (k.cast(_spread(k, k.div(g, n) if n else g, meta, dim), meta.dtype),)


@op
def sum_to(k: Any, x: Any, meta: Any) -> One:
    """The sum over broadcast axes, cast: the shape and dtype of ``meta``."""
    out = k.sum_to(x, meta)
    return (out if out is not x else x.detach()), (k.meta(x),)


@sum_to.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    (meta,) = saved
    return (k.cast(k.expand(g, list(meta.shape)), meta.dtype),)


@op
def prod(k: Any, x: Any, dim: Any = _ALL, keepdim: bool = False, dtype: Any = None) -> One:
    """The product over the axes ``dim`` (all by default).

    1 of nothing; integers multiply as int64.

    Example:
        >>> x = lt.tensor([[1, 2], [3, 4]])
        >>> lt.prod(x), lt.prod(x, 1)
        (tensor(24), tensor([ 2, 12]))
    """
    return k.prod(x, dim, keepdim, dtype), (x, dim)


def _shifted(k: Any, first: Any, x: Any, axis: int) -> Any:
    """``x`` moved on by one along ``axis``, with ``first`` in front."""
    n = k.meta(x).shape[axis]
    return k.cat([first, k.narrow(x, axis, 0, n - 1)], axis) if n else x


@prod.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    # The product of all others, made of two exclusive running products: right with zeros too.
    x, dim = saved
    meta = k.meta(x)
    axes = _axes(dim, len(meta.shape))
    rest = [a for a in range(len(meta.shape)) if a not in axes]
    order = rest + axes
    lead = [meta.shape[a] for a in rest]
    flat = k.reshape(k.permute(x, order), [*lead, -1] if 0 not in meta.shape else [*lead, _count(meta, dim)])
    last = len(rest)
    one = _core.full([*lead, 1], 1.0, meta.dtype)
    before = k.cumprod(_shifted(k, one, flat, last), last)
    mirrored = k.flip(flat, [last])
    after = k.flip(k.cumprod(_shifted(k, one, mirrored, last), last), [last])
    others = k.reshape(k.mul(before, after), [meta.shape[a] for a in order])
    back = [order.index(a) for a in range(len(order))]
    return (k.mul(_spread(k, g, meta, dim), k.permute(others, back)),)


def _extreme(name: str):
    def forward(k: Any, x: Any, dim: Any = _ALL, keepdim: bool = False) -> One:
        out = getattr(k, name)(x, dim, keepdim)
        return out, (x, out, dim)

    forward.__name__ = forward.__qualname__ = name
    forward.__doc__ = DOCS[name]
    made = op(forward)

    @made.vjp
    def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
        x, out, dim = saved
        meta = k.meta(x)
        hits = k.cast(k.eq(x, k.reshape(out, _kept(meta, dim))), meta.dtype)
        share = k.div(hits, k.sum(hits, tuple(_axes(dim, len(meta.shape))), True))
        return (k.mul(_spread(k, g, meta, dim), share),)

    return made


amax = _extreme("amax")
amin = _extreme("amin")


def _with_indices(name: str):
    def forward(k: Any, x: Any, dim: int, keepdim: bool = False) -> Two:
        values, indices = getattr(k, name)(x, dim, keepdim)
        return (values, indices), (indices, k.meta(x), dim, keepdim)

    forward.__name__ = forward.__qualname__ = name
    forward.__doc__ = f"The {name[:3]}imum along ``dim`` and where it is."
    made = op(forward)

    @made.vjp
    def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
        indices, meta, dim, keepdim = saved
        if not keepdim and len(meta.shape):
            g, indices = (
                k.unsqueeze(g, dim % len(meta.shape)),
                k.unsqueeze(indices, dim % len(meta.shape)),
            )
        return (k.scatter_add(k.zeros_of(meta), dim, indices, g),)

    return made


max_dim = _with_indices("max_dim")
min_dim = _with_indices("min_dim")


@op
def var(k: Any, x: Any, dim: Any, keepdim: bool, correction: float) -> One:
    """The variance over the axes ``dim``, divided by ``n - correction``."""
    return k.var(x, dim, keepdim, correction), (x, dim, correction)


@var.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, dim, correction = saved
    return (k.mul(_spread(k, g, k.meta(x), dim), _var_slope(k, x, dim, correction)),)


def _var_slope(k: Any, x: Any, dim: Any, correction: float) -> Any:
    """The derivative of the variance: ``2 (x - mean) / (n - correction)``."""
    meta = k.meta(x)
    n = max(_count(meta, dim) - correction, 0.0)
    centred = k.sub(x, k.mean(x, tuple(_axes(dim, len(meta.shape))), True))
    return k.mul(centred, 2.0 / n if n else math.nan)


@op
def std(k: Any, x: Any, dim: Any, keepdim: bool, correction: float) -> One:
    """The root of the variance; the gradient where it is 0 is 0."""
    out = k.sqrt(k.var(x, dim, keepdim, correction))
    return out, (x, out, dim, correction)


@std.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, out, dim, correction = saved
    flat = k.eq(out, 0)
    g = k.where(flat, 0.0, k.div(g, k.mul(k.where(flat, 1.0, out), 2.0)))
    return (k.mul(_spread(k, g, k.meta(x), dim), _var_slope(k, x, dim, correction)),)


@op
def logsumexp(k: Any, x: Any, dim: Any, keepdim: bool = False) -> One:
    """``log(sum(exp(x)))`` over the axes ``dim`` without overflow.

    Errors: IndexError for an axis that does not exist.

    Example:
        >>> lt.logsumexp(lt.tensor([[1000.0, 1000.0], [0.0, -lt.inf]]), 1)
        tensor([1000.6932,    0.0000])
    """
    out = k.logsumexp(x, dim, keepdim)
    return out, (x, out, dim)


@logsumexp.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, out, dim = saved
    meta = k.meta(x)
    return (k.mul(_spread(k, g, meta, dim), k.exp(k.sub(x, k.reshape(out, _kept(meta, dim))))),)


@op
def norm_p(k: Any, x: Any, p: float, dim: Any = _ALL, keepdim: bool = False) -> One:
    """The p-norm over the axes ``dim``."""
    out = k.norm_p(x, p, dim, keepdim)
    return out, (x, out, p, dim)


@norm_p.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, out, p, dim = saved
    meta = k.meta(x)
    if p == 0:
        return (k.zeros_of(meta),)
    out, g = k.reshape(out, _kept(meta, dim)), _spread(k, g, meta, dim)
    if p == 1:
        return (k.mul(g, k.sign(x)),)
    if math.isinf(p):
        hits = k.mul(k.sign(x), k.cast(k.eq(k.abs(x), out), meta.dtype))
        return (k.mul(g, k.div(hits, k.sum(k.abs(hits), tuple(_axes(dim, len(meta.shape))), True))),)
    # At the origin every direction goes up: 0 is the subgradient that keeps training alive.
    zero = k.eq(out, 0.0)
    safe = k.where(zero, 1.0, out)
    slope = k.div(x, safe) if p == 2 else k.mul(k.sign(x), k.pow(k.div(k.abs(x), safe), p - 1.0))
    return (k.mul(g, k.where(zero, 0.0, slope)),)


any, all = _core.any, _core.all


# Without gradients. The names of the arguments are PyTorch's.


_count_nonzero, _argmax, _argmin = plain("count_nonzero"), plain("argmax"), plain("argmin")
any_of, all_of = plain("any"), plain("all")


def count_nonzero(input: Any, dim: Any = None) -> Any:
    """How many elements are not zero, over the axes ``dim`` (all by default).

    int64; NaN is not zero.

    Example:
        >>> x = lt.tensor([[0, 3], [0, 0], [1, 2]])
        >>> lt.count_nonzero(x), lt.count_nonzero(x, 1)
        (tensor(3), tensor([1, 0, 2]))
    """
    return _count_nonzero(input, dim)


def argmax(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Where the largest element is: in the flat tensor, or along ``dim``; the first of equals.

    int64; NaN counts as the largest. Errors: IndexError for an empty tensor or axis.

    Example:
        >>> x = lt.tensor([[1, 9], [7, 7]])
        >>> lt.argmax(x), lt.argmax(x, 1)
        (tensor(1), tensor([1, 0]))
    """
    return _argmax(input, dim, keepdim)


def argmin(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Where the smallest element is: in the flat tensor, or along ``dim``; the first of equals.

    int64; NaN counts as the smallest. Errors: IndexError for an empty tensor or axis.

    Example:
        >>> lt.argmin(lt.tensor([[4.0, 9.0], [3.0, 2.0]]), dim=0, keepdim=True)
        tensor([[1, 1]])
    """
    return _argmin(input, dim, keepdim)


meta, zeros_of = _core.meta, _core.zeros_of
