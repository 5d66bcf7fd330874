"""Elementwise functions with more than one form."""

from __future__ import annotations

import math
from typing import Any

from .. import _core, ops
from .._checks import tensor_of
from .._core import Tensor


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Each element held between ``min`` and ``max``: numbers or tensors that broadcast.

    Example:
        >>> lt.clamp(lt.tensor([-1.0, 0.5, 2.0]), 0, 1)
        tensor([0.0000, 0.5000, 1.0000])
    """
    if min is None and max is None:
        raise ValueError("clamp: at least one of min and max must be given")
    if not isinstance(min, Tensor) and not isinstance(max, Tensor):
        return ops.clamp(input, min, max)
    # Not by maximum and minimum: at a bound the whole gradient is the input's, as for numbers.
    if min is not None:
        input = ops.where(_stays(_core.ge(input, min), input), input, min)
    return input if max is None else ops.where(_stays(_core.le(input, max), input), input, max)


def _stays(inside: Tensor, x: Tensor) -> Tensor:
    return _core.logical_or(inside, _core.isnan(x)) if x.dtype.is_floating_point else inside


clip = clamp


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """``input / other``; ``rounding_mode`` None (true division), "trunc" or "floor".

    Example:
        >>> lt.div(lt.tensor([-7, 7]), 2, rounding_mode="floor")
        tensor([-4,  3])
    """
    if rounding_mode is None:
        return ops.div(input, other)
    if rounding_mode == "floor":
        return ops.floor_divide(input, other)
    if rounding_mode == "trunc":
        dtype = _core.result_type(input, other)
        if dtype.is_floating_point:
            return ops.trunc(ops.div(input, other))
        floored, rest = ops.floor_divide(input, other), ops.fmod(input, other)
        away = _core.logical_and(_core.ne(rest, 0), _core.lt(floored, 0))
        return ops.add(floored, _core.cast(away, dtype))
    raise ValueError(f"div: rounding_mode must be None, 'trunc' or 'floor', got {rounding_mode!r}")


def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """``input`` where ``condition`` holds, else ``other``; with the condition alone its indices.

    Example:
        >>> lt.where(lt.tensor([True, False]), 1.0, 2.0)
        tensor([1., 2.])
    """
    if input is None and other is None:
        return nonzero_tuple(condition)
    return ops.where(condition, input, other)


def nonzero_tuple(input: Tensor) -> tuple[Tensor, ...]:
    """The indices of the elements that are not zero, a tensor for each axis."""
    found = _core.nonzero(input)
    return tuple(
        _core.contiguous(_core.squeeze(_core.narrow(found, 1, i, 1), (1,))) for i in range(input.ndim)
    )


def _tensors(op: str, **given: Any) -> None:
    for name, value in given.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{op}: {name} must be a Tensor, got {type(value).__name__}")


def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """``input + weight * (end - input)``.

    Example:
        >>> lt.lerp(lt.zeros(2), lt.ones(2), 0.25)
        tensor([0.2500, 0.2500])
    """
    _tensors("lerp", input=input, end=end)
    if not (input.dtype.is_floating_point and end.dtype == input.dtype):
        return ops.add(input, ops.mul(ops.sub(end, input), weight))
    return ops.lerp(input, end, weight)


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """``input + value * tensor1 * tensor2``.

    Example:
        >>> lt.addcmul(lt.ones(1), lt.full((1,), 2.0), lt.full((1,), 3.0), value=0.5)
        tensor([4.])
    """
    _tensors("addcmul", input=input, tensor1=tensor1, tensor2=tensor2)
    return ops.addcmul(input, tensor1, tensor2, value)


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """``input + value * tensor1 / tensor2``.

    Example:
        >>> lt.addcdiv(lt.ones(1), lt.full((1,), 6.0), lt.full((1,), 3.0), value=0.5)
        tensor([2.])
    """
    return ops.add(input, ops.div(tensor1, tensor2), value)


def float_power(input: Any, exponent: Any) -> Tensor:
    """``input ** exponent`` in float64.

    Example:
        >>> lt.float_power(lt.tensor([2, 10]), -1)
        tensor([0.5000, 0.1000], dtype=lectorium.float64)
    """
    base = ops.cast(input, _core.float64) if isinstance(input, Tensor) else input
    power = ops.cast(exponent, _core.float64) if isinstance(exponent, Tensor) else exponent
    return ops.pow(base, power)


def xlogy(input: Any, other: Tensor) -> Tensor:
    """``input * log(other)``, 0 where input is 0 (NaN where other is).

    Example:
        >>> lt.xlogy(lt.tensor([0.0, 1.0]), lt.tensor([0.0, 1.0]))
        tensor([0., 0.])
    """
    zero = _core.eq(input, 0)
    if isinstance(other, Tensor) and other.dtype.is_floating_point:
        zero = _core.logical_and(zero, _core.logical_not(_core.isnan(other)))
    return ops.where(zero, 0.0, ops.mul(input, ops.log(ops.where(zero, 1.0, other))))


_BIGGEST = {
    "float16": 65504.0,
    "bfloat16": 3.3895313892515355e38,
    "float32": 3.4028234663852886e38,
    "float64": 1.7976931348623157e308,
}


def nan_to_num(
    input: Tensor, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """NaN and infinities replaced by numbers (the largest finite ones by default).

    Example:
        >>> lt.nan_to_num(lt.tensor([float("nan"), 1.0]))
        tensor([0., 1.])
    """
    if not input.dtype.is_floating_point:
        return input
    biggest = _BIGGEST[input.dtype.name]
    out = ops.where(_core.isnan(input), nan, input)
    out = ops.where(_core.eq(input, math.inf), biggest if posinf is None else posinf, out)
    return ops.where(_core.eq(input, -math.inf), -biggest if neginf is None else neginf, out)


def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Whether ``|input - other| <= atol + rtol * |other|``, element by element.

    Example:
        >>> lt.isclose(lt.tensor([1.0]), lt.tensor([1.0 + 1e-7]))
        tensor([True])
    """
    if input.dtype != other.dtype:
        raise TypeError(f"isclose: expected equal dtypes, got {input.dtype!r} and {other.dtype!r}")
    near = _core.le(_core.abs(_core.sub(input, other)), _core.add(_core.mul(_core.abs(other), rtol), atol))
    near = _core.logical_and(near, _core.isfinite(other))
    near = _core.logical_or(near, _core.eq(input, other))
    if equal_nan:
        near = _core.logical_or(near, _core.logical_and(_core.isnan(input), _core.isnan(other)))
    return near


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether all elements are close (``isclose``).

    Example:
        >>> lt.allclose(lt.ones(2), lt.ones(2) + 1e-8)
        True
    """
    input, other = tensor_of("allclose", input), tensor_of("allclose", other, "other")
    return bool(_core.all(isclose(input.detach(), other.detach(), rtol, atol, equal_nan)).item())


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and elements.

    Example:
        >>> lt.equal(lt.ones(2), lt.ones(3))
        False
    """
    input, other = tensor_of("equal", input), tensor_of("equal", other, "other")
    return input.shape == other.shape and bool(_core.all(_core.eq(input, other)).item())
