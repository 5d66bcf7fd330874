"""Tensors joined and split along an axis, and their gradients."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from .. import _core
from .._core import Op, Tensor, note
from ..autograd.tape import One, op


@functools.cache
def _split_in(n: int) -> Op:
    """The operation that gives ``n`` results: its node has a place for the gradient of each."""
    made = Op("split", n)

    def forward(k: Any, x: Any, sizes: Sequence[int], dim: int) -> Any:
        starts = [sum(sizes[:i]) for i in range(n)]
        out = [k.narrow(x, dim, start, size) for start, size in zip(starts, sizes, strict=True)]
        return (out[0] if n == 1 else tuple(out)), (tuple([k.meta(t) for t in out]), dim)

    made.forward = forward

    def vjp(k: Any, g: Any, saved: Any, need: Any) -> Any:
        metas, dim = saved
        flows = (g,) if n == 1 else g
        return (k.cat([k.zeros_of(m) if f is None else f for f, m in zip(flows, metas, strict=True)], dim),)

    made.vjp = vjp
    return made


def views(x: Tensor, sizes: Sequence[int], dim: int) -> tuple[Tensor, ...]:
    """An axis in parts of the given sizes."""
    out: list[Tensor] = []
    start = 0
    for size in sizes:
        out.append(_core.narrow(x, dim, start, size))
        start += size
    return tuple(out)


def split(x: Tensor, sizes: Sequence[int], dim: int) -> tuple[Tensor, ...]:
    """An axis in parts of the given sizes, as views whose gradients are joined at once."""
    out = views(x, sizes, dim)
    if out:
        metas = tuple([_core.meta(t) for t in out])
        note(_split_in(len(out)), (x, sizes, dim), out[0] if len(out) == 1 else out, (metas, dim))
    return out


@op(name="cat")
def _cat(k: Any, *args: Any) -> One:
    *tensors, dim = args
    return k.cat(tensors, dim), (tuple(k.meta(t) for t in tensors), dim)


@_cat.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    metas, dim = saved
    axis = dim % max(len(k.meta(g).shape), 1)
    flows: list[Any] = []
    start = 0
    for meta, wanted in zip(metas, need, strict=False):
        legacy = len(meta.shape) == 1 and meta.shape[0] == 0
        n = 0 if legacy else meta.shape[axis]
        flow = None
        if wanted:
            flow = k.zeros_of(meta) if legacy else k.cast(k.cat_part(g, axis, start, n), meta.dtype)
        flows.append(flow)
        start += n
    return tuple(flows)


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors joined along an axis that exists."""
    return _cat(*tensors, dim)


@op
def cat_part(k: Any, g: Any, dim: int, start: int, length: int) -> One:
    """What flows back to one part of ``cat``: some indices of an axis, as a view or a copy."""
    return k.cat_part(g, dim, start, length), (k.meta(g), dim, start, length)


@cat_part.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    meta, dim, start, length = saved
    pads = [(0, 0)] * len(meta.shape)
    pads[dim] = (start, meta.shape[dim] - start - length)
    return (k.pad_constant(g, pads, 0),)
