"""Losses for classification and regression; those on pairs and triples are in ``loss_margin``."""

from __future__ import annotations

import math
import warnings
from typing import Any

from ... import _core, ops
from ..._core import Tensor
from ...autograd.tape import op as differentiable
from ._reduction import compared, legacy, reduced, same_shape
from ._shared import ShapeError, tensor_of


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """``-log softmax(input)[target]`` over the classes (axis 1), from unnormalised scores.

    Shapes: input ``[N, C, ...]`` or ``[C]``; target int64 class indices ``[N, ...]``, or probabilities in the
    shape of the input. ``weight``: ``[C]``, one factor a class; the mean is then weighted too. Targets equal
    to ``ignore_index`` count for nothing.

    Errors: IndexError for a class index out of range, naming it and where it stands.

    Example:
        >>> lt.nn.functional.cross_entropy(lt.zeros(2, 10), lt.tensor([3, 7]))
        tensor(2.3026)
    """
    reduction = legacy(size_average, reduce, reduction)
    input, target = tensor_of("cross_entropy", input), tensor_of("cross_entropy", target, "target")
    if target.dtype.is_floating_point:
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    if input.ndim == 1 and target.ndim == 0:
        one = cross_entropy(
            ops.unsqueeze(input, 0),
            ops.unsqueeze(target, 0),
            weight,
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=label_smoothing,
        )
        return ops.squeeze(one, (0,)) if reduction == "none" else one
    return ops.cross_entropy(input, target, weight, ignore_index, label_smoothing, reduction)[0]


def _soft_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, label_smoothing: float
) -> Tensor:
    same_shape("cross_entropy", input, target)
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"cross_entropy: label_smoothing is {label_smoothing}, expected 0 to 1")
    if input.ndim == 0:
        raise ShapeError("cross_entropy: expected scores of shape [batch, classes, ...] or [classes]")
    axis = 0 if input.ndim == 1 else 1
    classes = input.shape[axis]
    if label_smoothing:
        target = ops.add(ops.mul(target, 1.0 - label_smoothing), label_smoothing / classes)
    if weight is not None:
        if weight.shape != (classes,):
            raise ShapeError(
                f"cross_entropy: weight has shape {list(weight.shape)}, "
                f"expected [{classes}], one weight a class"
            )
        shape = [classes, *[1] * (input.ndim - 2)] if input.ndim > 1 else [classes]
        target = ops.mul(target, ops.reshape(weight, shape))
    losses = ops.neg(ops.sum(ops.mul(ops.log_softmax(input, axis), target), (axis,)))
    return reduced("cross_entropy", losses, reduction)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``-input[target]`` over the classes (axis 1), from log probabilities.

    Example:
        >>> F = lt.nn.functional
        >>> F.nll_loss(F.log_softmax(lt.zeros(1, 4), dim=1), lt.tensor([2]))
        tensor(1.3863)
    """
    reduction = legacy(size_average, reduce, reduction)
    return ops.nll_loss(input, target, weight, ignore_index, reduction)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """``(input - target)²``.

    Example:
        >>> lt.nn.functional.mse_loss(lt.tensor([1.0, 2.0]), lt.tensor([1.0, 4.0]))
        tensor(2.)
    """
    reduction = legacy(size_average, reduce, reduction)
    compared("mse_loss", input, target)
    fused = input.dtype.is_floating_point and input.device.type == target.device.type == "cpu"
    losses = ops.squared_error(input, target) if fused else ops.square(ops.sub(input, target))
    return _weighted("mse_loss", losses, weight, reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """``|input - target|``.

    Example:
        >>> lt.nn.functional.l1_loss(lt.tensor([1.0, 2.0]), lt.tensor([1.0, 4.0]))
        tensor(1.)
    """
    reduction = legacy(size_average, reduce, reduction)
    compared("l1_loss", input, target)
    return _weighted("l1_loss", ops.abs(ops.sub(input, target)), weight, reduction)


def _weighted(op: str, losses: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    if weight is None:
        return reduced(op, losses, reduction)
    if weight.shape != losses.shape:
        raise ShapeError(f"{op}: weight has shape {list(weight.shape)}, expected {list(losses.shape)}")
    losses = ops.mul(losses, weight)
    if reduction == "mean":
        return ops.div(ops.sum(losses), ops.sum(weight))
    return reduced(op, losses, reduction)


def _quadratic_then_linear(d: Tensor, knee: float, scale: float) -> Tensor:
    """``d² / 2 * scale`` up to the knee, then the tangent."""
    size = ops.abs(d)
    inside = ops.mul(ops.mul(d, d), 0.5 * scale)
    outside = ops.mul(ops.sub(size, 0.5 * knee), knee * scale)
    return ops.where(ops.lt(size, knee), inside, outside)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """``d² / (2 beta)`` for ``|d| < beta``, else ``|d| - beta / 2`` (Girshick 2015).

    Example:
        >>> lt.nn.functional.smooth_l1_loss(lt.tensor([3.0]), lt.tensor([0.0]))
        tensor(2.5000)
    """
    reduction = legacy(size_average, reduce, reduction)
    compared("smooth_l1_loss", input, target)
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    return reduced(
        "smooth_l1_loss", _quadratic_then_linear(ops.sub(input, target), beta, 1.0 / beta), reduction
    )


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """``d² / 2`` for ``|d| < delta``, else ``delta (|d| - delta / 2)`` (Huber 1964).

    Example:
        >>> lt.nn.functional.huber_loss(lt.tensor([3.0]), lt.tensor([0.0]), delta=2.0)
        tensor(4.)
    """
    compared("huber_loss", input, target)
    if delta <= 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta}")
    return _weighted(
        "huber_loss", _quadratic_then_linear(ops.sub(input, target), delta, 1.0), weight, reduction
    )


@differentiable
def _binary_cross_entropy(k: Any, x: Any, t: Any) -> Any:
    """Logarithms are cut at -100, so that a certain and wrong answer costs 100 and not infinity."""
    yes, no = k.clamp(k.log(x), -100.0, None), k.clamp(k.log1p(k.neg(x)), -100.0, None)
    return k.neg(k.add(k.mul(t, yes), k.mul(k.sub(1.0, t), no))), (x, t)


@_binary_cross_entropy.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, t = saved
    dx = need[0] and k.mul(g, k.div(k.sub(x, t), k.clamp(k.mul(x, k.sub(1.0, x)), 1e-12, None)))
    dt = None
    if need[1]:
        dt = k.mul(g, k.sub(k.clamp(k.log1p(k.neg(x)), -100.0, None), k.clamp(k.log(x), -100.0, None)))
    return dx, dt


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``-(t log x + (1 - t) log(1 - x))`` of probabilities; logarithms are cut at -100.

    Errors: ShapeError unless the shapes are equal; ValueError for an input outside 0 to 1.

    Example:
        >>> lt.nn.functional.binary_cross_entropy(lt.tensor([0.5]), lt.tensor([1.0]))
        tensor(0.6931)
    """
    reduction = legacy(size_average, reduce, reduction)
    same_shape("binary_cross_entropy", input, target)
    if input.numel():
        plain = input.detach()
        low, high = _core.amin(plain).item(), _core.amax(plain).item()
        if low < 0.0 or high > 1.0:
            raise ValueError(
                "binary_cross_entropy: all elements of input should be between 0 and 1, got "
                f"{low:.4g} to {high:.4g}; for raw scores use binary_cross_entropy_with_logits"
            )
    losses = _binary_cross_entropy(input, target)
    if weight is not None:
        losses = ops.mul(losses, weight)
    return reduced("binary_cross_entropy", losses, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Binary cross entropy of ``sigmoid(input)``, computed without overflow; ``pos_weight`` weighs the 1s.

    Example:
        >>> lt.nn.functional.binary_cross_entropy_with_logits(lt.tensor([0.0]), lt.tensor([1.0]))
        tensor(0.6931)
    """
    reduction = legacy(size_average, reduce, reduction)
    same_shape("binary_cross_entropy_with_logits", input, target)
    if pos_weight is None and input.dtype == target.dtype and input.device.type == "cpu":
        losses = ops.bce_logits(input, target)
    else:
        log_yes = ops.logsigmoid(input)
        if pos_weight is not None:
            log_yes = ops.mul(log_yes, ops.add(ops.mul(ops.sub(pos_weight, 1.0), target), 1.0))
        losses = ops.sub(ops.mul(ops.sub(1.0, target), input), log_yes)
    if weight is not None:
        losses = ops.mul(losses, weight)
    return reduced("binary_cross_entropy_with_logits", losses, reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """``target (log target - input)``, of log probabilities and probabilities (or their logarithms).

    ``reduction='batchmean'`` is the divergence itself: the sum over the batch size.

    Example:
        >>> p = lt.tensor([[0.5, 0.5]])
        >>> lt.nn.functional.kl_div(p.log(), p, reduction="batchmean")
        tensor(0.)
    """
    reduction = legacy(size_average, reduce, reduction)
    if reduction == "mean":
        warnings.warn(
            "kl_div: reduction 'mean' divides by the number of elements; "
            "use 'batchmean' for the divergence itself",
            stacklevel=2,
        )
    if log_target:
        losses = ops.mul(ops.exp(target), ops.sub(target, input))
    else:
        # 0 log 0 is 0, also for the gradient of the target.
        log = ops.log(ops.where(ops.gt(target, 0.0), target, 1.0))
        losses = ops.mul(target, ops.sub(log, input))
    if reduction == "batchmean":
        return ops.div(ops.sum(losses), input.shape[0] if input.ndim else 1)
    return reduced("kl_div", losses, reduction)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The negative log likelihood of counts under Poisson rates (``log_input``: their logarithms).

    Without ``full`` the term ``log target!``, which no parameter changes, is left out; with it, Stirling's
    formula stands for it above 1.

    Example:
        >>> rates = lt.tensor([2.0, 5.0])
        >>> lt.nn.functional.poisson_nll_loss(rates.log(), lt.tensor([2.0, 5.0]), reduction="none")
        tensor([ 0.6137, -3.0472])
        >>> lt.nn.functional.poisson_nll_loss(rates, lt.tensor([2.0, 5.0]), log_input=False, reduction="none")
        tensor([ 0.6137, -3.0472])
    """
    reduction = legacy(size_average, reduce, reduction)
    if log_input:
        losses = ops.sub(ops.exp(input), ops.mul(target, input))
    else:
        losses = ops.sub(input, ops.mul(target, ops.log(ops.add(input, eps))))
    if full:
        safe = ops.where(ops.gt(target, 1.0), target, 1.0)
        stirling = ops.add(
            ops.sub(ops.mul(target, ops.log(safe)), target), ops.mul(ops.log(ops.mul(safe, 2 * math.pi)), 0.5)
        )
        losses = ops.add(losses, ops.where(ops.gt(target, 1.0), stirling, 0.0))
    return reduced("poisson_nll_loss", losses, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """``(log var + (input - target)² / var) / 2``: the negative log likelihood under normal distributions.

    ``input`` is their mean; ``var`` a number, or a tensor in the shape of the input or without its last axis,
    held above ``eps``. ``full`` adds the constant ``log(2 pi) / 2``.

    Errors: ValueError for a negative variance. Source: Nix and Weigend 1994.

    Example:
        >>> mean, target = lt.zeros(2), lt.tensor([0.0, 2.0])
        >>> lt.nn.functional.gaussian_nll_loss(mean, target, var=1.0, reduction="none")
        tensor([0., 2.])
        >>> lt.nn.functional.gaussian_nll_loss(mean, target, var=4.0, reduction="none")
        tensor([0.6931, 1.1931])
    """
    if not isinstance(var, Tensor):
        var = _core.full(list(input.shape), float(var), input.dtype)
    elif var.ndim == input.ndim - 1 and var.shape == input.shape[:-1]:
        var = ops.unsqueeze(var, -1)
    if var.numel() and _core.amin(var.detach()).item() < 0:
        raise ValueError("gaussian_nll_loss: var has negative entry/entries")
    # Held above eps without a gradient for the floor itself.
    lift = _core.sub(_core.clamp(var.detach(), eps, None), var.detach())
    var = ops.add(var, lift)
    losses = ops.mul(ops.add(ops.log(var), ops.div(ops.square(ops.sub(input, target)), var)), 0.5)
    if full:
        losses = ops.add(losses, 0.5 * math.log(2 * math.pi))
    return reduced("gaussian_nll_loss", losses, reduction)
