"""What layers share: empty parameters of a dtype on a device, and PyTorch's usual initialisation."""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from .._core import Tensor, dtype as DType
from ..device import device as Device
from . import init
from .parameter import Parameter


def blank(shape: Any, dtype: DType | None, device: Any) -> Tensor:
    """A tensor to be filled."""
    t = _core.empty([int(s) for s in shape], dtype or _core.get_default_dtype())
    return _core.to_gpu(t) if device is not None and Device(device).type == "gpu" else t


def filled(shape: Any, value: Any, dtype: DType | None, device: Any) -> Tensor:
    """A tensor of one number."""
    t = _core.full([int(s) for s in shape], value, dtype or _core.get_default_dtype())
    return _core.to_gpu(t) if device is not None and Device(device).type == "gpu" else t


def parameter(shape: Any, dtype: DType | None, device: Any) -> Parameter:
    """A parameter to be initialised."""
    return Parameter(blank(shape, dtype, device))


def size(layer: str, name: str, value: Any, least: int = 1) -> int:
    """A size given to a layer's constructor."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{layer}: {name} must be an int, got {type(value).__name__}")
    if value < least:
        raise ValueError(f"{layer}: {name} must be {least} or more, got {value}")
    return value.__index__()


def reset_affine(weight: Tensor, bias: Tensor | None) -> None:
    """Uniform in ±1 / sqrt(fan_in) for weight and bias, as PyTorch does for linear and convolution layers."""
    if weight.numel():
        init.kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        fan_in, _ = init._fans(weight)
        bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0.0
        init.uniform_(bias, -bound, bound)
