"""Casts and copies, also between devices, and their gradients."""

from __future__ import annotations

from typing import Any

from ..autograd.tape import One, op


@op
def cast(k: Any, x: Any, dtype: Any) -> One:
    """The same values in another dtype."""
    return k.cast(x, dtype), (x.dtype,)


@cast.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.cast(g, saved[0]),)


@op
def clone(k: Any, x: Any) -> One:
    """A copy with memory of its own; gradients flow through it.

    Example:
        >>> x = lt.zeros(2)
        >>> y = x.clone()
        >>> y[0] = 5
        >>> x, y
        (tensor([0., 0.]), tensor([5., 0.]))
    """
    return k.clone(x), ()


@clone.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (g,)


@op
def contiguous(k: Any, x: Any) -> One:
    """The tensor in row-major memory."""
    return k.contiguous(x), ()


@contiguous.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (g,)


@op
def overwrite(k: Any, x: Any, src: Any) -> One:
    """``src``, broadcast and cast to what ``x`` is; to the old ``x`` flows a gradient of 0."""
    return k.clone(k.expand(k.cast(src, x.dtype), list(x.shape))), (k.meta(x), k.meta(src))


@overwrite.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    mx, my = saved
    return need[0] and k.zeros_of(mx), need[1] and k.sum_to(g, my)


@op
def to_gpu(k: Any, x: Any) -> One:
    """A copy on the GPU."""
    return k.to_gpu(x), ()


@to_gpu.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.to_cpu(g),)


@op
def to_cpu(k: Any, x: Any) -> One:
    """A copy on the CPU."""
    return k.to_cpu(x), ()


@to_cpu.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.to_gpu(g),)
