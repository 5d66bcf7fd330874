"""What several families of functions need: pairs of ints, unbatched inputs, in-place variants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

from ... import _core, ops
from ..._checks import tensor_of as tensor_of
from ..._core import Tensor
from ...autograd.inplace import apply_inplace

ShapeError = _core.ShapeError
Ints = int | Sequence[int]


def is_sequence(value: object) -> TypeGuard[Sequence[Any]]:
    """A tuple or a list."""
    return isinstance(value, (tuple, list))


def numbers(op: str, name: str, value: Any, n: int) -> tuple[int, ...]:
    """``n`` ints: one for all axes, or one for each."""
    if hasattr(value, "__index__"):
        return (value.__index__(),) * n
    if is_sequence(value):
        if len(value) == 1:
            value = [value[0]] * n
        if len(value) == n and all(hasattr(v, "__index__") for v in value):
            return tuple(v.__index__() for v in value)
    wanted = "an int" if n == 1 else f"an int or {n} ints"
    raise TypeError(f"{op}: {name} must be {wanted}, got {value!r}")


def batched(op: str, x: Any, axes: int, layout: str) -> tuple[Tensor, bool]:
    """``x`` with a batch axis, and whether one was added. ``axes`` counts the batch axis."""
    x = tensor_of(op, x)
    n = x.ndim
    if n == axes:
        return x, False
    if n == axes - 1:
        return ops.unsqueeze(x, 0), True
    raise ShapeError(
        f"{op}: expected an input of {axes} axes [N, {layout}] or {axes - 1} axes [{layout}], "
        f"got shape {list(x.shape)}"
    )


def in_place(function: Callable[..., Any], x: Tensor, *args: Any) -> Tensor:
    """Changes ``x`` to ``function(x, *args)``; the input that the gradient needs is kept as a copy."""
    if not _core.needs_grad((x,)):
        return apply_inplace(function, x, args, {})

    def on_copy(x: Tensor, *rest: Any) -> Tensor:
        return function(ops.clone(x), *rest)

    on_copy.__name__ = function.__name__
    return apply_inplace(on_copy, x, args, {})


def applied(function: Any, input: Tensor, inplace: bool, *parameters: float) -> Tensor:
    """``function(input, *parameters)``, in place or not."""
    return in_place(function, input, *parameters) if inplace else function(input, *parameters)


def axis_of(op: str, dim: int, ndim: int) -> int:
    """The axis counted from the front."""
    if not -max(ndim, 1) <= dim < max(ndim, 1):
        raise IndexError(
            f"{op}: axis {dim} is out of range for {ndim} axes; "
            f"expected {-max(ndim, 1)} to {max(ndim, 1) - 1}"
        )
    return dim % max(ndim, 1)
