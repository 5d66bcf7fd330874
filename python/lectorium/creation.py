"""Functions that make tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

from . import _core
from ._checks import tensor_of
from ._core import (
    Op,
    Tensor,
    dtype as DType,
    get_default_dtype,
    reads,
    seen,
    set_default_dtype as _set_default_dtype,
)
from .device import device as Device

_created = Op("created")


def finish(t: Tensor, device: Any, requires_grad: bool) -> Tensor:
    """The tensor on ``device``, asking for gradients or not."""
    if device is not None and Device(device).type == "gpu":
        t = _core.to_gpu(t)
    seen(_created, (), t)
    if requires_grad:
        t.requires_grad = True
    return t


def sizes(name: str, size: tuple[Any, ...]) -> list[int]:
    """``f(2, 3)`` and ``f((2, 3))``."""
    if len(size) == 1 and not hasattr(size[0], "__index__"):
        if not isinstance(size[0], (tuple, list)):
            raise TypeError(f"{name}: sizes must be ints, got {type(size[0]).__name__}")
        size = tuple(cast("tuple[Any, ...] | list[Any]", size[0]))
    for d in size:
        if not hasattr(d, "__index__"):
            raise TypeError(f"{name}: sizes must be ints, got {type(d).__name__} in {size}")
    return [d.__index__() for d in size]


def set_default_dtype(d: DType) -> None:
    """The dtype of floats that nobody named one for: float32 (as at first) or float64.

    Example:
        >>> lt.set_default_dtype(lt.float64)
        >>> lt.tensor(1.5).dtype
        lectorium.float64
        >>> lt.set_default_dtype(lt.float32)
    """
    _set_default_dtype(d)


def tensor(
    data: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor with a copy of ``data``: a number, (nested) lists, a NumPy array or a tensor.

    Floats become the default dtype, ints int64, bools bool; a NumPy array keeps its type.

    Example:
        >>> lt.tensor([[1, 2], [3, 4]])
        tensor([[1, 2],
                [3, 4]])
    """
    if isinstance(data, Tensor):
        made = _core.clone(data) if data.is_cpu else _core.to_cpu(data)
        reads(data, "tensor")
        return finish(_core.cast(made, dtype or data.dtype), device, requires_grad)
    if hasattr(data, "__array_interface__") or hasattr(data, "__array__"):
        made = _core.clone(from_numpy(data))
    elif isinstance(data, (bool, int, float)):
        made = _core.full([], data, dtype or _natural(data))
    elif isinstance(data, (list, tuple, range)):
        made = _from_nested(list(cast("list[Any]", data)), dtype)
    elif hasattr(data, "__dlpack__"):
        made = _core.clone(_core.from_dlpack(data))
    else:
        raise TypeError(
            f"tensor: expected numbers, lists of them, a NumPy array or a tensor, got {type(data).__name__}"
        )
    return finish(made if dtype is None else _core.cast(made, dtype), device, requires_grad)


def _natural(number: Any) -> DType:
    """The dtype that a Python number has by itself."""
    return {bool: _core.bool, int: _core.int64}.get(number.__class__, get_default_dtype())


def _from_nested(data: Sequence[Any], dtype: DType | None) -> Tensor:
    shape: list[int] = []
    level: list[Any] = [data]
    while level and all(isinstance(x, (list, tuple)) for x in level):
        widths = {len(x) for x in level}
        if len(widths) != 1:
            raise _core.ShapeError(
                f"tensor: the lists at depth {len(shape)} have different lengths: {sorted(widths)}; "
                "all rows of a tensor are equally long"
            )
        shape.append(widths.pop())
        level = [item for x in level for item in x]
        if shape[-1] == 0:
            break
    if any(isinstance(x, Tensor) or hasattr(x, "__array__") for x in level):
        parts = [tensor(x, dtype=dtype) for x in level]
        for p in parts[1:]:
            if p.shape != parts[0].shape:
                raise _core.ShapeError(
                    f"tensor: parts of shapes {list(parts[0].shape)} and {list(p.shape)} do not stack"
                )
        for x in level:
            if isinstance(x, Tensor):
                reads(x, "tensor")
        rows = [_core.unsqueeze(p, 0) for p in parts]
        return _core.reshape(_core.cat(rows, 0), [*shape, *parts[0].shape])
    for x in level:
        if isinstance(x, (list, tuple)):
            raise _core.ShapeError(
                "tensor: numbers and lists are mixed at one depth; rows must be equally deep"
            )
        if not isinstance(x, (bool, int, float)):
            raise TypeError(f"tensor: expected numbers, got {type(x).__name__}")
    if dtype is None:
        kinds: set[type] = {type(x) for x in level}
        floating = not kinds or any(issubclass(t, float) for t in kinds)
        dtype = _core.bool if kinds == {bool} else _natural(0.0 if floating else 0)
    return _core.from_numbers(tuple(level), shape, dtype)


def as_tensor(data: Any, dtype: DType | None = None, device: Any = None) -> Tensor:
    """As ``tensor``, but sharing memory where that needs no conversion.

    Example:
        >>> a = np.zeros(2, dtype=np.float32)
        >>> t = lt.as_tensor(a)
        >>> a[0] = 5
        >>> t
        tensor([5., 0.])
    """
    if isinstance(data, Tensor):
        return data if dtype is None and device is None else data.to(device=device, dtype=dtype)
    if hasattr(data, "__array_interface__"):
        return finish(_core.cast(from_numpy(data), dtype) if dtype else from_numpy(data), device, False)
    return tensor(data, dtype=dtype, device=device)


asarray = as_tensor


def from_numpy(ndarray: Any) -> Tensor:
    """A tensor on the memory of a NumPy array: a change in one shows in the other.

    Errors: TypeError for types without a dtype here. A read-only array gives a tensor that refuses
    in-place changes.

    Example:
        >>> lt.from_numpy(np.arange(3))
        tensor([0, 1, 2])
    """
    if not hasattr(ndarray, "__array_interface__"):
        if not hasattr(ndarray, "__array__"):
            raise TypeError(f"from_numpy: expected a NumPy array, got {type(ndarray).__name__}")
        ndarray = ndarray.__array__()
    return _core.from_array_interface(ndarray)


def empty(
    *size: Any,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor with arbitrary content.

    Example:
        >>> lt.empty(2, 3).shape
        (2, 3)
    """
    return finish(_core.empty(sizes("empty", size), dtype or get_default_dtype()), device, requires_grad)


def zeros(*size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros.

    Example:
        >>> lt.zeros(2, 2)
        tensor([[0., 0.],
                [0., 0.]])
    """
    return finish(_core.zeros(sizes("zeros", size), dtype or get_default_dtype()), device, requires_grad)


def ones(*size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones.

    Example:
        >>> lt.ones(3)
        tensor([1., 1., 1.])
    """
    return finish(_core.full(sizes("ones", size), 1, dtype or get_default_dtype()), device, requires_grad)


def full(
    size: Any, fill_value: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """One number everywhere; its kind gives the dtype.

    Example:
        >>> lt.full((2,), 7)
        tensor([7, 7])
    """
    made = _core.full(sizes("full", (size,)), fill_value, dtype or _natural(fill_value))
    return finish(made, device, requires_grad)


def like(op: str, x: Tensor, dtype: DType | None, device: Any) -> tuple[list[int], DType, Any]:
    """Shape, dtype and device: those of ``x`` where none is given."""
    return list(tensor_of(op, x).shape), dtype or x.dtype, x.device_type if device is None else device


def empty_like(
    input: Tensor, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Arbitrary content in the shape of ``input``.

    Example:
        >>> lt.empty_like(lt.ones(2)).shape
        (2,)
    """
    shape, dtype, device = like("empty_like", input, dtype, device)
    return finish(_core.empty(shape, dtype), device, requires_grad)


def zeros_like(
    input: Tensor, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros in the shape of ``input``.

    Example:
        >>> lt.zeros_like(lt.ones(2))
        tensor([0., 0.])
    """
    shape, dtype, device = like("zeros_like", input, dtype, device)
    return finish(_core.zeros(shape, dtype), device, requires_grad)


def ones_like(
    input: Tensor, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones in the shape of ``input``.

    Example:
        >>> lt.ones_like(lt.zeros(2))
        tensor([1., 1.])
    """
    return full_like(input, 1, dtype=dtype, device=device, requires_grad=requires_grad)


def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """One number in the shape of ``input``.

    Example:
        >>> lt.full_like(lt.zeros(2), 3)
        tensor([3., 3.])
    """
    shape, dtype, device = like("full_like", input, dtype, device)
    return finish(_core.full(shape, fill_value, dtype), device, requires_grad)


def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``start``, ``start + step`` … below ``end``; ``arange(n)`` counts from 0.

    Example:
        >>> lt.arange(1, 7, 2)
        tensor([1, 3, 5])
    """
    if end is None:
        start, end = 0, start
    if dtype is None:
        dtype = get_default_dtype() if any(_is_float(v) for v in (start, end, step)) else _core.int64
    return finish(_core.arange(start, end, step, dtype), device, requires_grad)


def _is_float(number: Any) -> bool:
    # NumPy's float32 is no Python float, but no index either.
    return number.dtype.is_floating_point if isinstance(number, Tensor) else not hasattr(number, "__index__")


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``steps`` evenly spaced numbers from ``start`` to ``end``, both included.

    Example:
        >>> lt.linspace(0, 1, 5)
        tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    return finish(_core.linspace(start, end, steps, dtype or get_default_dtype()), device, requires_grad)


def logspace(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``base`` to evenly spaced powers.

    Example:
        >>> lt.logspace(0, 2, 3)
        tensor([  1.,  10., 100.])
    """
    exponents = _core.linspace(start, end, steps, _core.float64)
    exact = base in (2, 10)
    made = _core.pow(base, exponents) if exact else _core.exp(_core.mul(exponents, math.log(base)))
    return finish(_core.cast(made, dtype or get_default_dtype()), device, requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Ones on the diagonal, zeros elsewhere.

    Example:
        >>> lt.eye(2)
        tensor([[1., 0.],
                [0., 1.]])
    """
    return finish(_core.eye(n, n if m is None else m, dtype or get_default_dtype()), device, requires_grad)
