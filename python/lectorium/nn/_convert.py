"""A module's parameters and buffers in another dtype or on another device."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from .. import _core
from .._core import Tensor, dtype as DType
from ..device import device as Device
from ._tree import Tree

if TYPE_CHECKING:
    from .parameter import Parameter

Self = TypeVar("Self", bound="Convert")


class Convert(Tree):
    """The part of ``Module`` that converts it."""

    def _apply(self: Self, convert: Callable[[Tensor], Tensor]) -> Self:
        for child in self.children():
            child._apply(convert)
        for param in self._parameters.values():
            if param is not None:
                _convert_parameter(param, convert)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = convert(buffer)
        return self

    def to(self: Self, *args: Any, device: Any = None, dtype: DType | None = None, **ignored: Any) -> Self:
        """Moves parameters and buffers: ``to(device)``, ``to(dtype)`` (floating point ones), ``to(tensor)``.

        Example:
            >>> lt.nn.Linear(2, 1).to(lt.float64).weight.dtype
            lectorium.float64
        """
        for a in args:
            if isinstance(a, DType):
                dtype = a
            elif isinstance(a, Tensor):
                dtype, device = a.dtype, a.device_type
            elif isinstance(a, (str, Device)):
                device = a
            elif a is not None and not isinstance(a, bool):
                raise TypeError(f"to: expected a device, a dtype or a tensor, got {type(a).__name__}")
        unknown = ignored.keys() - {"non_blocking", "memory_format", "copy"}
        if unknown:
            raise TypeError(f"to: unexpected keyword arguments {sorted(unknown)}")
        if dtype is not None and not dtype.is_floating_point:
            raise TypeError(f"to: modules only accept floating point dtypes, got {dtype!r}")
        where = None if device is None else Device(device).type

        def convert(t: Tensor) -> Tensor:
            if dtype is not None and t.dtype.is_floating_point and t.dtype is not dtype:
                t = _core.cast(t, dtype)
            if where is not None and where != t.device_type:
                t = _core.to_gpu(t) if where == "gpu" else _core.to_cpu(t)
            return t

        return self._apply(convert)

    def cpu(self: Self) -> Self:
        """All parameters and buffers in main memory.

        Example:
            >>> lt.nn.Linear(2, 1).cpu().weight.device
            device(type='cpu')
        """
        return self.to("cpu")

    def float(self: Self) -> Self:
        """Floating point parameters and buffers as float32.

        Example:
            >>> lt.nn.Linear(2, 1, dtype=lt.float64).float().weight.dtype
            lectorium.float32
        """
        return self.to(_core.float32)

    def double(self: Self) -> Self:
        """Floating point parameters and buffers as float64.

        Integers, such as the number of batches that batch norm has seen, stay; so in all casts.

        Example:
            >>> norm = lt.nn.BatchNorm1d(2).double()
            >>> norm.weight.dtype, norm.num_batches_tracked.dtype
            (lectorium.float64, lectorium.int64)
        """
        return self.to(_core.float64)

    def half(self: Self) -> Self:
        """Floating point parameters and buffers as float16.

        Example:
            >>> lt.nn.Linear(2, 1).half()(lt.ones(1, 2, dtype=lt.float16)).dtype
            lectorium.float16
        """
        return self.to(_core.float16)

    def bfloat16(self: Self) -> Self:
        """Floating point parameters and buffers as bfloat16.

        Example:
            >>> sum(p.nbytes for p in lt.nn.Linear(10, 10, bias=False).bfloat16().parameters())
            200
        """
        return self.to(_core.bfloat16)

    def type(self: Self, dst_type: DType) -> Self:
        """Floating point parameters and buffers as ``dst_type``.

        Example:
            >>> lt.nn.Linear(2, 1).type(lt.float64).bias.dtype
            lectorium.float64
        """
        return self.to(dst_type)


def _convert_parameter(param: Parameter, convert: Callable[[Tensor], Tensor]) -> None:
    """Points the parameter at converted memory: whoever holds the object (an optimizer) keeps it."""
    plain = param.detach()
    changed = convert(plain)
    grad = param.grad
    if changed is not plain:
        param.grad = None
        param._set_data(changed)
    if grad is not None:
        param.grad = convert(grad.detach())
