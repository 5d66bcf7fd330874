"""Python's operators on tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import ops
from .._core import Tensor

_BINARY: dict[str, Callable[..., Any]] = {
    "add": ops.add, "sub": ops.sub, "mul": ops.mul, "truediv": ops.div, "floordiv": ops.floor_divide,
    "mod": ops.remainder, "pow": ops.pow, "matmul": ops.matmul, "and": ops.bitwise_and, "or": ops.bitwise_or,
    "xor": ops.bitwise_xor, "lshift": ops.bitwise_left_shift, "rshift": ops.bitwise_right_shift,
}  # fmt: skip
_IN_PLACE = {
    "add": "add_", "sub": "sub_", "mul": "mul_", "truediv": "div_", "floordiv": "floor_divide_",
    "mod": "remainder_", "pow": "pow_", "and": "bitwise_and_", "or": "bitwise_or_", "xor": "bitwise_xor_",
}  # fmt: skip


def _operator(function: Callable[..., Any]) -> Callable[[Tensor, Any], Any]:
    """A binary operator: NotImplemented for operands that are no numbers, so that theirs is tried."""

    def method(self: Tensor, other: Any) -> Any:
        try:
            return function(self, other)
        except TypeError:
            if isinstance(other, (Tensor, int, float)) or hasattr(other, "__array__"):
                raise
            return NotImplemented

    return method


def _comparison(function: Callable[..., Any]) -> Callable[[Tensor, Any], Any]:
    """``==`` or ``!=``: NotImplemented for what is no number, so that ``x == None`` is False."""

    def method(self: Tensor, other: Any) -> Any:
        if not isinstance(other, (Tensor, int, float)) and not hasattr(other, "item"):
            return NotImplemented
        return function(self, other)

    return method


def _itself(self: Tensor) -> Tensor:
    return self


def _reversed(function: Callable[..., Any]) -> Callable[[Tensor, Any], Any]:
    return lambda self, other: function(other, self)


def _in_place(name: str) -> Callable[[Tensor, Any], Tensor]:
    return lambda self, other: getattr(self, name)(other)


OPERATORS: dict[str, Callable[..., Any]] = {
    **{f"__{symbol}__": _operator(function) for symbol, function in _BINARY.items()},
    **{f"__r{symbol}__": _operator(_reversed(function)) for symbol, function in _BINARY.items()},
    **{f"__i{symbol}__": _in_place(name) for symbol, name in _IN_PLACE.items()},
    **{f"__{symbol}__": _operator(getattr(ops, symbol)) for symbol in ("lt", "le", "gt", "ge")},
    "__eq__": _comparison(ops.eq),
    "__ne__": _comparison(ops.ne),
    "__neg__": ops.neg,
    "__pos__": _itself,
    "__abs__": ops.abs,
    "__invert__": ops.bitwise_not,
}
