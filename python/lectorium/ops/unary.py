"""Elementwise operations of one tensor and their gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import _core
from .._core import Tensor, note
from ..autograd.tape import One, op
from ._docs import DOCS

_2_OVER_SQRT_PI = 2.0 / math.sqrt(math.pi)

# gradient(k, g) or gradient(k, g, x or y)
Gradient = Callable[[Any, Any], Any] | Callable[[Any, Any, Any], Any]


def _unary(name: str, gradient: Gradient, keep: str = "x"):
    """A function of one tensor. ``keep``: what its gradient is computed from, ``x``, ``y`` or nothing."""

    def forward(k: Any, x: Any) -> One:
        out = getattr(k, name)(x)
        return out, (x,) if keep == "x" else (out,) if keep == "y" else ()

    forward.__name__ = forward.__qualname__ = name
    forward.__doc__ = DOCS[name]
    made = op(forward)

    @made.vjp
    def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
        return (gradient(k, g, *saved),)

    made.into = getattr(_core, name)
    return made


neg = _unary("neg", lambda k, g: k.neg(g), "")
abs = _unary("abs", lambda k, g, x: k.mul(g, k.sign(x)))
sign = _unary("sign", lambda k, g: k.mul(g, 0.0), "")
exp = _unary("exp", lambda k, g, y: k.mul(g, y), "y")
exp2 = _unary("exp2", lambda k, g, y: k.mul(g, k.mul(y, math.log(2.0))), "y")
expm1 = _unary("expm1", lambda k, g, y: k.mul(g, k.add(y, 1.0)), "y")
log = _unary("log", lambda k, g, x: k.div(g, x))
log2 = _unary("log2", lambda k, g, x: k.div(g, k.mul(x, math.log(2.0))))
log10 = _unary("log10", lambda k, g, x: k.div(g, k.mul(x, math.log(10.0))))
log1p = _unary("log1p", lambda k, g, x: k.div(g, k.add(x, 1.0)))
sqrt = _unary("sqrt", lambda k, g, y: k.div(g, k.mul(y, 2.0)), "y")
rsqrt = _unary("rsqrt", lambda k, g, y: k.mul(g, k.mul(k.mul(y, k.mul(y, y)), -0.5)), "y")
reciprocal = _unary("reciprocal", lambda k, g, y: k.neg(k.mul(g, k.mul(y, y))), "y")
square = _unary("square", lambda k, g, x: k.mul(g, k.mul(x, 2)))
sin = _unary("sin", lambda k, g, x: k.mul(g, k.cos(x)))
cos = _unary("cos", lambda k, g, x: k.neg(k.mul(g, k.sin(x))))
tan = _unary("tan", lambda k, g, y: k.mul(g, k.add(k.mul(y, y), 1.0)), "y")
asin = _unary("asin", lambda k, g, x: k.mul(g, k.rsqrt(k.sub(1.0, k.mul(x, x)))))
acos = _unary("acos", lambda k, g, x: k.neg(k.mul(g, k.rsqrt(k.sub(1.0, k.mul(x, x))))))
atan = _unary("atan", lambda k, g, x: k.div(g, k.add(k.mul(x, x), 1.0)))
sinh = _unary("sinh", lambda k, g, x: k.mul(g, k.cosh(x)))
cosh = _unary("cosh", lambda k, g, x: k.mul(g, k.sinh(x)))
tanh = _unary("tanh", lambda k, g, y: k.tanh_grad(g, y), "y")
asinh = _unary("asinh", lambda k, g, x: k.mul(g, k.rsqrt(k.add(k.mul(x, x), 1.0))))
acosh = _unary("acosh", lambda k, g, x: k.mul(g, k.rsqrt(k.sub(k.mul(x, x), 1.0))))
atanh = _unary("atanh", lambda k, g, x: k.div(g, k.sub(1.0, k.mul(x, x))))
sigmoid = _unary("sigmoid", lambda k, g, y: k.sigmoid_grad(g, y), "y")
relu = _unary("relu", lambda k, g, y: k.relu_grad(g, y), "y")
erf = _unary("erf", lambda k, g, x: k.mul(g, k.mul(k.exp(k.neg(k.mul(x, x))), _2_OVER_SQRT_PI)))
erfc = _unary("erfc", lambda k, g, x: k.mul(g, k.mul(k.exp(k.neg(k.mul(x, x))), -_2_OVER_SQRT_PI)))
erfinv = _unary(
    "erfinv",
    lambda k, g, y: k.mul(g, k.mul(k.exp(k.mul(y, y)), 1.0 / _2_OVER_SQRT_PI)),
    "y",
)


def _trigamma(k: Any, x: Any) -> Any:
    """The derivative of digamma (Abramowitz and Stegun 6.4.7 and 6.4.12), made of differentiable steps."""
    left = k.lt(x, 0.5)
    y = k.where(left, k.sub(1.0, x), x)
    total: Any = None
    for i in range(10):
        shifted = k.add(y, float(i))
        term = k.reciprocal(k.mul(shifted, shifted))
        total = term if total is None else k.add(total, term)
    r = k.reciprocal(k.add(y, 10.0))
    square = k.mul(r, r)
    series: Any = 5.0 / 66.0
    for coefficient in (-1.0 / 30.0, 1.0 / 42.0, -1.0 / 30.0, 1.0 / 6.0):
        series = k.add(k.mul(square, series), coefficient)
    tail = k.mul(r, k.add(k.mul(k.add(k.mul(r, series), 0.5), r), 1.0))
    right = k.add(total, tail)
    # The reflection's sine only where it is used: elsewhere it may be 0.
    sine = k.where(left, k.sin(k.mul(x, math.pi)), 1.0)
    mirrored = k.sub(k.mul(k.reciprocal(k.mul(sine, sine)), math.pi**2), right)
    return k.where(left, mirrored, right)


digamma = _unary("digamma", lambda k, g, x: k.mul(g, _trigamma(k, x)))
lgamma = _unary("lgamma", lambda k, g, x: k.mul(g, k.digamma(x)))
logit = _unary("logit", lambda k, g, x: k.div(g, k.mul(x, k.sub(1.0, x))))
floor = _unary("floor", lambda k, g: k.mul(g, 0.0), "")
ceil = _unary("ceil", lambda k, g: k.mul(g, 0.0), "")
round = _unary("round", lambda k, g: k.mul(g, 0.0), "")
trunc = _unary("trunc", lambda k, g: k.mul(g, 0.0), "")
frac = _unary("frac", lambda k, g: g, "")


@op
def tanh_grad(k: Any, g: Any, y: Any) -> One:
    """``g * (1 - y²)``."""
    return k.tanh_grad(g, y), (g, y)


@tanh_grad.vjp
def _(k: Any, gg: Any, saved: Any, need: Any) -> Any:
    g, y = saved
    return need[0] and k.tanh_grad(gg, y), need[1] and k.mul(k.mul(gg, g), k.mul(y, -2.0))


@op
def sigmoid_grad(k: Any, g: Any, y: Any) -> One:
    """``g * y * (1 - y)``."""
    return k.sigmoid_grad(g, y), (g, y)


@sigmoid_grad.vjp
def _(k: Any, gg: Any, saved: Any, need: Any) -> Any:
    g, y = saved
    return need[0] and k.sigmoid_grad(gg, y), need[1] and k.mul(k.mul(gg, g), k.sub(1.0, k.mul(y, 2.0)))


def computed_relu(y: Tensor) -> Tensor:
    """Records the ReLU behind an operation that a kernel has computed with it: ``y`` is its result."""
    if not y.requires_grad:
        return y
    out = y.detach()
    note(relu.op, (y,), out, (out,))
    return out


@op
def relu_grad(k: Any, g: Any, y: Any) -> One:
    """``g`` where ``y > 0``."""
    return k.relu_grad(g, y), (y,)


@relu_grad.vjp
def _(k: Any, gg: Any, saved: Any, need: Any) -> Any:
    return (need[0] and k.relu_grad(gg, saved[0]),)
