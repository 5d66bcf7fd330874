"""The Tensor class: methods and operators attached to the compiled object."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

from . import ops
from ._core import Tensor
from .autograd import inplace
from .functions import indexing, join, linalg, pointwise, random, reduction, shape
from .methods import convert, fill, gradient, layout, operators, protocols


def attach(function: Callable[..., Any], name: str | None = None) -> None:
    """Makes a function a method of Tensor."""
    setattr(Tensor, name or function.__name__, _bindable(function))


def _bindable(function: Callable[..., Any]) -> Callable[..., Any]:
    # Compiled functions are no descriptors: as attributes of a class they would not get the tensor.
    if not isinstance(function, types.BuiltinFunctionType):
        return function

    @functools.wraps(function)
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    return method


def attach_inplace(name: str, function: Callable[..., Any]) -> None:
    """The in-place form of a function: writes the result into the tensor."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if kwargs and hasattr(function, "op"):
            kwargs = {k: v for k, v in kwargs.items() if v is not None}
        return inplace.apply_inplace(function, self, args, kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"``{name.rstrip('_')}`` in place; returns the tensor."
    setattr(Tensor, name, method)


# Operations that are methods as they are.
_OPS = """
    neg abs sign exp exp2 expm1 log log2 log10 log1p sqrt rsqrt reciprocal square sin cos tan asin acos atan
    sinh cosh tanh asinh acosh atanh sigmoid relu erf erfc erfinv lgamma digamma logit floor ceil round trunc
    frac add sub mul pow maximum minimum fmax fmin atan2 logaddexp hypot remainder fmod copysign floor_divide
    eq ne lt le gt ge logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor
    bitwise_not bitwise_left_shift bitwise_right_shift isnan isinf isfinite signbit
    sum mean prod amax amin logsumexp argmax argmin count_nonzero logcumsumexp matmul index_select scatter_add
    transpose unsqueeze narrow tril triu diagonal unfold as_strided clone
"""
_FUNCTIONS: dict[Any, str] = {
    pointwise: """
        clamp clip div lerp addcmul addcdiv float_power xlogy nan_to_num isclose allclose equal
    """,
    reduction: """
        max min aminmax var std norm softmax log_softmax cummax cummin sort argsort topk kthvalue median
        unique bincount any all cumsum cumprod
    """,
    shape: """
        reshape view flatten unflatten squeeze t permute movedim expand broadcast_to repeat tile
        flip roll diag repeat_interleave
    """,
    join: "split chunk unbind select",
    indexing: """
        copy_ index_put index_put_ gather scatter index_add index_copy index_fill masked_fill masked_select
        take take_along_dim nonzero
    """,
    random: "bernoulli multinomial",
    linalg: "mm bmm mv dot outer addmm addmv baddbmm trace",
}
_ALIASES = {
    "absolute": "abs", "negative": "neg", "subtract": "sub", "multiply": "mul", "divide": "div",
    "true_divide": "div", "greater": "gt", "less": "lt", "swapaxes": "transpose", "ger": "outer",
    "arctan": "atan", "arcsin": "asin", "arccos": "acos",
}  # fmt: skip
# Methods that have a form in place, with a _ at the end.
_IN_PLACE = """
    neg abs exp exp2 expm1 log log2 log10 log1p sqrt rsqrt reciprocal square sin cos tan tanh sigmoid relu
    floor ceil round trunc frac erf erfinv add sub mul div pow clamp remainder fmod lerp addcmul addcdiv
    masked_fill index_add index_fill index_copy scatter scatter_add floor_divide tril triu logit cumsum
    eq ne lt le gt ge logical_and logical_or logical_not bitwise_and bitwise_or bitwise_xor clip nan_to_num
"""


def _attach_all() -> None:
    for name in _OPS.split():
        attach(getattr(ops, name), name)
    for room, names in _FUNCTIONS.items():
        for name in names.split():
            attach(getattr(room, name), name)
    for alias, name in _ALIASES.items():
        attach(getattr(Tensor, name), alias)
    for name in _IN_PLACE.split():
        attach_inplace(f"{name}_", getattr(Tensor, name))
    for function in (*gradient.METHODS, *convert.METHODS, *fill.METHODS, *layout.METHODS):
        attach(function)
    for name, function in {**protocols.PROTOCOLS, **convert.PROTOCOLS, **operators.OPERATORS}.items():
        attach(function, name)
    for name, (get, put) in gradient.PROPERTIES.items():
        setattr(Tensor, name, property(get, put))
    for name, get in layout.PROPERTIES.items():
        setattr(Tensor, name, property(get))
    Tensor.__array_priority__ = 1000
    # NumPy hands `array + tensor` over to the tensor instead of taking it apart.
    Tensor.__array_ufunc__ = None


_attach_all()
