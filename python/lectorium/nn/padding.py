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
    """Surrounds the last axis with a constant; ``padding`` is (left, right) or one int.

    Negative padding crops. Errors: ValueError for another number of ints; likewise for all padding layers.

    Example:
        >>> lt.nn.ConstantPad1d((2, -1), 9)(lt.arange(3))
        tensor([9, 9, 0, 1])
    """

    _axes = 1


class ConstantPad2d(_ConstantPad):
    """Surrounds the last two axes with a constant.

    Example:
        >>> lt.nn.ConstantPad2d((1, 0, 0, 0), 3.5)(lt.ones(1, 1, 1)).tolist()
        [[[3.5, 1.0]]]
    """

    _axes = 2


class ConstantPad3d(_ConstantPad):
    """Surrounds the last three axes with a constant.

    Example:
        >>> lt.nn.ConstantPad3d(1, 7.0)(lt.zeros(1, 1, 1))[1]
        tensor([[7., 7., 7.],
                [7., 0., 7.],
                [7., 7., 7.]])
    """

    _axes = 3


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad):
    """Surrounds the last axis with zeros.

    Example:
        >>> lt.nn.ZeroPad1d((1, 2))(lt.tensor([[1.0, 2.0]]))
        tensor([[0., 1., 2., 0., 0.]])
    """

    _axes = 1


class ZeroPad2d(_ZeroPad):
    """Surrounds the last two axes with zeros.

    Example:
        >>> lt.nn.ZeroPad2d(2)(lt.ones(1, 1, 3, 3)).shape
        (1, 1, 7, 7)
    """

    _axes = 2


class ZeroPad3d(_ZeroPad):
    """Surrounds the last three axes with zeros.

    Example:
        >>> lt.nn.ZeroPad3d((0, 1, 0, 0, 1, 0))(lt.ones(1, 1, 1, 1)).tolist()
        [[[[0.0, 0.0]], [[1.0, 0.0]]]]
    """

    _axes = 3


class ReflectionPad1d(_Pad):
    """Mirrors the last axis at its ends, which are not repeated.

    Example:
        >>> lt.nn.ReflectionPad1d(2)(lt.tensor([[1.0, 2.0, 3.0]]))
        tensor([[3., 2., 1., 2., 3., 2., 1.]])
    """

    _axes, _mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """Mirrors the last two axes at their ends, which are not repeated.

    Errors: ShapeError where the padding is not smaller than the axis.

    Example:
        >>> lt.nn.ReflectionPad2d((1, 1, 0, 1))(lt.arange(4.0).reshape(1, 2, 2))
        tensor([[[1., 0., 1., 0.],
                 [3., 2., 3., 2.],
                 [1., 0., 1., 0.]]])
    """

    _axes, _mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """Mirrors the last three axes at their ends, which are not repeated.

    Example:
        >>> frames = lt.tensor([5.0, 6.0]).reshape(1, 2, 1, 1)
        >>> lt.nn.ReflectionPad3d((0, 0, 0, 0, 1, 1))(frames).flatten()
        tensor([6., 5., 6., 5.])
    """

    _axes, _mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """Repeats the ends of the last axis.

    Example:
        >>> lt.nn.ReplicationPad1d((1, 3))(lt.tensor([[1.0, 2.0]]))
        tensor([[1., 1., 2., 2., 2., 2.]])
    """

    _axes, _mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """Repeats the edges of the last two axes.

    Example:
        >>> lt.nn.ReplicationPad2d(1)(lt.tensor([[[1.0, 2.0]]]))
        tensor([[[1., 1., 2., 2.],
                 [1., 1., 2., 2.],
                 [1., 1., 2., 2.]]])
    """

    _axes, _mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """Repeats the faces of the last three axes.

    Example:
        >>> lt.nn.ReplicationPad3d((0, 2, 0, 0, 0, 0))(lt.tensor([5.0, 6.0]).reshape(1, 2, 1, 1)).tolist()
        [[[[5.0, 5.0, 5.0]], [[6.0, 6.0, 6.0]]]]
    """

    _axes, _mode = 3, "replicate"


class CircularPad1d(_Pad):
    """Continues the last axis from its other end.

    Example:
        >>> lt.nn.CircularPad1d((1, 2))(lt.tensor([[1.0, 2.0, 3.0]]))
        tensor([[3., 1., 2., 3., 1., 2.]])
    """

    _axes, _mode = 1, "circular"


class CircularPad2d(_Pad):
    """Continues the last two axes from their other ends.

    Example:
        >>> lt.nn.CircularPad2d((1, 0, 1, 0))(lt.arange(4.0).reshape(1, 2, 2))
        tensor([[[3., 2., 3.],
                 [1., 0., 1.],
                 [3., 2., 3.]]])
    """

    _axes, _mode = 2, "circular"


class CircularPad3d(_Pad):
    """Continues the last three axes from their other ends.

    Example:
        >>> lt.nn.CircularPad3d((1, 1, 0, 0, 0, 0))(lt.arange(2.0).reshape(1, 1, 1, 2)).tolist()
        [[[[1.0, 0.0, 1.0, 0.0]]]]
    """

    _axes, _mode = 3, "circular"
