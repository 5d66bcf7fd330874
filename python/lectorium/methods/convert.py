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
    """The tensor on the CPU: itself if it is there.

    Example:
        >>> x = lt.ones(2)
        >>> x.cpu() is x
        True
    """
    return to(self, CPU)


def gpu(self: Tensor) -> Tensor:
    """The tensor on the GPU: itself if it is there.

    Errors: RuntimeError where there is no GPU; see ``lectorium.gpu.is_available``.

    Example:
        >>> x = lt.ones(2)
        >>> (x.gpu() if lt.gpu.is_available() else x).sum().item()
        2.0
    """
    return to(self, GPU)


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """This tensor with the dtype of ``other``.

    Example:
        >>> lt.tensor([1.5, 2.5]).type_as(lt.tensor([1]))
        tensor([1, 2])
    """
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
    """A tensor of ``data`` with this tensor's dtype and device.

    Example:
        >>> lt.ones(1, dtype=lt.float64).new_tensor([1, 2])
        tensor([1., 2.], dtype=lectorium.float64)
    """
    return creation.tensor(
        data, dtype=dtype or self.dtype, device=self.device_type, requires_grad=requires_grad
    )


def new_full(self: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, **kwargs: Any) -> Tensor:
    """A tensor of one number with this tensor's dtype and device.

    Example:
        >>> lt.ones(1, dtype=lt.int8).new_full((2, 2), 7)
        tensor([[7, 7],
                [7, 7]], dtype=lectorium.int8)
    """
    options: dict[str, Any] = {"device": self.device_type, **kwargs}
    return creation.full(size, fill_value, dtype=dtype or self.dtype, **options)


def _made_by(make: Callable[..., Tensor], result: str) -> Callable[..., Tensor]:
    def new(self: Tensor, *size: Any, dtype: Any = None, **kwargs: Any) -> Tensor:
        return make(*size, dtype=dtype or self.dtype, **{"device": self.device_type, **kwargs})

    new.__name__ = new.__qualname__ = name = f"new_{make.__name__}"
    new.__doc__ = (
        f"``{make.__name__}`` with this tensor's dtype and device.\n\n"
        f"Example:\n    >>> lt.tensor([5]).{name}({result}\n"
    )
    return new


def _cast_to(name: str, target: Any, example: str) -> Callable[[Tensor], Tensor]:
    def method(self: Tensor) -> Tensor:
        return self if self.dtype == target else ops.cast(self, target)

    call, result = example.split(" -> ")
    method.__name__ = method.__qualname__ = name
    method.__doc__ = (
        f"This tensor as {target.name}: itself if it is.\n\n"
        f"Example:\n    >>> {call}\n    {result.replace(target.name, repr(target))}\n"
    )
    return method


_CASTS = {
    "float": (_core.float32, "lt.tensor([1, 2]).float() / 4 -> tensor([0.2500, 0.5000])"),
    "double": (_core.float64, "lt.tensor(0.1).double() -> tensor(0.1000, dtype=float64)"),
    "half": (_core.float16, "lt.tensor([0.1, 70000.0]).half() -> tensor([0.1000,    inf], dtype=float16)"),
    "bfloat16": (_core.bfloat16, "lt.tensor(1.01).bfloat16() -> tensor(1.0078, dtype=bfloat16)"),
    "long": (_core.int64, "lt.tensor([1.9, -1.9]).long() -> tensor([ 1, -1])"),
    "int": (_core.int32, "lt.tensor([True, False]).int() -> tensor([1, 0], dtype=int32)"),
    "short": (_core.int16, "lt.tensor([40000]).short() -> tensor([-25536], dtype=int16)"),
    "char": (_core.int8, "lt.tensor([127, 128]).char() -> tensor([ 127, -128], dtype=int8)"),
    "byte": (_core.uint8, "lt.tensor([-1, 256]).byte() -> tensor([255,   0], dtype=uint8)"),
    "bool": (_core.bool, "lt.tensor([0.0, 0.1, -3.0]).bool() -> tensor([False,  True,  True])"),
}
METHODS = (
    to,
    cpu,
    gpu,
    type_as,
    numpy,
    new_tensor,
    new_full,
    _made_by(creation.zeros, "2)\n    tensor([0, 0])"),
    _made_by(creation.ones, "1, 3)\n    tensor([[1, 1, 1]])"),
    _made_by(creation.empty, "0, 4).shape\n    (0, 4)"),
    *[_cast_to(name, *of) for name, of in _CASTS.items()],
)
PROTOCOLS: dict[str, Callable[..., Any]] = {
    "__array__": _array,
    "__dlpack__": _dlpack,
    "__dlpack_device__": _dlpack_device,
}
