"""Activation functions."""

from __future__ import annotations

import warnings
from typing import Any

from ... import _core, ops
from ..._core import Tensor, dtype as DType
from ...autograd.inplace import apply_inplace
from ...random import default_generator
from ._shared import ShapeError, axis_of, in_place


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """``max(x, 0)``.

    Example:
        >>> lt.nn.functional.relu(lt.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """
    return apply_inplace(ops.relu, input, (), {}) if inplace else ops.relu(input)


def relu_(input: Tensor) -> Tensor:
    """``relu`` in place."""
    return apply_inplace(ops.relu, input, (), {})


def sigmoid(input: Tensor) -> Tensor:
    """``1 / (1 + exp(-x))``."""
    return ops.sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return ops.tanh(input)


def _apply(function: Any, input: Tensor, inplace: bool, *parameters: float) -> Tensor:
    if inplace:
        return in_place(function, input, *parameters)
    return function(input, *parameters)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """``x`` above 0, ``negative_slope * x`` below (Maas et al. 2013).

    Example:
        >>> lt.nn.functional.leaky_relu(lt.tensor([-10.0, 2.0]), 0.1)
        tensor([-1.,  2.])
    """
    return _apply(ops.leaky_relu, input, inplace, float(negative_slope))


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """``leaky_relu`` in place."""
    return leaky_relu(input, negative_slope, True)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` above 0, ``alpha (exp(x) - 1)`` below (Clevert et al. 2015)."""
    return _apply(ops.elu, input, inplace, float(alpha))


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """``elu`` in place."""
    return elu(input, alpha, True)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` above 0, ``alpha (exp(x / alpha) - 1)`` below (Barron 2017)."""
    return _apply(ops.celu, input, inplace, float(alpha))


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """``celu`` in place."""
    return celu(input, alpha, True)


def selu_(input: Tensor) -> Tensor:
    """``selu`` in place."""
    return selu(input, True)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """The scaled ELU of self-normalising networks (Klambauer et al. 2017)."""
    return _apply(ops.selu, input, inplace)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """``x`` times the normal distribution function (Hendrycks & Gimpel 2016).

    ``approximate='tanh'`` is a little cheaper.

    Example:
        >>> lt.nn.functional.gelu(lt.tensor([0.0, 1.0]))
        tensor([0.0000, 0.8413])
    """
    if approximate == "none":
        return ops.gelu(input)
    if approximate == "tanh":
        return ops.gelu_tanh(input)
    raise ValueError(f"gelu: approximate argument must be either none or tanh, got {approximate!r}")


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * sigmoid(x)``, also called swish (Elfwing et al. 2017)."""
    return _apply(ops.silu, input, inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * tanh(softplus(x))`` (Misra 2019)."""
    return _apply(ops.mish, input, inplace)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta x)) / beta``; ``x`` itself where ``beta x > threshold``."""
    return ops.softplus(input, float(beta), float(threshold))


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` held between ``min_val`` and ``max_val``."""
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val cannot be greater than max_val, got {min_val} and {max_val}")
    return _apply(ops.hardtanh, input, inplace, float(min_val), float(max_val))


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """``hardtanh`` in place."""
    return hardtanh(input, min_val, max_val, True)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """``min(max(x, 0), 6)``."""
    return _apply(ops.hardtanh, input, inplace, 0.0, 6.0)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * relu6(x + 3) / 6`` (MobileNetV3)."""
    return _apply(ops.hardswish, input, inplace)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """``relu6(x + 3) / 6``."""
    return _apply(ops.hardsigmoid, input, inplace)


def softsign(input: Tensor) -> Tensor:
    """``x / (1 + |x|)``."""
    return ops.softsign(input)


def tanhshrink(input: Tensor) -> Tensor:
    """``x - tanh(x)``."""
    return ops.tanhshrink(input)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``x`` moved towards 0 by ``lambd``."""
    return ops.softshrink(input, float(lambd))


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """0 where ``|x| <= lambd``, else ``x``."""
    return ops.hardshrink(input, float(lambd))


def logsigmoid(input: Tensor) -> Tensor:
    """``log(sigmoid(x))`` without overflow."""
    return ops.logsigmoid(input)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """``x`` where ``x > threshold``, else ``value``."""
    return _apply(ops.threshold, input, inplace, float(threshold), float(value))


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """``threshold`` in place."""
    return _apply(ops.threshold, input, True, float(threshold), float(value))


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """``x`` above 0, ``weight * x`` below (He et al. 2015).

    Shapes: weight ``[1]``, or ``[C]`` for axis 1 of the input.
    """
    if weight.numel() == 1:
        slope = ops.reshape(weight, [1] * input.ndim)
    else:
        channels = input.shape[1] if input.ndim > 1 else 1
        if weight.ndim > 1 or weight.numel() != channels:
            raise ShapeError(
                f"prelu: weight has shape {list(weight.shape)}, expected [1] or [{channels}], "
                f"one slope a channel of an input of shape {list(input.shape)}"
            )
        slope = ops.reshape(weight, [1, -1, *[1] * (input.ndim - 2)])
    return ops.where(ops.gt(input, 0.0), input, ops.mul(input, slope))


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """Leaky ReLU whose slope is drawn for each element in training, else the mean (Xu et al. 2015)."""
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slopes = _core.uniform(default_generator, list(input.shape), input.dtype, float(lower), float(upper))

    def sloped(x: Tensor) -> Tensor:
        return ops.where(ops.gt(x, 0.0), x, ops.mul(x, slopes))

    return in_place(sloped, input) if inplace else sloped(input)


def rrelu_(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Tensor:
    """``rrelu`` in place."""
    return rrelu(input, lower, upper, training, True)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half of an axis times the sigmoid of the second (Dauphin et al. 2016).

    Example:
        >>> lt.nn.functional.glu(lt.tensor([3.0, 0.0]))
        tensor([1.5000])
    """
    axis = axis_of("glu", dim, input.ndim)
    size = input.shape[axis] if input.ndim else 1
    if size % 2:
        raise ShapeError(f"glu: the axis must have an even size, but axis {axis} has size {size}")
    first = ops.narrow(input, axis, 0, size // 2)
    return ops.mul(first, ops.sigmoid(ops.narrow(input, axis, size // 2, size // 2)))


def _soft_axis(op: str, input: Tensor, dim: int | None) -> int:
    if dim is None:
        dim = 0 if input.ndim in (0, 1, 3) else 1
        warnings.warn(
            f"{op}: implicit dimension choice has been deprecated; pass dim={dim} to say what is meant",
            stacklevel=3,
        )
    return dim


def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """``exp(x) / sum(exp(x))`` along ``dim``.

    Example:
        >>> lt.nn.functional.softmax(lt.zeros(1, 4), dim=1)
        tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """
    dim = _soft_axis("softmax", input, dim)
    return ops.softmax(input if dtype is None else ops.cast(input, dtype), dim)


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """The logarithm of ``softmax``, computed without overflow."""
    dim = _soft_axis("log_softmax", input, dim)
    return ops.log_softmax(input if dtype is None else ops.cast(input, dtype), dim)


def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """``softmax(-x)``."""
    dim = _soft_axis("softmin", input, dim)
    return ops.softmax(ops.neg(input if dtype is None else ops.cast(input, dtype)), dim)


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A random choice by ``logits`` that gradients flow through (Jang et al. 2016); ``hard``: one-hot."""
    noise = _core.neg(_core.log(_core.exponential(default_generator, list(logits.shape), logits.dtype, 1.0)))
    soft = ops.softmax(ops.div(ops.add(logits, noise), tau), dim)
    if not hard:
        return soft
    best = _core.argmax(soft.detach(), dim, True)
    chosen = _core.scatter_value(_core.zeros(list(soft.shape), soft.dtype), dim, best, 1.0)
    return ops.add(ops.sub(chosen, soft.detach()), soft)
