"""The GPU, through wgpu: any vendor's, with no toolkit."""

from __future__ import annotations

from . import _core


def is_available() -> bool:
    """Whether there is a GPU (or a software driver) to compute on.

    Example:
        >>> isinstance(lt.gpu.is_available(), bool)
        True
    """
    return _core.gpu_is_available()


def name() -> str | None:
    """The adapter's name, None without one.

    Example:
        >>> (lt.gpu.name() is None) == (not lt.gpu.is_available())
        True
    """
    return _core.gpu_adapter_name()


def synchronize() -> None:
    """Waits until everything sent to the GPU is done.

    Work is sent there and goes on in the background: call this before looking at the clock.

    Example:
        >>> lt.gpu.synchronize()
    """
    _core.gpu_synchronize()
