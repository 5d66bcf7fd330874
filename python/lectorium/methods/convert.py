"""Methods for another dtype, another device, other libraries, and tensors of the same kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import _core, creation, ops
from .._core import Tensor
from ..device import CPU, GPU, device as Device


def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Another dtype and/or device: ``to(dtype)``, ``to(device)``, ``to(device, dtype)``, ``to(other)``.

    The tensor itself if nothing changes and ``copy`` is not set.

    Example:
        >>> lt.ones(2).to(lt.int32)
        tensor([1, 1], dtype=lectorium.int32)
    """
    dtype, device = kwargs.pop("dtype", None), kwargs.pop("device", None)
    copy = kwargs.pop("copy", False)
    kwargs.pop("non_blocking", None)
    if kwargs:
        raise TypeError(f"to: unexpected argument {next(iter(kwargs))!r}")
    for a in args:
        if isinstance(a, Tensor):
            dtype, device = a.dtype, a.device_type
        elif isinstance(a, (str, Device)):
            device = a
        elif isinstance(a, bool):
            pass  # non_blocking by position
        elif a is not None:
            dtype = a
    out = self
    if dtype is not None and dtype != out.dtype:
        out = ops.cast(out, dtype)
    if device is not None and Device(device).type != out.device_type:
        out = ops.to_gpu(out) if Device(device).type == "gpu" else ops.to_cpu(out)
    return ops.clone(out) if copy and out is self else out


def cpu(self: Tensor) -> Tensor:
    """The tensor on the CPU."""
    return to(self, CPU)


def gpu(self: Tensor) -> Tensor:
    """The tensor on the GPU."""
    return to(self, GPU)


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """This tensor with the dtype of ``other``."""
    return to(self, other.dtype)


def numpy(self: Tensor, *, force: bool = False) -> Any:
    """A NumPy array on the same memory: a change in one shows in the other.

    Errors: RuntimeError for a tensor that requires gradients or lives on the GPU (unless ``force``).

    Example:
        >>> t = lt.zeros(2)
        >>> t.numpy()[0] = 7
        >>> t
        tensor([7., 0.])
    """
    import numpy as np

    if force:
        self = self.detach().to(CPU)
    if self.requires_grad:
        raise RuntimeError("numpy: the tensor requires gradients; use .detach().numpy()")
    return np.asarray(_core.array_handle(self))


def _array(self: Tensor, dtype: Any = None, copy: bool | None = None) -> Any:
    import numpy as np

    array = numpy(self)
    if dtype is not None and array.dtype != dtype:
        return array.astype(dtype)
    return np.array(array) if copy else array


def _dlpack(self: Tensor, **kwargs: Any) -> Any:
    from ..interop.dlpack import export

    return export(self, **kwargs)


def _dlpack_device(self: Tensor) -> tuple[int, int]:
    from ..interop.dlpack import export_device

    return export_device(self)


def new_tensor(self: Tensor, data: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of ``data`` with this tensor's dtype and device."""
    return creation.tensor(
        data, dtype=dtype or self.dtype, device=self.device_type, requires_grad=requires_grad
    )


def new_full(self: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, **kwargs: Any) -> Tensor:
    """One number with this tensor's dtype and device."""
    options: dict[str, Any] = {"device": self.device_type, **kwargs}
    return creation.full(size, fill_value, dtype=dtype or self.dtype, **options)


def _made_by(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def new(self: Tensor, *size: Any, dtype: Any = None, **kwargs: Any) -> Tensor:
        return make(*size, dtype=dtype or self.dtype, **{"device": self.device_type, **kwargs})

    new.__name__ = f"new_{make.__name__}"
    new.__doc__ = f"``{make.__name__}`` with this tensor's dtype and device."
    return new


def _cast_to(name: str, target: Any) -> Callable[[Tensor], Tensor]:
    def method(self: Tensor) -> Tensor:
        return self if self.dtype == target else ops.cast(self, target)

    method.__name__ = name
    method.__doc__ = f"This tensor as {target.name}."
    return method


_CASTS = {
    "float": _core.float32,
    "double": _core.float64,
    "half": _core.float16,
    "bfloat16": _core.bfloat16,
    "long": _core.int64,
    "int": _core.int32,
    "short": _core.int16,
    "char": _core.int8,
    "byte": _core.uint8,
    "bool": _core.bool,
}
METHODS = (
    to,
    cpu,
    gpu,
    type_as,
    numpy,
    new_tensor,
    new_full,
    *[_made_by(make) for make in (creation.zeros, creation.ones, creation.empty)],
    *[_cast_to(name, target) for name, target in _CASTS.items()],
)
PROTOCOLS: dict[str, Callable[..., Any]] = {
    "__array__": _array,
    "__dlpack__": _dlpack,
    "__dlpack_device__": _dlpack_device,
}
