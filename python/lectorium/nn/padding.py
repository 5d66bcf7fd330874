"""Padding layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._core import Tensor
from . import functional as F
from .functional._shared import ShapeError
from .module import Module


class _Pad(Module):
    """Pads the last ``_axes`` axes of an input with 0, 1 or 2 (constant: any number of) axes before them."""

    _axes: int
    _mode = "constant"

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        n = 2 * self._axes
        sides: Any = (padding,) * n if isinstance(padding, int) else tuple(padding)
        if len(sides) != n:
            raise ValueError(f"{type(self).__name__}: padding must be an int or {n} ints, got {padding!r}")
        self.padding = sides

    def _value(self) -> float | None:
        return None

    def forward(self, input: Tensor) -> Tensor:
        if self._mode != "constant" and input.ndim not in (self._axes + 1, self._axes + 2):
            raise ShapeError(
                f"{type(self).__name__}: expected an input of {self._axes + 1} or {self._axes + 2} axes, "
                f"got shape {list(input.shape)}"
            )
        return F.pad(input, self.padding, self._mode, self._value())

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def _value(self) -> float | None:
        return self.value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """Surrounds the last axis with a constant."""

    _axes = 1


class ConstantPad2d(_ConstantPad):
    """Surrounds the last two axes with a constant.

    Example:
        >>> lt.nn.ConstantPad2d((1, 0, 0, 0), 3.5)(lt.ones(1, 1, 1)).tolist()
        [[[3.5, 1.0]]]
    """

    _axes = 2


class ConstantPad3d(_ConstantPad):
    """Surrounds the last three axes with a constant."""

    _axes = 3


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad):
    """Surrounds the last axis with zeros."""

    _axes = 1


class ZeroPad2d(_ZeroPad):
    """Surrounds the last two axes with zeros.

    Example:
        >>> lt.nn.ZeroPad2d(2)(lt.ones(1, 1, 3, 3)).shape
        (1, 1, 7, 7)
    """

    _axes = 2


class ZeroPad3d(_ZeroPad):
    """Surrounds the last three axes with zeros."""

    _axes = 3


class ReflectionPad1d(_Pad):
    """Mirrors the last axis at its ends, which are not repeated."""

    _axes, _mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """Mirrors the last two axes at their ends, which are not repeated."""

    _axes, _mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """Mirrors the last three axes at their ends, which are not repeated."""

    _axes, _mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """Repeats the ends of the last axis."""

    _axes, _mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """Repeats the edges of the last two axes."""

    _axes, _mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """Repeats the faces of the last three axes."""

    _axes, _mode = 3, "replicate"


class CircularPad1d(_Pad):
    """Continues the last axis from its other end."""

    _axes, _mode = 1, "circular"


class CircularPad2d(_Pad):
    """Continues the last two axes from their other ends."""

    _axes, _mode = 2, "circular"


class CircularPad3d(_Pad):
    """Continues the last three axes from their other ends."""

    _axes, _mode = 3, "circular"
