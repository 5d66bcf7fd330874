"""Normalisation. First-order gradients are one fused kernel; gradients of gradients use the formula."""

from __future__ import annotations

from typing import Any

from .. import _core
from ..autograd.tape import One, Three, Two, op


def _formula(
    k: Any, g: Any, x: Any, w: Any, axes: tuple[int, ...], sums: tuple[int, ...], eps: float, need: Any
) -> Any:
    """The gradients of ``w * (x - mean) * rstd + b`` with statistics over ``axes``, in small operations.

    ``w`` broadcasts against ``x``; ``sums`` are the axes over which the gradients of w and b are summed.
    """
    centred = k.sub(x, k.mean(x, axes, True))
    rstd = k.rsqrt(k.add(k.mean(k.mul(centred, centred), axes, True), eps))
    unit = k.mul(centred, rstd)
    dx = None
    if need[0]:
        scaled = g if w is None else k.mul(g, w)
        along = k.mean(k.mul(scaled, unit), axes, True)
        dx = k.mul(rstd, k.sub(k.sub(scaled, k.mean(scaled, axes, True)), k.mul(unit, along)))
    return dx, need[1] and k.sum(k.mul(g, unit), sums), need[2] and k.sum(g, sums)


@op
def batch_norm(k: Any, x: Any, weight: Any, bias: Any, eps: float) -> Three:
    """Each channel (axis 1) to zero mean and unit variance over the batch; also mean and 1/std."""
    y, mean, rstd = k.batch_norm(x, weight, bias, eps)
    return (y, mean, rstd), (x, weight, mean, rstd, eps)


@batch_norm.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, weight, mean, rstd, eps = saved
    if k is _core:
        return k.batch_norm_grad(g, x, weight, None, mean, rstd, need[:3])
    return _batch_formula(k, g, x, weight, eps, need)


def _batch_formula(k: Any, g: Any, x: Any, weight: Any, eps: float, need: Any) -> Any:
    axes = (0, *range(2, x.ndim))
    w = None if weight is None else k.reshape(weight, [1, -1, *[1] * (x.ndim - 2)])
    return _formula(k, g, x, w, axes, axes, eps, need)


@op(name="batch_norm")
def batch_norm_relu(k: Any, x: Any, weight: Any, bias: Any, eps: float) -> Three:
    """``relu(batch_norm(x))`` in one pass; what the ReLU let through is found again in the backward pass."""
    y, mean, rstd = k.batch_norm(x, weight, bias, eps, True)
    # A copy: batch norm alone does not mind when its bias changes before the backward pass.
    kept = None if bias is None else k.clone(bias)
    return (y, mean, rstd), (x, weight, kept, mean, rstd, eps)


@batch_norm_relu.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, weight, bias, mean, rstd, eps = saved
    if k is _core:
        return k.batch_norm_grad(g, x, weight, bias, mean, rstd, need[:3], True)
    g = k.relu_grad(g, k.batch_norm(x, weight, bias, eps)[0])
    return _batch_formula(k, g, x, weight, eps, need)


@op(name="batch_norm")
def batch_norm_inference(k: Any, x: Any, weight: Any, bias: Any, mean: Any, var: Any, eps: float) -> One:
    """Batch normalisation with given statistics."""
    return k.batch_norm_inference(x, weight, bias, mean, var, eps), (x, weight, mean, var, eps)


def _inference_grad(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, weight, mean, var, eps = saved
    shape = [1, -1, *[1] * (x.ndim - 2)]
    axes = (0, *range(2, x.ndim))
    rstd = k.reshape(k.rsqrt(k.add(var, eps)), shape)
    dx = need[0] and k.mul(g, rstd if weight is None else k.mul(rstd, k.reshape(weight, shape)))
    dw = need[1] and k.sum(k.mul(g, k.mul(k.sub(x, k.reshape(mean, shape)), rstd)), axes)
    return dx, dw, need[2] and k.sum(g, axes)


batch_norm_inference.vjp(_inference_grad)


@op(name="batch_norm")
def batch_norm_relu_inference(k: Any, x: Any, weight: Any, bias: Any, mean: Any, var: Any, eps: float) -> One:
    """``relu(batch_norm_inference(x))`` in one pass."""
    y = k.batch_norm_inference(x, weight, bias, mean, var, eps, True)
    return y, (x, weight, mean, var, eps, y)


@batch_norm_relu_inference.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    *before, y = saved
    return _inference_grad(k, k.relu_grad(g, y), before, need)


@op
def layer_norm(k: Any, x: Any, axes: int, weight: Any, bias: Any, eps: float) -> Three:
    """The last ``axes`` axes to zero mean and unit variance."""
    y, mean, rstd = k.layer_norm(x, axes, weight, bias, eps)
    return (y, mean, rstd), (x, axes, weight, mean, rstd, eps)


@layer_norm.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, axes, weight, mean, rstd, eps = saved
    wanted = (need[0], need[2], need[3])
    if k.fused:
        dx, dw, db = k.layer_norm_grad(g, x, axes, weight, mean, rstd, wanted)
    else:
        last = tuple(range(x.ndim - axes, x.ndim))
        lead = tuple(range(x.ndim - axes))
        if lead:
            dx, dw, db = _formula(k, g, x, weight, last, lead, eps, wanted)
        else:
            # Nothing to sum over: a batch axis of one serves.
            one = [1, *x.shape]
            shifted = tuple(a + 1 for a in last)
            dx, dw, db = _formula(k, k.reshape(g, one), k.reshape(x, one), weight, shifted, (0,), eps, wanted)
            dx = wanted[0] and k.reshape(dx, list(x.shape))
    return dx, None, dw, db


@op
def group_norm(k: Any, x: Any, groups: int, weight: Any, bias: Any, eps: float) -> Three:
    """Groups of channels of each sample to zero mean and unit variance."""
    y, mean, rstd = k.group_norm(x, groups, weight, bias, eps)
    return (y, mean, rstd), (x, groups, weight, mean, rstd, eps)


@group_norm.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, groups, weight, mean, rstd, eps = saved
    wanted = (need[0], need[2], need[3])
    if k is _core:
        dx, dw, db = k.group_norm_grad(g, x, groups, weight, mean, rstd, wanted)
        return dx, None, dw, db
    n, c = x.shape[:2]
    shape = [n, groups, c // groups, *x.shape[2:]]
    axes = tuple(range(2, len(shape)))
    sums = (0, *range(3, len(shape)))
    w = None if weight is None else k.reshape(weight, [1, groups, c // groups, *[1] * (x.ndim - 2)])
    dx, dw, db = _formula(k, k.reshape(g, shape), k.reshape(x, shape), w, axes, sums, eps, wanted)
    return (
        wanted[0] and k.reshape(dx, list(x.shape)),
        None,
        wanted[1] and k.reshape(dw, [c]),
        wanted[2] and k.reshape(db, [c]),
    )


@op
def local_response_norm(k: Any, x: Any, size: int, alpha: float, beta: float, bias: float) -> Two:
    """Each value divided by a power of the mean square of its neighbour channels."""
    y, denom = k.local_response_norm(x, size, alpha, beta, bias)
    return (y, denom), (x, y, denom, size, alpha, beta, bias)


def _window(k: Any, x: Any, before: int, after: int) -> Any:
    """Sums over windows of neighbour channels."""
    channels = k.meta(x).shape[1]
    padded = k.pad_constant(x, [(0, 0), (before, after), *[(0, 0)] * (len(k.meta(x).shape) - 2)], 0)
    total = k.narrow(padded, 1, 0, channels)
    for i in range(1, before + after + 1):
        total = k.add(total, k.narrow(padded, 1, i, channels))
    return total


@local_response_norm.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, y, denom, size, alpha, beta, bias = saved
    if k is _core:
        return (k.local_response_norm_grad(g, x, y, denom, size, alpha, beta),)
    before, after = size // 2, (size - 1) // 2
    base = k.add(k.mul(_window(k, k.mul(x, x), before, after), alpha / size), bias)
    inner = k.mul(k.mul(g, x), k.pow(base, -beta - 1.0))
    spread = k.mul(k.mul(_window(k, inner, after, before), x), 2.0 * alpha * beta / size)
    return (k.sub(k.mul(g, k.pow(base, -beta)), spread),)
