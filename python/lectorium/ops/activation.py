"""Activations with one fused pass each way; the second derivative is a composite of small operations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..autograd.tape import One, op

Bend = Callable[..., Any] | None


def _activation(name: str, doc: str, bend: Bend = None):
    """``name`` and ``name_grad(g, x)``; ``bend(k, x, *parameters)`` is the second derivative, None if 0."""

    def forward(k: Any, x: Any, *parameters: float) -> One:
        return getattr(k, name)(x, *parameters), (x, parameters)

    forward.__name__ = name
    forward.__doc__ = doc
    first = op(forward)

    @first.vjp
    def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
        x, parameters = saved
        return (getattr(k, f"{name}_grad")(g, x, *parameters),)

    def gradient(k: Any, g: Any, x: Any, *parameters: float) -> One:
        return getattr(k, f"{name}_grad")(g, x, *parameters), (g, x, parameters)

    gradient.__name__ = f"{name}_grad"
    gradient.__doc__ = f"``g`` times the derivative of {name} at ``x``."
    second = op(gradient)

    @second.vjp
    def _(k: Any, gg: Any, saved: Any, need: Any) -> Any:
        g, x, parameters = saved
        dx = need[1] and bend is not None and k.mul(k.mul(gg, g), bend(k, x, *parameters))
        return need[0] and getattr(k, f"{name}_grad")(gg, x, *parameters), dx

    first.into = None
    return first, second


def _below_zero(k: Any, x: Any, value: Any) -> Any:
    return k.where(k.lt(x, 0.0), value, 0.0)


def _elu_bend(k: Any, x: Any, alpha: float) -> Any:
    return _below_zero(k, x, k.mul(k.exp(k.clamp(x, None, 0.0)), alpha))


def _celu_bend(k: Any, x: Any, alpha: float) -> Any:
    return _below_zero(k, x, k.mul(k.exp(k.div(k.clamp(x, None, 0.0), alpha)), 1.0 / alpha))


def _selu_bend(k: Any, x: Any) -> Any:
    return _below_zero(k, x, k.mul(k.exp(k.clamp(x, None, 0.0)), 1.0507009873554805 * 1.6732632423543772))


def _gelu_bend(k: Any, x: Any) -> Any:
    squared = k.mul(x, x)
    bell = k.mul(k.exp(k.mul(squared, -0.5)), 1.0 / math.sqrt(2.0 * math.pi))
    return k.mul(bell, k.sub(2.0, squared))


def _gelu_tanh_bend(k: Any, x: Any) -> Any:
    c, a = math.sqrt(2.0 / math.pi), 0.044715
    squared = k.mul(x, x)
    t = k.tanh(k.mul(k.add(x, k.mul(k.mul(squared, x), a)), c))
    rest = k.sub(1.0, k.mul(t, t))
    slope = k.mul(k.add(k.mul(squared, 3.0 * a), 1.0), c)
    curve = k.sub(k.mul(x, 6.0 * a * c), k.mul(k.mul(t, k.mul(slope, slope)), 2.0))
    return k.mul(rest, k.add(slope, k.mul(k.mul(x, curve), 0.5)))


def _silu_bend(k: Any, x: Any) -> Any:
    s = k.sigmoid(x)
    return k.mul(k.mul(s, k.sub(1.0, s)), k.add(k.mul(x, k.sub(1.0, k.mul(s, 2.0))), 2.0))


def _mish_bend(k: Any, x: Any) -> Any:
    w, s = k.tanh(k.softplus(x, 1.0, 20.0)), k.sigmoid(x)
    rest = k.sub(1.0, k.mul(w, w))
    slope = k.mul(rest, s)
    curve = k.sub(k.mul(rest, k.mul(s, k.sub(1.0, s))), k.mul(k.mul(k.mul(w, slope), s), 2.0))
    return k.add(k.mul(slope, 2.0), k.mul(x, curve))


def _softplus_bend(k: Any, x: Any, beta: float, threshold: float) -> Any:
    scaled = k.mul(x, beta)
    s = k.sigmoid(scaled)
    return k.where(k.gt(scaled, threshold), 0.0, k.mul(k.mul(s, k.sub(1.0, s)), beta))


def _hardswish_bend(k: Any, x: Any) -> Any:
    return k.mul(k.cast(k.lt(k.abs(x), 3.0), x.dtype), 1.0 / 3.0)


def _softsign_bend(k: Any, x: Any) -> Any:
    return k.mul(k.div(k.sign(x), k.pow(k.add(k.abs(x), 1.0), 3)), -2.0)


def _tanhshrink_bend(k: Any, x: Any) -> Any:
    t = k.tanh(x)
    return k.mul(k.mul(t, k.sub(1.0, k.mul(t, t))), 2.0)


def _logsigmoid_bend(k: Any, x: Any) -> Any:
    s = k.sigmoid(x)
    return k.neg(k.mul(s, k.sub(1.0, s)))


leaky_relu, leaky_relu_grad = _activation("leaky_relu", "``x`` above 0, ``slope * x`` below.")
elu, elu_grad = _activation("elu", "``x`` above 0, ``alpha (exp(x) - 1)`` below.", _elu_bend)
celu, celu_grad = _activation("celu", "``x`` above 0, ``alpha (exp(x/alpha) - 1)`` below.", _celu_bend)
selu, selu_grad = _activation("selu", "The scaled ELU of self-normalising networks.", _selu_bend)
gelu, gelu_grad = _activation("gelu", "``x`` times the normal distribution function.", _gelu_bend)
gelu_tanh, gelu_tanh_grad = _activation("gelu_tanh", "GELU's tanh approximation.", _gelu_tanh_bend)
silu, silu_grad = _activation("silu", "``x * sigmoid(x)``.", _silu_bend)
mish, mish_grad = _activation("mish", "``x * tanh(softplus(x))``.", _mish_bend)
softplus, softplus_grad = _activation("softplus", "``log(1 + exp(beta x)) / beta``.", _softplus_bend)
hardtanh, hardtanh_grad = _activation("hardtanh", "``x`` held between two limits.")
hardswish, hardswish_grad = _activation("hardswish", "``x * relu6(x + 3) / 6``.", _hardswish_bend)
hardsigmoid, hardsigmoid_grad = _activation("hardsigmoid", "``relu6(x + 3) / 6``.")
softsign, softsign_grad = _activation("softsign", "``x / (1 + |x|)``.", _softsign_bend)
tanhshrink, tanhshrink_grad = _activation("tanhshrink", "``x - tanh(x)``.", _tanhshrink_bend)
softshrink, softshrink_grad = _activation("softshrink", "``x`` moved towards 0 by ``lambd``.")
hardshrink, hardshrink_grad = _activation("hardshrink", "0 where ``|x| <= lambd``.")
logsigmoid, logsigmoid_grad = _activation("logsigmoid", "``log(sigmoid(x))``.", _logsigmoid_bend)
threshold, threshold_grad = _activation("threshold", "``x`` above ``limit``, else ``value``.")
