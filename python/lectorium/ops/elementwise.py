"""Elementwise operations of two and more tensors, casts and copies, and their gradients."""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from .._core import Tensor
from ..autograd.tape import One, _positional as positional, op, plain


def _wants(t: Any) -> bool:
    return isinstance(t, Tensor) and t.requires_grad


# What a product needs of one factor is kept only if the other one wants a gradient: then changing
# the first in place afterwards is allowed, as it is in PyTorch.


@op
def add(k: Any, x: Any, y: Any, alpha: Any = 1) -> One:
    """``x + alpha * y``, broadcast and promoted."""
    return k.add(x, y, alpha), (k.meta(x), k.meta(y), alpha)


@add.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    mx, my, alpha = saved
    dy = need[1] and k.sum_to(g if alpha == 1 else k.mul(g, alpha), my)
    return need[0] and k.sum_to(g, mx), dy


@op
def sub(k: Any, x: Any, y: Any, alpha: Any = 1) -> One:
    """``x - alpha * y``, broadcast and promoted."""
    return k.sub(x, y, alpha), (k.meta(x), k.meta(y), alpha)


@sub.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    mx, my, alpha = saved
    return need[0] and k.sum_to(g, mx), need[1] and k.sum_to(k.mul(g, -alpha), my)


@op
def mul(k: Any, x: Any, y: Any) -> One:
    """``x * y``, broadcast and promoted."""
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
    """``x ** y``, broadcast and promoted."""
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

    forward.__name__ = name
    forward.__doc__ = f"The {name} of each pair, broadcast; ties share the gradient."
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
    """The angle of the point (y, x): ``atan2(x, y)`` as PyTorch names its arguments."""
    return k.atan2(x, y), (x, y, k.meta(x), k.meta(y))


@atan2.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, y, mx, my = saved
    scaled = k.div(g, k.add(k.mul(x, x), k.mul(y, y)))
    return need[0] and k.sum_to(k.mul(scaled, y), mx), need[1] and k.sum_to(k.neg(k.mul(scaled, x)), my)


@op
def logaddexp(k: Any, x: Any, y: Any) -> One:
    """``log(exp(x) + exp(y))`` without overflow."""
    return k.logaddexp(x, y), (x, y, k.meta(x), k.meta(y))


@logaddexp.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, y, mx, my = saved
    share = k.sigmoid(k.sub(x, y))
    return need[0] and k.sum_to(k.mul(g, share), mx), need[1] and k.sum_to(k.mul(g, k.sub(1.0, share)), my)


@op
def hypot(k: Any, x: Any, y: Any) -> One:
    """``sqrt(x² + y²)`` without overflow."""
    out = k.hypot(x, y)
    return out, (x, y, out, k.meta(x), k.meta(y))


@hypot.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, y, out, mx, my = saved
    scaled = k.div(g, out)
    return need[0] and k.sum_to(k.mul(scaled, x), mx), need[1] and k.sum_to(k.mul(scaled, y), my)


@op
def remainder(k: Any, x: Any, y: Any) -> One:
    """``x - floor(x / y) * y``: the sign of ``y``, as Python's ``%``."""
    return k.remainder(x, y), (x, y, k.meta(x), k.meta(y))


@remainder.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, y, mx, my = saved
    return need[0] and k.sum_to(g, mx), need[1] and k.sum_to(k.neg(k.mul(g, k.floor(k.div(x, y)))), my)


@op
def fmod(k: Any, x: Any, y: Any) -> One:
    """``x - trunc(x / y) * y``: the sign of ``x``, as C's ``fmod``."""
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
def cast(k: Any, x: Any, dtype: Any) -> One:
    """The same values in another dtype."""
    return k.cast(x, dtype), (x.dtype,)


@cast.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.cast(g, saved[0]),)


@op
def clone(k: Any, x: Any) -> One:
    """A copy with memory of its own."""
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
def copysign(k: Any, x: Any, y: Any) -> One:
    """The magnitude of ``x`` with the sign of ``y``."""
    out = k.copysign(x, y)
    return out, (x, out, k.meta(x), k.meta(y))


@copysign.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, out, mx, my = saved
    dx = need[0] and k.sum_to(k.mul(g, k.mul(k.sign(x), k.sign(out))), mx)
    return dx, need[1] and k.zeros_of(my)


for _name in ("mul", "div", "pow", "add", "sub", "maximum", "minimum", "remainder", "fmod"):
    globals()[_name].into = getattr(_core, _name)


def _plain(name: str, doc: str, *names: str) -> Any:
    """A kernel without a gradient, whose arguments can be given by name."""
    kernel = plain(name)

    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            args = positional(name, names, (), args, kwargs)
        return kernel(*args)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = doc
    return call


eq = _plain("eq", "``x == y``, element by element.", "x", "y")
ne = _plain("ne", "``x != y``, element by element.", "x", "y")
lt = _plain("lt", "``x < y``, element by element.", "x", "y")
le = _plain("le", "``x <= y``, element by element.", "x", "y")
gt = _plain("gt", "``x > y``, element by element.", "x", "y")
ge = _plain("ge", "``x >= y``, element by element.", "x", "y")
logical_and = _plain("logical_and", "Whether both are not zero.", "x", "y")
logical_or = _plain("logical_or", "Whether one of the two is not zero.", "x", "y")
logical_xor = _plain("logical_xor", "Whether exactly one of the two is not zero.", "x", "y")
logical_not = _plain("logical_not", "Whether the element is zero.", "x")
bitwise_not = _plain("bitwise_not", "All bits of integers flipped; not of bools.", "x")
bitwise_and = _plain("bitwise_and", "Bits set in both integers; and of bools.", "x", "y")
bitwise_or = _plain("bitwise_or", "Bits set in one of two integers; or of bools.", "x", "y")
bitwise_xor = _plain("bitwise_xor", "Bits set in exactly one of two integers.", "x", "y")
bitwise_left_shift = _plain("bitwise_left_shift", "``x << y``.", "x", "y")
bitwise_right_shift = _plain("bitwise_right_shift", "``x >> y``.", "x", "y")
floor_divide = _plain("floor_divide", "``x / y`` rounded down, as Python's ``//``.", "x", "y")
isnan = _plain("isnan", "Whether the element is NaN.", "x")
isinf = _plain("isinf", "Whether the element is infinite.", "x")
isfinite = _plain("isfinite", "Whether the element is neither NaN nor infinite.", "x")
signbit = _plain("signbit", "Whether the sign is negative, also of -0.0.", "x")


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
