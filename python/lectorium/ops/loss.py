"""Losses on class indices, fused."""

from __future__ import annotations

from typing import Any

from .. import _core
from ..autograd.tape import One, Two, op


@op
def cross_entropy(
    k: Any, x: Any, target: Any, weight: Any, ignore_index: int, label_smoothing: float, reduction: str
) -> Two:
    """``-log softmax(x)[target]`` over axis 1, weighted and reduced; also the log probabilities."""
    loss, log_probs = k.cross_entropy(x, target, weight, ignore_index, label_smoothing, reduction)
    return (loss, log_probs), (x, log_probs, target, weight, ignore_index, label_smoothing, reduction)


@cross_entropy.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, log_probs, target, weight, ignore_index, smoothing, reduction = saved
    if k is _core:
        return (k.cross_entropy_grad(g, log_probs, target, weight, ignore_index, smoothing, reduction),)
    # With q the weighted target distribution, the gradient is softmax(x) * sum(q) - q, scaled.
    q, total = _target_distribution(x, target, weight, ignore_index, smoothing)
    scale = g
    if reduction == "mean":
        scale = k.div(g, total)
    elif reduction == "none":
        scale = k.unsqueeze(g, 1)
    mass = _core.sum(q, (1,), True)
    return (k.mul(k.sub(k.mul(k.softmax(x, 1), mass), q), scale),)


def _target_distribution(x: Any, target: Any, weight: Any, ignore_index: int, smoothing: float) -> Any:
    """The weighted, smoothed one-hot targets shaped as ``x``, and the sum of the targets' weights."""
    classes = x.shape[1]
    valid = _core.ne(target, ignore_index)
    safe = _core.where(valid, target, 0)
    hot = _core.one_hot(safe, classes)
    order = [0, hot.ndim - 1, *range(1, hot.ndim - 1)]
    hot = _core.cast(_core.permute(hot, order), x.dtype)
    hot = _core.mul(hot, _core.cast(_core.unsqueeze(valid, 1), x.dtype))
    shape = [1, classes, *[1] * (x.ndim - 2)]
    w = _core.full(shape, 1.0, x.dtype) if weight is None else _core.reshape(weight.detach(), shape)
    q = _core.mul(hot, w)
    total = _core.sum(q)
    if smoothing:
        even = _core.mul(_core.cast(_core.unsqueeze(valid, 1), x.dtype), _core.mul(w, smoothing / classes))
        q = _core.add(_core.mul(q, 1.0 - smoothing), even)
    return q, total


@op(name="mse_loss")
def squared_error(k: Any, x: Any, y: Any) -> One:
    """``(x - y)²``, broadcast."""
    return k.squared_error(x, y), (x, y, k.meta(x), k.meta(y))


@squared_error.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, y, mx, my = saved
    d = k.squared_error_grad(g, x, y)
    return need[0] and k.sum_to(d, mx), need[1] and k.sum_to(k.neg(d), my)


@op(name="mse_loss_grad")
def squared_error_grad(k: Any, g: Any, x: Any, y: Any) -> One:
    """``2 g (x - y)``."""
    return k.squared_error_grad(g, x, y), (g, x, y, k.meta(x), k.meta(y))


@squared_error_grad.vjp
def _(k: Any, gg: Any, saved: Any, need: Any) -> Any:
    g, x, y, mx, my = saved
    d = (need[1] or need[2]) and k.mul(k.mul(gg, g), 2.0)
    dg = need[0] and k.squared_error_grad(gg, x, y)
    return dg, need[1] and k.sum_to(d, mx), need[2] and k.sum_to(k.neg(d), my)


@op(name="binary_cross_entropy_with_logits")
def bce_logits(k: Any, x: Any, y: Any) -> One:
    """The binary cross entropy of ``sigmoid(x)`` and the target ``y``, of one shape."""
    return k.bce_logits(x, y), (x, y)


@bce_logits.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, y = saved
    return need[0] and k.bce_logits_grad(g, x, y), need[1] and k.neg(k.mul(g, x))


@op(name="binary_cross_entropy_with_logits_grad")
def bce_logits_grad(k: Any, g: Any, x: Any, y: Any) -> One:
    """``g (sigmoid(x) - y)``."""
    return k.bce_logits_grad(g, x, y), (g, x, y)


@bce_logits_grad.vjp
def _(k: Any, gg: Any, saved: Any, need: Any) -> Any:
    g, x, y = saved
    both = (need[1] or need[2]) and k.mul(gg, g)
    slope = need[1] and k.sigmoid(x)
    dx = need[1] and k.mul(both, k.mul(slope, k.sub(1.0, slope)))
    return need[0] and k.bce_logits_grad(gg, x, y), dx, need[2] and k.neg(both)


@op
def nll_loss(k: Any, x: Any, target: Any, weight: Any, ignore_index: int, reduction: str) -> One:
    """``-x[target]`` over axis 1, weighted and reduced."""
    return k.nll_loss(x, target, weight, ignore_index, reduction), (
        k.meta(x),
        target,
        weight,
        ignore_index,
        reduction,
    )


@nll_loss.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.nll_loss_grad(g, *saved),)


@op
def nll_loss_grad(
    k: Any, g: Any, meta: Any, target: Any, weight: Any, ignore_index: int, reduction: str
) -> One:
    """The gradient of ``nll_loss``, which is linear: its own gradient is ``nll_loss`` again."""
    return k.nll_loss_grad(g, meta, target, weight, ignore_index, reduction), (
        target,
        weight,
        ignore_index,
        reduction,
    )


@nll_loss_grad.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.nll_loss(g, *saved),)
