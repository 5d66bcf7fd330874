"""Pooling layers."""

from __future__ import annotations

from typing import Any

from .._core import Tensor
from . import functional as F
from .functional._shared import Ints, numbers
from .module import Module


class _MaxPool(Module):
    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )

    def _pool(self, function: Any, input: Tensor) -> Any:
        return function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class MaxPool1d(_MaxPool):
    """The largest value of each window of ``[N, C, L]``.

    Example:
        >>> lt.nn.MaxPool1d(3, stride=2)(lt.randn(20, 16, 50)).shape
        (20, 16, 24)
    """

    def forward(self, input: Tensor) -> Any:
        return self._pool(F.max_pool1d, input)


class MaxPool2d(_MaxPool):
    """The largest value of each window of ``[N, C, H, W]``; ``return_indices`` for ``MaxUnpool2d``.

    Example:
        >>> lt.nn.MaxPool2d(2)(lt.randn(1, 20, 28, 28)).shape
        (1, 20, 14, 14)
    """

    def forward(self, input: Tensor) -> Any:
        return self._pool(F.max_pool2d, input)


class _MaxUnpool(Module):
    _axes: int

    def __init__(self, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0) -> None:
        super().__init__()
        name = type(self).__name__
        self.kernel_size = numbers(name, "kernel_size", kernel_size, self._axes)
        self.stride = numbers(name, "stride", kernel_size if stride is None else stride, self._axes)
        self.padding = numbers(name, "padding", padding, self._axes)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Undoes ``MaxPool1d`` with its indices; zeros where there was no maximum.

    Example:
        >>> pool, unpool = lt.nn.MaxPool1d(2, return_indices=True), lt.nn.MaxUnpool1d(2)
        >>> unpool(*pool(lt.tensor([[1.0, 4.0, 3.0, 2.0]])))
        tensor([[0., 4., 3., 0.]])
    """

    _axes = 1

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return F.max_unpool1d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool2d(_MaxUnpool):
    """Undoes ``MaxPool2d`` with its indices; zeros where there was no maximum.

    Example:
        >>> pool, unpool = lt.nn.MaxPool2d(2, return_indices=True), lt.nn.MaxUnpool2d(2)
        >>> unpool(*pool(lt.randn(1, 1, 4, 4))).shape
        (1, 1, 4, 4)
    """

    _axes = 2

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return F.max_unpool2d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class AvgPool1d(Module):
    """The mean of each window of ``[N, C, L]``.

    Example:
        >>> lt.nn.AvgPool1d(2)(lt.tensor([[[1.0, 3.0, 2.0, 4.0]]]))
        tensor([[[2., 3.]]])
    """

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = numbers("AvgPool1d", "kernel_size", kernel_size, 1)
        self.stride = numbers("AvgPool1d", "stride", kernel_size if stride is None else stride, 1)
        self.padding = numbers("AvgPool1d", "padding", padding, 1)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(Module):
    """The mean of each window of ``[N, C, H, W]``.

    Example:
        >>> lt.nn.AvgPool2d(2)(lt.randn(1, 6, 28, 28)).shape
        (1, 6, 14, 14)
    """

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _Adaptive(Module):
    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_Adaptive):
    """Means of ``output_size`` windows along the last axis.

    Example:
        >>> lt.nn.AdaptiveAvgPool1d(2)(lt.tensor([[1.0, 2.0, 3.0]]))
        tensor([[1.5000, 2.5000]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_Adaptive):
    """Means of as many windows as it takes for ``output_size`` (an int or two; None keeps an axis).

    Example:
        >>> lt.nn.AdaptiveAvgPool2d((1, 1))(lt.randn(2, 64, 8, 9)).shape
        (2, 64, 1, 1)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(input, self.output_size)


class _AdaptiveMax(_Adaptive):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices


class AdaptiveMaxPool1d(_AdaptiveMax):
    """Maxima of ``output_size`` windows along the last axis.

    Example:
        >>> lt.nn.AdaptiveMaxPool1d(2, return_indices=True)(lt.tensor([[5.0, 2.0, 3.0]]))
        (tensor([[5., 3.]]), tensor([[0, 2]]))
    """

    def forward(self, input: Tensor) -> Any:
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMax):
    """Maxima of as many windows as it takes for ``output_size``.

    Example:
        >>> lt.nn.AdaptiveMaxPool2d(3)(lt.randn(2, 4, 8, 9)).shape
        (2, 4, 3, 3)
    """

    def forward(self, input: Tensor) -> Any:
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class _LPPool(Module):
    def __init__(
        self, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """The ``norm_type``-norm of each window along the last axis.

    Example:
        >>> lt.nn.LPPool1d(2, kernel_size=2, stride=1)(lt.tensor([[3.0, 4.0, 0.0]]))
        tensor([[5., 4.]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool1d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class LPPool2d(_LPPool):
    """The ``norm_type``-norm of each window.

    Example:
        >>> lt.nn.LPPool2d(1, kernel_size=2)(lt.arange(4.0).reshape(1, 2, 2))
        tensor([[[6.]]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool2d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)
