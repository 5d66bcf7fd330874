"""Gathering, scattering, sorting, and their gradients."""

from __future__ import annotations

from typing import Any

from .. import _core
from ..autograd.tape import One, Two, op, plain


@op
def gather(k: Any, x: Any, dim: int, index: Any) -> One:
    """``out[i][j] = x[index[i][j]][j]`` for ``dim=0``, and so on."""
    return k.gather(x, dim, index), (k.meta(x), dim, index)


@gather.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    meta, dim, index = saved
    return (k.scatter_add(k.zeros_of(meta), dim, index, g),)


@op
def scatter(k: Any, x: Any, dim: int, index: Any, src: Any) -> One:
    """A copy of ``x`` with ``src`` written at ``index`` along ``dim``."""
    return k.scatter(x, dim, index, src), (dim, index, k.meta(src))


@scatter.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    dim, index, meta = saved
    dsrc = None
    if need[3]:
        dsrc = k.gather(g, dim, index)
        if index.shape != meta.shape:
            dsrc = k.pad_constant(dsrc, [(0, m - n) for m, n in zip(meta.shape, index.shape, strict=True)], 0)
    return need[0] and k.scatter_value(g, dim, index, 0), None, None, dsrc


@op
def scatter_value(k: Any, x: Any, dim: int, index: Any, value: Any) -> One:
    """A copy of ``x`` with one number written at ``index`` along ``dim``."""
    return k.scatter_value(x, dim, index, value), (dim, index)


@scatter_value.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.scatter_value(g, saved[0], saved[1], 0),)


@op
def scatter_add(k: Any, x: Any, dim: int, index: Any, src: Any) -> One:
    """A copy of ``x`` with ``src`` added at ``index`` along ``dim``.

    ``out[index[i][j]][j] += src[i][j]`` for ``dim=0``; what meets at one place adds up. Shapes: ``index`` of
    integers with as many axes as ``x``, nowhere larger than ``src``. Errors: IndexError for an index out of
    range, ShapeError for shapes that do not fit, TypeError for dtypes of ``x`` and ``src`` that differ.

    Example:
        >>> votes = lt.tensor([0, 2, 2, 2])
        >>> lt.scatter_add(lt.zeros(3), 0, votes, lt.tensor([1.0, 1.0, 1.0, 0.5]))
        tensor([1.0000, 0.0000, 2.5000])
    """
    return k.scatter_add(x, dim, index, src), (dim, index, k.meta(src))


@scatter_add.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    dim, index, meta = saved
    dsrc = None
    if need[3]:
        dsrc = k.gather(g, dim, index)
        if index.shape != meta.shape:
            dsrc = k.pad_constant(dsrc, [(0, m - n) for m, n in zip(meta.shape, index.shape, strict=True)], 0)
    return g, None, None, dsrc


@op
def index_select(k: Any, x: Any, dim: int, index: Any) -> One:
    """Whole slices of an axis, in the order of ``index``.

    Shapes: ``index`` of integers with one axis. Errors: IndexError for an index or axis out of range, or an
    index of several axes.

    Example:
        >>> x = lt.tensor([[1, 2, 3], [4, 5, 6]])
        >>> lt.index_select(x, 1, lt.tensor([2, 0, 0]))
        tensor([[3, 1, 1],
                [6, 4, 4]])
    """
    return k.index_select(x, dim, index), (k.meta(x), dim, index)


@index_select.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    meta, dim, index = saved
    axes = len(meta.shape)
    if axes == 0:
        return (k.index_add(k.zeros_of(meta), dim, index, g),)
    if not index.ndim:
        index = k.reshape(index, [1])
    return (k.index_get_grad(g, meta, [*[None] * (dim % axes), index]),)


@op
def index_add(k: Any, x: Any, dim: int, index: Any, src: Any) -> One:
    """A copy of ``x`` with the slices of ``src`` added at ``index``."""
    return k.index_add(x, dim, index, src), (dim, index)


@index_add.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    dim, index = saved
    return g, None, None, need[3] and k.index_select(g, dim, index)


@op
def embedding(k: Any, indices: Any, weight: Any, padding_idx: int | None = None) -> One:
    """Rows of ``weight`` at any shape of indices."""
    flat = k.reshape(indices, [-1]) if indices.numel() else k.reshape(indices, [0])
    rows = k.index_select(weight, 0, flat)
    shape = [*indices.shape, *weight.shape[1:]]
    return k.reshape(rows, shape), (k.meta(weight), flat, padding_idx)


@embedding.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    meta, flat, padding_idx = saved
    rows = k.reshape(g, [flat.numel(), *meta.shape[1:]])
    grad = k.index_get_grad(rows, meta, [flat])
    if padding_idx is not None:
        keep = _core.full([meta.shape[0], *[1] * (len(meta.shape) - 1)], 1.0, meta.dtype)
        _core.fill_into(_core.narrow(keep, 0, padding_idx, 1), 0.0)
        grad = k.mul(grad, keep)
    return None, grad


@op
def index_get(k: Any, x: Any, indices: Any) -> One:
    """Advanced indexing: a tensor of ints or bools for each indexed axis, None for a whole one."""
    return k.index_get(x, indices), (k.meta(x), indices, *[i for i in indices if i is not None])


@index_get.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.index_get_grad(g, saved[0], saved[1]),)


@op
def index_get_grad(k: Any, g: Any, meta: Any, indices: Any) -> One:
    """Zeros with ``g`` added where the indices point."""
    return k.index_get_grad(g, meta, indices), (indices, *[i for i in indices if i is not None])


@index_get_grad.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.index_get(g, saved[0]),)


@op
def index_put(k: Any, x: Any, value: Any, indices: Any, accumulate: bool = False) -> One:
    """A copy of ``x`` with ``value`` (broadcast) written or added where the indices point."""
    found = [i for i in indices if i is not None]
    return k.index_put(x, value, indices, accumulate), (k.meta(value), indices, accumulate, *found)


@index_put.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    meta, indices, accumulate = saved[:3]
    dx = need[0] and (g if accumulate else k.index_put(g, _core.full([], 0.0, meta.dtype), indices))
    return dx, need[1] and k.sum_to(k.index_get(g, indices), meta)


@op
def masked_fill(k: Any, x: Any, mask: Any, value: Any) -> One:
    """A copy of ``x`` with one number where the mask holds."""
    return k.masked_fill(x, mask, value), (mask, k.meta(x))


@masked_fill.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    mask, meta = saved
    return (k.sum_to(k.masked_fill(g, mask, 0), meta),)


def _sorting(name: str, doc: str, dim_at: int):
    def forward(k: Any, x: Any, *args: Any) -> Two:
        values, indices = getattr(k, name)(x, *args)
        return (values, indices), (indices, k.meta(x), args[dim_at])

    forward.__name__, forward.__doc__ = name, doc
    made = op(forward)

    @made.vjp
    def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
        indices, meta, dim = saved
        if len(meta.shape) > len(indices.shape):
            axis = dim % len(meta.shape)
            g, indices = k.unsqueeze(g, axis), k.unsqueeze(indices, axis)
        return (k.scatter_add(k.zeros_of(meta), dim, indices, g),)

    return made


sort = _sorting("sort", "Values in order along an axis, and where they were.", 0)
topk = _sorting("topk", "The k largest (or smallest) values along an axis, and where they were.", 1)
kthvalue = _sorting("kthvalue", "The k-th smallest value along an axis, and where it was.", 1)
median_dim = _sorting("median_dim", "The lower median along an axis, and where it was.", 0)


@op
def median(k: Any, x: Any) -> One:
    """The lower median of all elements; ties share the gradient."""
    out = k.median_dim(k.reshape(x, [x.numel()]), 0)[0]
    return out, (x, out)


@median.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, out = saved
    hits = _core.cast(_core.eq(x, out) if out.item() == out.item() else _core.isnan(x), x.dtype)
    return (k.mul(g, _core.div(hits, _core.sum(hits))),)


nonzero, one_hot, bincount, searchsorted, unique = (
    plain("nonzero"),
    plain("one_hot"),
    plain("bincount"),
    plain("searchsorted"),
    plain("unique"),
)
