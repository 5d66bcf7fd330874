"""Views and moves of whole tensors, and their gradients."""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from ..autograd.tape import One, op
from ._docs import DOCS


@op
def reshape(k: Any, x: Any, shape: Any) -> One:
    """The same elements in another shape; a view where strides allow it."""
    return k.reshape(x, shape), (k.meta(x),)


@reshape.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.reshape(g, list(saved[0].shape)),)


@op
def view(k: Any, x: Any, shape: Any) -> One:
    """As reshape, but never a copy: an error where strides do not allow it."""
    return k.view(x, shape), (k.meta(x),)


@view.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.reshape(g, list(saved[0].shape)),)


@op
def permute(k: Any, x: Any, dims: Any) -> One:
    """The axes in another order."""
    return k.permute(x, dims), (dims,)


@permute.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    dims = [d % len(saved[0]) for d in saved[0]]
    return (k.permute(g, [dims.index(i) for i in range(len(dims))]),)


@op
def transpose(k: Any, x: Any, dim0: int, dim1: int) -> One:
    """Two axes swapped.

    A view. Errors: IndexError for an axis that does not exist.

    Example:
        >>> lt.transpose(lt.tensor([[1, 2, 3], [4, 5, 6]]), 0, 1)
        tensor([[1, 4],
                [2, 5],
                [3, 6]])
    """
    return k.transpose(x, dim0, dim1), (dim0, dim1)


@transpose.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.transpose(g, *saved),)


@op
def expand(k: Any, x: Any, shape: Any) -> One:
    """Broadcast to a shape without a copy; -1 keeps a size."""
    return k.expand(x, shape), (k.meta(x),)


@expand.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.sum_to(g, saved[0]),)


@op
def squeeze(k: Any, x: Any, dims: Any = None) -> One:
    """Without axes of size 1: all, or those named."""
    return k.squeeze(x, dims), (k.meta(x),)


@squeeze.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.reshape(g, list(saved[0].shape)),)


@op
def unsqueeze(k: Any, x: Any, dim: int) -> One:
    """With a new axis of size 1 at ``dim``.

    A view. Errors: IndexError for an axis out of range; -1 is the last.

    Example:
        >>> x = lt.tensor([1, 2])
        >>> lt.unsqueeze(x, 0), lt.unsqueeze(x, -1).shape
        (tensor([[1, 2]]), (2, 1))
    """
    return k.unsqueeze(x, dim), (k.meta(x),)


@unsqueeze.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.reshape(g, list(saved[0].shape)),)


@op
def narrow(k: Any, x: Any, dim: int, start: int, length: int) -> One:
    """``length`` indices of an axis from ``start``, as a view.

    Errors: IndexError where it reaches beyond the axis.

    Example:
        >>> lt.narrow(lt.tensor([[1, 2, 3, 4]]), 1, 1, 2)
        tensor([[2, 3]])
    """
    return k.narrow(x, dim, start, length), (k.meta(x), dim, start, length)


@narrow.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    meta, dim, start, length = saved
    axis = dim % len(meta.shape)
    pads = [(0, 0)] * len(meta.shape)
    start = start % max(meta.shape[axis], 1) if start < 0 else start
    pads[axis] = (start, meta.shape[axis] - start - length)
    return (k.pad_constant(g, pads, 0),)


@op
def as_strided(k: Any, x: Any, size: Any, stride: Any, storage_offset: Any = None) -> One:
    """A view of the storage with any strides.

    Elements may be shared. Errors: ShapeError where it reaches beyond the storage, ValueError for negative
    strides.

    Example:
        >>> lt.as_strided(lt.arange(5), (3, 3), (1, 1))
        tensor([[0, 1, 2],
                [1, 2, 3],
                [2, 3, 4]])
    """
    out = k.as_strided(x, size, stride, storage_offset)
    base = (x.shape, x.stride(), x.storage_offset())
    return out, ((out.shape, out.stride(), out.storage_offset()), base)


@as_strided.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    from ..autograd import inplace

    return inplace.view_vjp(k, g, saved, need)


@op
def as_strided_scatter_add(k: Any, g: Any, extent: int, offset: int, stride: Any) -> One:
    """``extent`` zeros, with each element of ``g`` added where the strides put it."""
    return k.as_strided_scatter_add(g, extent, offset, stride), (k.meta(g), offset, stride)


@as_strided_scatter_add.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    from ..autograd import inplace

    meta, offset, stride = saved
    return (inplace.pick(k, k.contiguous(g), (meta.shape, stride, offset), 0),)


@op
def diagonal(k: Any, x: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> One:
    """The diagonal of two axes, as a view with the diagonal last.

    Errors: IndexError for an axis that does not exist, ValueError for the same axis twice.

    Example:
        >>> x = lt.arange(9).reshape(3, 3)
        >>> lt.diagonal(x), lt.diagonal(x, 1), lt.diagonal(x, -2)
        (tensor([0, 4, 8]), tensor([1, 5]), tensor([6]))
    """
    return k.diagonal(x, offset, dim1, dim2), (k.meta(x), offset, dim1, dim2)


@diagonal.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.diagonal_grad(g, *saved),)


@op
def diagonal_grad(k: Any, g: Any, meta: Any, offset: int, dim1: int, dim2: int) -> One:
    """Zeros with ``g`` on the diagonal."""
    return k.diagonal_grad(g, meta, offset, dim1, dim2), (offset, dim1, dim2)


@diagonal_grad.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.diagonal(g, *saved),)


@op
def unfold(k: Any, x: Any, dimension: int, size: int, step: int) -> One:
    """Windows of ``size`` along an axis, ``step`` apart, as a view with the window last.

    Errors: ShapeError for a window that does not fit, ValueError for a step below 1.

    Example:
        >>> lt.arange(6).unfold(0, 3, 1)
        tensor([[0, 1, 2],
                [1, 2, 3],
                [2, 3, 4],
                [3, 4, 5]])
    """
    return k.unfold(x, dimension, size, step), (k.meta(x), dimension, step)


@unfold.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    # Where the windows of a row-major tensor of that shape lie in its memory.
    meta, dimension, step = saved
    shape = list(meta.shape)
    if not shape:
        return (k.reshape(g, []),)
    strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    axis: int = dimension % len(shape)
    windows: list[int] = [*strides[:axis], strides[axis] * step, *strides[axis + 1 :], strides[axis]]
    return (k.reshape(k.as_strided_scatter_add(g, math.prod(shape), 0, windows), shape),)


@op
def basic_index(k: Any, x: Any, index: Any) -> One:
    """The view that ints, slices, None and ... select."""
    return k.basic_index(x, index), (k.meta(x), index)


@basic_index.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.basic_index_grad(g, *saved),)


@op
def basic_index_grad(k: Any, g: Any, meta: Any, index: Any) -> One:
    """Zeros with ``g`` where the index selects."""
    return k.basic_index_grad(g, meta, index), (index,)


@basic_index_grad.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.basic_index(g, saved[0]),)


@op
def pad_constant(k: Any, x: Any, pads: Any, value: Any) -> One:
    """Each axis grown (or cropped) by (before, after), filled with ``value``."""
    return k.pad_constant(x, pads, value), (pads,)


@pad_constant.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.pad_constant(g, [(-a, -b) for a, b in saved[0]], 0),)


@op
def pad_index(k: Any, x: Any, pads: Any, mode: str) -> One:
    """The last axes grown with the tensor's own values: reflect, replicate or circular."""
    return k.pad_index(x, pads, mode), (k.meta(x), pads, mode)


@pad_index.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.pad_index_grad(g, *saved),)


@op
def pad_index_grad(k: Any, g: Any, meta: Any, pads: Any, mode: str) -> One:
    """The gradient of ``pad_index``."""
    return k.pad_index_grad(g, meta, pads, mode), (pads, mode)


@pad_index_grad.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.pad_index(g, *saved),)


@op
def flip(k: Any, x: Any, dims: Any) -> One:
    """The order along some axes reversed."""
    return k.flip(x, dims), (dims,)


@flip.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.flip(g, saved[0]),)


@op
def roll(k: Any, x: Any, shifts: Any, dims: Any) -> One:
    """Elements moved along some axes, around the ends."""
    return k.roll(x, shifts, dims), (shifts, dims)


@roll.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.roll(g, [-s for s in saved[0]], saved[1]),)


def _triangle(name: str):
    def forward(k: Any, x: Any, diagonal: int = 0) -> One:
        return getattr(k, name)(x, diagonal), (diagonal,)

    forward.__name__, forward.__doc__ = name, DOCS[name]
    made = op(forward)

    @made.vjp
    def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
        return (getattr(k, name)(g, saved[0]),)

    return made


tril = _triangle("tril")
triu = _triangle("triu")


@op
def repeat_interleave(k: Any, x: Any, repeats: int, dim: int) -> One:
    """Each element of an axis ``repeats`` times in a row."""
    return k.repeat_interleave(x, repeats, dim), (k.meta(x), repeats, dim)


@repeat_interleave.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    meta, repeats, dim = saved
    shape = list(meta.shape)
    axis = dim % len(shape)
    return (k.sum(k.reshape(g, [*shape[: axis + 1], repeats, *shape[axis + 1 :]]), (axis + 1,)),)


parse_index = _core.parse_index
