"""Convolution: three operations, each the gradient of the others."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._core import Tensor, note
from ..autograd.tape import One, op
from .elementwise import _wants
from .unary import computed_relu

ConvSpec = _core.ConvSpec


def _kept(k: Any, x: Any, w: Any, spec: Any) -> tuple[Any, ...]:
    return x if _wants(w) else None, w if _wants(x) else None, k.meta(x), k.meta(w), spec


@op
def conv2d(k: Any, x: Any, w: Any, b: Any, spec: Any) -> One:
    """Cross-correlation of [N, C, H, W] with [O, C / groups, kh, kw], plus a bias."""
    return k.conv2d(x, w, b, spec), _kept(k, x, w, spec)


@conv2d.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, w, mx, mw, spec = saved
    return (
        need[0] and k.conv2d_input_grad(g, w, mx.shape, spec),
        need[1] and k.conv2d_weight_grad(g, x, mw.shape, spec),
        need[2] and k.sum(g, (0, 2, 3)),
    )


def conv2d_relu(x: Tensor, w: Tensor, b: Tensor | None, spec: Any) -> Tensor:
    """``relu(conv2d(...))``, the ReLU while the sums are written; on the tape they are two."""
    y = _core.conv2d(x, w, b, spec, True)
    note(conv2d.op, (x, w, b, spec), y, _kept(_core, x, w, spec))
    return computed_relu(y)


@op
def conv2d_input_grad(k: Any, g: Any, w: Any, size: Any, spec: Any) -> One:
    """The gradient for the input; also the transposed convolution of ``g`` with ``w``."""
    return k.conv2d_input_grad(g, w, size, spec), (
        g if _wants(w) else None,
        w if _wants(g) else None,
        k.meta(w),
        spec,
    )


@conv2d_input_grad.vjp
def _(k: Any, gx: Any, saved: Any, need: Any) -> Any:
    g, w, mw, spec = saved
    return need[0] and k.conv2d(gx, w, None, spec), need[1] and k.conv2d_weight_grad(g, gx, mw.shape, spec)


@op
def conv2d_weight_grad(k: Any, g: Any, x: Any, size: Any, spec: Any) -> One:
    """The gradient for the weight."""
    return k.conv2d_weight_grad(g, x, size, spec), (
        g if _wants(x) else None,
        x if _wants(g) else None,
        k.meta(x),
        spec,
    )


@conv2d_weight_grad.vjp
def _(k: Any, gw: Any, saved: Any, need: Any) -> Any:
    g, x, mx, spec = saved
    return need[0] and k.conv2d(x, gw, None, spec), need[1] and k.conv2d_input_grad(g, gw, mx.shape, spec)
