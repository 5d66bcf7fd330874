"""Elementwise operations of two and more tensors, and their gradients."""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from .._core import Tensor
from ..autograd.tape import One, _positional as positional, op, plain
from ._docs import DOCS


def _wants(t: Any) -> bool:
    return isinstance(t, Tensor) and t.requires_grad


# What a product needs of one factor is kept only if the other one wants a gradient: then changing
# the first in place afterwards is allowed, as it is in PyTorch.


@op
def add(k: Any, x: Any, y: Any, alpha: Any = 1) -> One:
    """``x + alpha * y``, broadcast and promoted.

    Errors: ShapeError for shapes that do not fit.

    Example:
        >>> lt.add(lt.tensor([[1], [2]]), lt.tensor([10, 20]))
        tensor([[11, 21],
                [12, 22]])
        >>> lt.add(lt.tensor([1, 2]), lt.tensor([4, 8]), alpha=2)
        tensor([ 9, 18])
    """
    return k.add(x, y, alpha), (k.meta(x), k.meta(y), alpha)


@add.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    mx, my, alpha = saved
    dy = need[1] and k.sum_to(g if alpha == 1 else k.mul(g, alpha), my)
    return need[0] and k.sum_to(g, mx), dy


@op
def sub(k: Any, x: Any, y: Any, alpha: Any = 1) -> One:
    """``x - alpha * y``, broadcast and promoted.

    Errors: ShapeError for shapes that do not fit; TypeError for two bools.

    Example:
        >>> lt.sub(lt.tensor([10, 20]), lt.tensor([1.5, 2.5]))
        tensor([ 8.5000, 17.5000])
        >>> lt.sub(lt.tensor([10, 20]), 1, alpha=3)
        tensor([ 7, 17])
    """
    return k.sub(x, y, alpha), (k.meta(x), k.meta(y), alpha)


@sub.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    mx, my, alpha = saved
    return need[0] and k.sum_to(g, mx), need[1] and k.sum_to(k.mul(g, -alpha), my)


@op
def mul(k: Any, x: Any, y: Any) -> One:
    """``x * y``, broadcast and promoted.

    Errors: ShapeError for shapes that do not fit.

    Example:
        >>> lt.mul(lt.tensor([[1], [2], [3]]), lt.tensor([1, 10]))
        tensor([[ 1, 10],
                [ 2, 20],
                [ 3, 30]])
    """
    return k.mul(x, y), (x if _wants(y) else None, y if _wants(x) else None, k.meta(x), k.meta(y))


@mul.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, y, mx, my = saved
    return need[0] and k.sum_to(k.mul(g, y), mx), need[1] and k.sum_to(k.mul(g, x), my)


@op
def div(k: Any, x: Any, y: Any) -> One:
    """``x / y``, broadcast; integers give floats."""
    return k.div(x, y), (x if _wants(y) else None, y, k.meta(x), k.meta(y))


@div.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, y, mx, my = saved
    dx = need[0] and k.sum_to(k.div(g, y), mx)
    return dx, need[1] and k.sum_to(k.neg(k.div(k.mul(g, x), k.mul(y, y))), my)


@op
def pow(k: Any, x: Any, y: Any) -> One:
    """``x ** y``, broadcast and promoted.

    Errors: ShapeError for shapes that do not fit; TypeError for two bools; ValueError for integers to a
    negative number.

    Example:
        >>> lt.pow(lt.tensor([1.0, 2.0, 3.0]), 2)
        tensor([1., 4., 9.])
        >>> lt.pow(2, lt.tensor([0, 1, 10]))
        tensor([   1,    2, 1024])
    """
    out = k.pow(x, y)
    return out, (x, y, out if _wants(y) else None, k.meta(x), k.meta(y))


@pow.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, y, out, mx, my = saved
    dx = dy = None
    if need[0]:
        if isinstance(y, Tensor):
            # At y = 0 the derivative is 0, also where x is 0.
            slope = k.where(k.eq(y, 0), 0.0, k.mul(y, k.pow(x, k.sub(y, 1))))
            dx = k.sum_to(k.mul(g, slope), mx)
        elif y == 0:
            dx = k.zeros_of(mx)
        elif y == 2 and k.fused:
            dx = k.sum_to(k.mul(g, k.mul(x, 2)), mx)
        else:
            dx = k.sum_to(k.mul(g, k.mul(k.pow(x, y - 1), y)), mx)
    if need[1]:
        if isinstance(x, Tensor):
            # 0 ** y is 0 around y > 0, so its derivative there is 0 and not 0 * log 0.
            flat = k.logical_and(k.eq(x, 0), k.ge(y, 0))
            dy = k.where(flat, 0.0, k.mul(out, k.log(x)))
        else:
            dy = k.mul(out, math.log(x) if x > 0 else (0.0 if x == 0 else math.nan))
        dy = k.sum_to(k.mul(g, dy), my)
    return dx, dy


def _extreme(name: str):
    def forward(k: Any, x: Any, y: Any) -> One:
        return getattr(k, name)(x, y), (x, y, k.meta(x), k.meta(y))

    forward.__name__ = forward.__qualname__ = name
    forward.__doc__ = DOCS[name]
    made = op(forward)

    @made.vjp
    def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
        x, y, mx, my = saved
        ahead = k.gt if name in ("maximum", "fmax") else k.lt
        # Half of g where they are equal, as PyTorch does.
        wx = k.add(k.cast(ahead(x, y), g.dtype), k.mul(k.cast(k.eq(x, y), g.dtype), 0.5))
        wy = k.sub(1.0, wx)
        return need[0] and k.sum_to(k.mul(g, wx), mx), need[1] and k.sum_to(k.mul(g, wy), my)

    return made


maximum = _extreme("maximum")
minimum = _extreme("minimum")
fmax = _extreme("fmax")
fmin = _extreme("fmin")


@op
def atan2(k: Any, x: Any, y: Any) -> One:
    """The angle of the point (y, x): ``atan2(x, y)`` as PyTorch names its arguments.

    The angle is from -pi to pi, and right in all four quarters. Shapes broadcast.

    Example:
        >>> y, x = lt.tensor([1.0, 1.0, -1.0]), lt.tensor([1.0, -1.0, -1.0])
        >>> lt.atan2(y, x) / lt.pi
        tensor([ 0.2500,  0.7500, -0.7500])
    """
    return k.atan2(x, y), (x, y, k.meta(x), k.meta(y))


@atan2.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, y, mx, my = saved
    scaled = k.div(g, k.add(k.mul(x, x), k.mul(y, y)))
    return need[0] and k.sum_to(k.mul(scaled, y), mx), need[1] and k.sum_to(k.neg(k.mul(scaled, x)), my)


@op
def logaddexp(k: Any, x: Any, y: Any) -> One:
    """``log(exp(x) + exp(y))`` without overflow.

    Shapes broadcast; floats.

    Example:
        >>> x = lt.tensor([1000.0, -1000.0])
        >>> lt.logaddexp(x, x), (x.exp() + x.exp()).log()
        (tensor([1000.6932, -999.3068]), tensor([inf, -inf]))
    """
    return k.logaddexp(x, y), (x, y, k.meta(x), k.meta(y))


@logaddexp.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, y, mx, my = saved
    share = k.sigmoid(k.sub(x, y))
    return need[0] and k.sum_to(k.mul(g, share), mx), need[1] and k.sum_to(k.mul(g, k.sub(1.0, share)), my)


@op
def hypot(k: Any, x: Any, y: Any) -> One:
    """``sqrt(x² + y²)`` without overflow.

    Shapes broadcast.

    Example:
        >>> lt.hypot(lt.tensor([3.0, 3e30]), lt.tensor([4.0, 4e30]))
        tensor([5.0000e+00, 5.0000e+30])
    """
    out = k.hypot(x, y)
    return out, (x, y, out, k.meta(x), k.meta(y))


@hypot.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, y, out, mx, my = saved
    scaled = k.div(g, out)
    return need[0] and k.sum_to(k.mul(scaled, x), mx), need[1] and k.sum_to(k.mul(scaled, y), my)


@op
def remainder(k: Any, x: Any, y: Any) -> One:
    """``x - floor(x / y) * y``: the sign of ``y``, as Python's ``%``.

    Shapes broadcast. Floats modulo 0 give NaN. Errors: ValueError for integers modulo 0.

    Example:
        >>> lt.remainder(lt.tensor([5, -5]), 3), lt.remainder(lt.tensor([5.5]), -2)
        (tensor([2, 1]), tensor([-0.5000]))
    """
    return k.remainder(x, y), (x, y, k.meta(x), k.meta(y))


@remainder.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, y, mx, my = saved
    return need[0] and k.sum_to(g, mx), need[1] and k.sum_to(k.neg(k.mul(g, k.floor(k.div(x, y)))), my)


@op
def fmod(k: Any, x: Any, y: Any) -> One:
    """``x - trunc(x / y) * y``: the sign of ``x``, as C's ``fmod``.

    Shapes broadcast. Floats modulo 0 give NaN. Errors: ValueError for integers modulo 0.

    Example:
        >>> lt.fmod(lt.tensor([5, -5]), 3), lt.fmod(lt.tensor([5.5]), -2)
        (tensor([ 2, -2]), tensor([1.5000]))
    """
    return k.fmod(x, y), (x, y, k.meta(x), k.meta(y))


@fmod.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, y, mx, my = saved
    return need[0] and k.sum_to(g, mx), need[1] and k.sum_to(k.neg(k.mul(g, k.trunc(k.div(x, y)))), my)


@op
def lerp(k: Any, x: Any, end: Any, weight: Any) -> One:
    """``x + weight * (end - x)``, broadcast."""
    ends = (x, end) if _wants(weight) else (None, None)
    return k.lerp(x, end, weight), (*ends, weight, k.meta(x), k.meta(end), k.meta(weight))


@lerp.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, end, weight, mx, me, mw = saved
    ahead = (need[0] or need[1]) and k.mul(g, weight)
    dx = need[0] and k.sum_to(k.sub(g, ahead), mx)
    dw = need[2] and k.sum_to(k.mul(g, k.sub(end, x)), mw)
    return dx, need[1] and k.sum_to(ahead, me), dw


@op
def addcmul(k: Any, x: Any, a: Any, b: Any, value: Any = 1) -> One:
    """``x + value * a * b``, broadcast and promoted."""
    saved = (a if _wants(b) else None, b if _wants(a) else None, value)
    return k.addcmul(x, a, b, value), (*saved, k.meta(x), k.meta(a), k.meta(b))


@addcmul.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    a, b, value, mx, ma, mb = saved
    scaled = (need[1] or need[2]) and (g if value == 1 else k.mul(g, value))
    da = need[1] and k.sum_to(k.mul(scaled, b), ma)
    return need[0] and k.sum_to(g, mx), da, need[2] and k.sum_to(k.mul(scaled, a), mb)


@op
def where(k: Any, condition: Any, x: Any, y: Any) -> One:
    """``x`` where the condition holds, else ``y``; broadcast."""
    out = k.where(condition, x, y)
    return out, (condition, k.meta(x), k.meta(y))


@where.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    condition, mx, my = saved
    dx = need[1] and k.sum_to(k.where(condition, g, 0.0), mx)
    return None, dx, need[2] and k.sum_to(k.where(condition, 0.0, g), my)


@op
def clamp(k: Any, x: Any, min: Any = None, max: Any = None) -> One:
    """``x`` held between ``min`` and ``max``."""
    return k.clamp(x, min, max), (x, min, max)


@clamp.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, low, high = saved
    if low is not None:
        g = k.where(k.ge(x, low), g, 0.0)
    return (g if high is None else k.where(k.le(x, high), g, 0.0),)


@op
def copysign(k: Any, x: Any, y: Any) -> One:
    """The magnitude of ``x`` with the sign of ``y``.

    Shapes broadcast.

    Example:
        >>> lt.copysign(lt.tensor([1.0, -2.0]), lt.tensor([-0.0, 5.0]))
        tensor([-1.,  2.])
    """
    out = k.copysign(x, y)
    return out, (x, out, k.meta(x), k.meta(y))


@copysign.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, out, mx, my = saved
    dx = need[0] and k.sum_to(k.mul(g, k.mul(k.sign(x), k.sign(out))), mx)
    return dx, need[1] and k.zeros_of(my)


for _name in ("mul", "div", "pow", "add", "sub", "maximum", "minimum", "remainder", "fmod"):
    globals()[_name].into = getattr(_core, _name)


def _plain(name: str, *names: str) -> Any:
    """A kernel without a gradient, whose arguments can be given by name."""
    kernel = plain(name)

    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            args = positional(name, names, (), args, kwargs)
        return kernel(*args)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = DOCS[name]
    return call


eq = _plain("eq", "x", "y")
ne = _plain("ne", "x", "y")
lt = _plain("lt", "x", "y")
le = _plain("le", "x", "y")
gt = _plain("gt", "x", "y")
ge = _plain("ge", "x", "y")
logical_and = _plain("logical_and", "x", "y")
logical_or = _plain("logical_or", "x", "y")
logical_xor = _plain("logical_xor", "x", "y")
logical_not = _plain("logical_not", "x")
bitwise_not = _plain("bitwise_not", "x")
bitwise_and = _plain("bitwise_and", "x", "y")
bitwise_or = _plain("bitwise_or", "x", "y")
bitwise_xor = _plain("bitwise_xor", "x", "y")
bitwise_left_shift = _plain("bitwise_left_shift", "x", "y")
bitwise_right_shift = _plain("bitwise_right_shift", "x", "y")
floor_divide = _plain("floor_divide", "x", "y")
isnan = _plain("isnan", "x")
isinf = _plain("isinf", "x")
isfinite = _plain("isfinite", "x")
signbit = _plain("signbit", "x")
