"""Memory shared with PyTorch, NumPy, JAX and others through DLPack, without a copy."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._core import Tensor
from ..device import device as Device

_CPU = (1, 0)


def export(
    self: Tensor,
    *,
    stream: Any = None,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[int, int] | None = None,
    copy: bool | None = None,
) -> Any:
    """A capsule on the tensor's memory: versioned if the consumer's ``max_version`` is 1.0 or later.

    Errors: BufferError for a tensor that requires gradients, lives on the GPU, or is read-only and
    asked for in a legacy capsule.

    Example:
        >>> t = lt.zeros(2)
        >>> np.from_dlpack(t).base is not None
        True
    """
    if stream not in (None, -1):
        raise ValueError(f"__dlpack__: CPU memory has no streams; stream must be None, got {stream!r}")
    if self.requires_grad:
        raise BufferError(
            "__dlpack__: the tensor requires gradients, which others cannot see; share .detach()"
        )
    if dl_device is not None and tuple(dl_device) != _CPU:
        raise BufferError(
            f"__dlpack__: only CPU memory {_CPU} can be shared, not that of device {tuple(dl_device)}"
        )
    if copy and self.is_cpu:
        self = _core.clone(self)
    return _core.to_dlpack(self, max_version is not None and max_version[0] >= 1, bool(copy))


def export_device(self: Tensor) -> tuple[int, int]:
    """DLPack's number for where the tensor lives: (1, 0), the CPU.

    Example:
        >>> lt.zeros(2).__dlpack_device__()
        (1, 0)
    """
    if not self.is_cpu:
        raise BufferError(
            '__dlpack_device__: memory of the GPU cannot be shared; move the tensor with .to("cpu") first'
        )
    return _CPU


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor on the memory of another library's: a change in one shows in the other.

    ``ext_tensor``: an object with ``__dlpack__`` (PyTorch, NumPy, JAX, CuPy …) or a capsule. ``copy``: True
    for memory of its own, False for an error where sharing is impossible. Read-only memory gives a tensor
    that refuses in-place changes. Errors: BufferError for memory on another device or unaligned memory,
    TypeError for element types without a dtype here.

    Example:
        >>> a = np.zeros(2, dtype=np.float32)
        >>> t = lt.from_dlpack(a)
        >>> a[1] = 3
        >>> t
        tensor([0., 3.])
    """
    if isinstance(ext_tensor, Tensor) and not ext_tensor.is_cpu:
        raise BufferError(
            'from_dlpack: memory of the GPU cannot be shared; move the tensor with .to("cpu") first'
        )
    if device is not None and Device(device).type != "cpu" and copy is False:
        raise ValueError("from_dlpack: what comes is CPU memory; device='gpu' needs a copy, but copy=False")
    made = _core.from_dlpack(ext_tensor, copy)
    return made if device is None else made.to(device)


def to_dlpack(tensor: Tensor) -> Any:
    """A legacy capsule on the tensor's memory, to be consumed once.

    Example:
        >>> capsule = lt.utils.dlpack.to_dlpack(lt.ones(2))
        >>> lt.utils.dlpack.from_dlpack(capsule)
        tensor([1., 1.])
    """
    return export(tensor)


__all__ = ["from_dlpack", "to_dlpack"]
