"""What ``help`` shows of operations that a function makes: the others have their text beside them."""

from __future__ import annotations

from collections.abc import Sequence

# The shapes and dtypes that the word behind a name stands for.
_RESULTS = {
    "float": "Any shape. Integers and bools give the default float dtype.",
    "same": "Any shape; the dtype stays.",
    "test": "Any shape and dtype; the result is bool.",
    "bits": "Integers or bools, whose shapes broadcast. Errors: TypeError for floats.",
    "shift": "Integers, whose shapes broadcast. Errors: TypeError for floats.",
    "pair": "Shapes broadcast, dtypes promote. Errors: ShapeError for shapes that do not fit.",
    "bool": "Shapes broadcast; the result is bool. Errors: ShapeError for shapes that do not fit.",
    "triangle": "Two axes or more; the dtype stays. Errors: ShapeError for fewer axes.",
    "axes": "Errors: IndexError for an axis that does not exist, or one that is empty.",
}

_TEXTS = """
neg same
``-x``. Errors: TypeError for bools; use ``logical_not``.
>>> lt.neg(lt.tensor([1.0, -2.0]))
tensor([-1.,  2.])

abs same
``|x|``; the gradient at 0 is 0.
>>> lt.abs(lt.tensor([-3, 0, 2]))
tensor([3, 0, 2])

sign same
-1, 0 or 1; 0 for NaN. The gradient is 0.
>>> lt.sign(lt.tensor([-0.5, 0.0, 7.0]))
tensor([-1.,  0.,  1.])

exp float
``e ** x``.
>>> lt.exp(lt.tensor([0.0, 1.0, -1.0]))
tensor([1.0000, 2.7183, 0.3679])

exp2 float
``2 ** x``.
>>> lt.exp2(lt.tensor([0, 3, 10]))
tensor([1.0000e+00, 8.0000e+00, 1.0240e+03])

expm1 float
``e ** x - 1``, exact near 0.
>>> x = lt.tensor([1e-10])
>>> lt.expm1(x), lt.exp(x) - 1
(tensor([1.0000e-10]), tensor([0.]))

log float
The natural logarithm: -inf at 0, NaN below.
>>> lt.log(lt.tensor([1.0, 10.0, 0.0, -1.0]))
tensor([0.0000, 2.3026,   -inf,    nan])

log2 float
The logarithm to base 2.
>>> lt.log2(lt.tensor([1, 8, 1024]))
tensor([ 0.,  3., 10.])

log10 float
The logarithm to base 10.
>>> lt.log10(lt.tensor([0.01, 1.0, 1000.0]))
tensor([-2.,  0.,  3.])

log1p float
``log(1 + x)``, exact near 0.
>>> x = lt.tensor([1e-10])
>>> lt.log1p(x), lt.log(1 + x)
(tensor([1.0000e-10]), tensor([0.]))

sqrt float
The square root; NaN below 0.
>>> lt.sqrt(lt.tensor([9.0, 2.0, -1.0]))
tensor([3.0000, 1.4142,    nan])

rsqrt float
``1 / sqrt(x)``.
>>> lt.rsqrt(lt.tensor([4.0, 0.25, 0.0]))
tensor([0.5000, 2.0000,    inf])

reciprocal float
``1 / x``.
>>> lt.reciprocal(lt.tensor([4, 0]))
tensor([0.2500,    inf])

square same
``x * x``.
>>> lt.square(lt.tensor([-3, 2]))
tensor([9, 4])

sin float
The sine of radians.
>>> lt.sin(lt.tensor([0.0, lt.pi / 6, lt.pi / 2]))
tensor([0.0000, 0.5000, 1.0000])

cos float
The cosine of radians.
>>> lt.cos(lt.tensor([0.0, lt.pi / 3, lt.pi]))
tensor([ 1.0000,  0.5000, -1.0000])

tan float
The tangent of radians.
>>> lt.tan(lt.tensor([0.0, lt.pi / 4, -lt.pi / 4]))
tensor([ 0.,  1., -1.])

asin float
The arc sine, from -pi/2 to pi/2; NaN outside -1 to 1.
>>> lt.asin(lt.tensor([0.5, 1.0, 1.1]))
tensor([0.5236, 1.5708,    nan])

acos float
The arc cosine, from 0 to pi; NaN outside -1 to 1.
>>> lt.acos(lt.tensor([-1.0, 0.5, 1.0]))
tensor([3.1416, 1.0472, 0.0000])

atan float
The arc tangent, from -pi/2 to pi/2.
>>> lt.atan(lt.tensor([1.0, -lt.inf]))
tensor([ 0.7854, -1.5708])

sinh float
The hyperbolic sine, ``(e**x - e**-x) / 2``.
>>> lt.sinh(lt.tensor([-1.0, 0.0, 1.0]))
tensor([-1.1752,  0.0000,  1.1752])

cosh float
The hyperbolic cosine, ``(e**x + e**-x) / 2``.
>>> lt.cosh(lt.tensor([-1.0, 0.0, 1.0]))
tensor([1.5431, 1.0000, 1.5431])

tanh float
The hyperbolic tangent, ``sinh(x) / cosh(x)``.
>>> lt.tanh(lt.tensor([-1.0, 0.0, 20.0]))
tensor([-0.7616,  0.0000,  1.0000])

asinh float
The inverse of ``sinh``.
>>> lt.asinh(lt.sinh(lt.tensor([-2.0, 0.5])))
tensor([-2.0000,  0.5000])

acosh float
The inverse of ``cosh``; NaN below 1.
>>> lt.acosh(lt.tensor([0.5, 1.0, 2.0]))
tensor([   nan, 0.0000, 1.3170])

atanh float
The inverse of ``tanh``; infinite at -1 and 1, NaN outside.
>>> lt.atanh(lt.tensor([0.5, 1.0, 2.0]))
tensor([0.5493,    inf,    nan])

sigmoid float
``1 / (1 + exp(-x))``, from 0 to 1.
>>> lt.sigmoid(lt.tensor([-2.0, 0.0, 100.0]))
tensor([0.1192, 0.5000, 1.0000])

relu same
``max(x, 0)``; the gradient at 0 is 0.
>>> x = lt.tensor([-1.0, 0.0, 2.0], requires_grad=True)
>>> lt.relu(x).sum().backward()
>>> lt.relu(x).detach(), x.grad
(tensor([0., 0., 2.]), tensor([0., 0., 1.]))

erf float
The error function, ``2 / sqrt(pi)`` times the integral of ``exp(-t²)`` from 0 to x.
>>> lt.erf(lt.tensor([0.0, 0.5, 3.0]))
tensor([0.0000, 0.5205, 1.0000])

erfc float
``1 - erf(x)``, exact where that is small.
>>> x = lt.tensor([5.0])
>>> lt.erfc(x), 1 - lt.erf(x)
(tensor([1.5375e-12]), tensor([0.]))

erfinv float
The inverse of ``erf``; infinite at -1 and 1, NaN outside.
>>> lt.erfinv(lt.erf(lt.tensor([0.25, -1.0])))
tensor([ 0.2500, -1.0000])

digamma float
The derivative of ``lgamma``.
>>> lt.digamma(lt.tensor([1.0, 2.0, 0.5]))
tensor([-0.5772,  0.4228, -1.9635])

lgamma float
``log |gamma(x)|``; ``gamma(n + 1)`` is n factorial.
>>> lt.lgamma(lt.tensor([5.0, 100.0])), lt.exp(lt.lgamma(lt.tensor([5.0])))
(tensor([  3.1781, 359.1342]), tensor([24.]))

logit float
``log(x / (1 - x))``: undoes ``sigmoid``.
>>> lt.logit(lt.tensor([0.5, 0.9, 1.0]))
tensor([0.0000, 2.1972,    inf])

floor same
The largest integer not above x. The gradient is 0.
>>> lt.floor(lt.tensor([1.7, -1.2]))
tensor([ 1., -2.])

ceil same
The smallest integer not below x. The gradient is 0.
>>> lt.ceil(lt.tensor([1.2, -1.7]))
tensor([ 2., -1.])

round same
The nearest integer, halves to even. The gradient is 0.
>>> lt.round(lt.tensor([0.5, 1.5, 2.5, -1.7]))
tensor([ 0.,  2.,  2., -2.])

trunc same
x without its fraction. The gradient is 0.
>>> lt.trunc(lt.tensor([1.7, -1.7]))
tensor([ 1., -1.])

frac same
The fraction of x, with its sign.
>>> lt.frac(lt.tensor([1.75, -1.75]))
tensor([ 0.7500, -0.7500])

maximum pair
The larger of each pair; NaN where one of them is. Ties share the gradient.
>>> lt.maximum(lt.tensor([1.0, 5.0, lt.nan]), lt.tensor([3.0, 2.0, 0.0]))
tensor([3., 5., nan])

minimum pair
The smaller of each pair; NaN where one of them is. Ties share the gradient.
>>> lt.minimum(lt.tensor([1.0, 5.0, lt.nan]), lt.tensor(3.0))
tensor([1., 3., nan])

fmax pair
The larger of each pair; where one is NaN, the other. Ties share the gradient.
>>> lt.fmax(lt.tensor([1.0, lt.nan]), lt.tensor([3.0, 0.0]))
tensor([3., 0.])

fmin pair
The smaller of each pair; where one is NaN, the other. Ties share the gradient.
>>> lt.fmin(lt.tensor([1.0, lt.nan]), lt.tensor([3.0, 0.0]))
tensor([1., 0.])

eq bool
``x == y``, element by element; NaN equals nothing.
>>> lt.eq(lt.tensor([1.0, 2.0, lt.nan]), lt.tensor([1.0, 3.0, lt.nan]))
tensor([ True, False, False])

ne bool
``x != y``, element by element; NaN differs from all.
>>> lt.ne(lt.tensor([1, 2, 3]), 2)
tensor([ True, False,  True])

lt bool
``x < y``, element by element.
>>> lt.lt(lt.tensor([1, 2, 3]), lt.tensor([3, 2, 1]))
tensor([ True, False, False])

le bool
``x <= y``, element by element.
>>> lt.le(lt.tensor([1, 2, 3]), 2)
tensor([ True,  True, False])

gt bool
``x > y``, element by element.
>>> lt.gt(lt.tensor([[1], [3]]), lt.tensor([0, 2]))
tensor([[ True, False],
        [ True,  True]])

ge bool
``x >= y``, element by element.
>>> lt.ge(lt.tensor([1.5, 2.0, lt.nan]), 2)
tensor([False,  True, False])

logical_and bool
Whether both are not zero.
>>> lt.logical_and(lt.tensor([True, True, False]), lt.tensor([5, 0, 5]))
tensor([ True, False, False])

logical_or bool
Whether one of the two is not zero.
>>> lt.logical_or(lt.tensor([0.0, 0.5]), lt.tensor([0.0, 0.0]))
tensor([False,  True])

logical_xor bool
Whether exactly one of the two is not zero.
>>> lt.logical_xor(lt.tensor([1, 1, 0]), lt.tensor([2, 0, 0]))
tensor([False,  True, False])

logical_not test
Whether the element is zero.
>>> lt.logical_not(lt.tensor([0, 1, -3]))
tensor([ True, False, False])

bitwise_not bits
All bits of integers flipped; not of bools.
>>> lt.bitwise_not(lt.tensor([0, 5])), lt.bitwise_not(lt.tensor([True]))
(tensor([-1, -6]), tensor([False]))

bitwise_and bits
Bits set in both integers; and of bools.
>>> bin(lt.bitwise_and(lt.tensor(0b1100), 0b1010).item())
'0b1000'

bitwise_or bits
Bits set in one of two integers; or of bools.
>>> lt.bitwise_or(lt.tensor([12, 4]), 10)
tensor([14, 14])

bitwise_xor bits
Bits set in exactly one of two integers; xor of bools.
>>> lt.bitwise_xor(lt.tensor([12, 10]), 10)
tensor([6, 0])

bitwise_left_shift shift
``x << y``.
>>> lt.bitwise_left_shift(lt.tensor([1, 3]), lt.tensor([4, 1]))
tensor([16,  6])

bitwise_right_shift shift
``x >> y``; the sign stays.
>>> lt.bitwise_right_shift(lt.tensor([17, -8]), 2)
tensor([ 4, -2])

floor_divide pair
``x / y`` rounded down, as Python's ``//``. No gradient.
>>> lt.floor_divide(lt.tensor([7, -7]), 2), lt.floor_divide(lt.tensor([7.5]), -2.0)
(tensor([ 3, -4]), tensor([-4.]))

isnan test
Whether the element is NaN.
>>> lt.isnan(lt.tensor([1.0, lt.nan, lt.inf]))
tensor([False,  True, False])

isinf test
Whether the element is infinite.
>>> lt.isinf(lt.tensor([1.0, lt.nan, -lt.inf]))
tensor([False, False,  True])

isfinite test
Whether the element is neither NaN nor infinite.
>>> lt.isfinite(lt.tensor([1.0, lt.nan, -lt.inf]))
tensor([ True, False, False])

signbit test
Whether the sign is negative, also of -0.0.
>>> lt.signbit(lt.tensor([-1.0, 0.0, -0.0]))
tensor([ True, False,  True])

amax axes
The maximum over the axes ``dim`` (an int or several; all by default); ties share the gradient.
>>> x = lt.tensor([[1.0, 7.0], [9.0, 2.0]])
>>> lt.amax(x), lt.amax(x, 1), lt.amax(x, dim=(0, 1), keepdim=True)
(tensor(9.), tensor([7., 9.]), tensor([[9.]]))

amin axes
The minimum over the axes ``dim`` (an int or several; all by default); ties share the gradient.
>>> x = lt.tensor([[1.0, 7.0], [1.0, 2.0]], requires_grad=True)
>>> lt.amin(x).backward()
>>> x.grad
tensor([[0.5000, 0.0000],
        [0.5000, 0.0000]])

tril triangle
The lower triangle of the last two axes; zero above ``diagonal`` (0: the main one, 1: one above it).
>>> lt.tril(lt.ones(3, 3, dtype=lt.int64))
tensor([[1, 0, 0],
        [1, 1, 0],
        [1, 1, 1]])

triu triangle
The upper triangle of the last two axes; zero below ``diagonal`` (0: the main one, 1: one above it).
>>> lt.triu(lt.ones(3, 3, dtype=lt.int64), diagonal=1)
tensor([[0, 1, 1],
        [0, 0, 1],
        [0, 0, 0]])
"""


def _docstring(text: str, result: str, example: Sequence[str]) -> str:
    lines = "".join(f"\n    {line}" for line in example)
    return f"{text}\n\n{_RESULTS[result]}\n\nExample:{lines}\n"


def _read() -> dict[str, str]:
    found: dict[str, str] = {}
    for block in _TEXTS.strip().split("\n\n"):
        heading, text, *example = block.split("\n")
        name, result = heading.split()
        found[name] = _docstring(text, result, example)
    return found


DOCS = _read()
