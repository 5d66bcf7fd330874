"""Pooling and its gradients."""

from __future__ import annotations

from typing import Any

from .. import _core
from ..autograd.tape import One, Two, op

PoolSpec = _core.PoolSpec


def _max(name: str, doc: str):
    def forward(k: Any, x: Any, spec: Any) -> Two:
        values, indices = getattr(k, name)(x, spec)
        return (values, indices), (indices, k.meta(x))

    forward.__name__, forward.__doc__ = name, doc
    made = op(forward)

    @made.vjp
    def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
        return (k.max_pool2d_grad(g, *saved),)

    return made


max_pool2d = _max("max_pool2d", "The largest value of each window, and its index in the plane.")
adaptive_max_pool2d = _max("adaptive_max_pool2d", "The largest value of each of the given number of windows.")


@op
def max_pool2d_grad(k: Any, g: Any, indices: Any, meta: Any) -> One:
    """``g`` added where the indices point in each plane; also max-unpooling."""
    return k.max_pool2d_grad(g, indices, meta), (indices,)


@max_pool2d_grad.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.max_pool2d_gather(g, saved[0]),)


@op
def max_pool2d_gather(k: Any, x: Any, indices: Any) -> One:
    """The values of each plane at the indices."""
    return k.max_pool2d_gather(x, indices), (indices, k.meta(x))


@max_pool2d_gather.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.max_pool2d_grad(g, *saved),)


@op(name="max_pool2d")
def max_pool2d_offsets(k: Any, x: Any, spec: Any) -> Two:
    """As ``max_pool2d``, with the place of each maximum in its window as a byte instead of an index."""
    values, offsets = k.max_pool2d_offsets(x, spec)
    return (values, offsets), (offsets, k.meta(x), spec)


@max_pool2d_offsets.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.max_pool2d_offsets_grad(g, *saved),)


@op(name="max_pool2d_grad")
def max_pool2d_offsets_grad(k: Any, g: Any, offsets: Any, meta: Any, spec: Any) -> One:
    """``g`` added where the maxima were."""
    return k.max_pool2d_offsets_grad(g, offsets, meta, spec), (offsets, spec)


@max_pool2d_offsets_grad.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.max_pool2d_offsets_gather(g, *saved),)


@op(name="max_pool2d_gather")
def max_pool2d_offsets_gather(k: Any, x: Any, offsets: Any, spec: Any) -> One:
    """The values where the maxima were."""
    return k.max_pool2d_offsets_gather(x, offsets, spec), (offsets, k.meta(x), spec)


@max_pool2d_offsets_gather.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.max_pool2d_offsets_grad(g, *saved),)


@op
def avg_pool2d(k: Any, x: Any, spec: Any, count_include_pad: bool, divisor_override: int | None) -> One:
    """The mean of each window."""
    return k.avg_pool2d(x, spec, count_include_pad, divisor_override), (
        k.meta(x),
        spec,
        count_include_pad,
        divisor_override,
    )


@avg_pool2d.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.avg_pool2d_grad(g, *saved),)


@op
def avg_pool2d_grad(
    k: Any, g: Any, meta: Any, spec: Any, count_include_pad: bool, divisor_override: int | None
) -> One:
    """The gradient of ``avg_pool2d``."""
    return k.avg_pool2d_grad(g, meta, spec, count_include_pad, divisor_override), (
        spec,
        count_include_pad,
        divisor_override,
    )


@avg_pool2d_grad.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.avg_pool2d(g, *saved),)


@op
def adaptive_avg_pool2d(k: Any, x: Any, size: Any) -> One:
    """The mean of each of ``size`` windows that cover the plane."""
    return k.adaptive_avg_pool2d(x, size), (k.meta(x),)


@adaptive_avg_pool2d.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.adaptive_avg_pool2d_grad(g, *saved),)


@op
def adaptive_avg_pool2d_grad(k: Any, g: Any, meta: Any) -> One:
    """The gradient of ``adaptive_avg_pool2d``."""
    return k.adaptive_avg_pool2d_grad(g, meta), (k.meta(g),)


@adaptive_avg_pool2d_grad.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.adaptive_avg_pool2d(g, list(saved[0].shape[-2:])),)
