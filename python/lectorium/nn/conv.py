"""Convolution layers."""

from __future__ import annotations

from typing import Any

from .. import ops
from .._core import Tensor, dtype as DType
from . import functional as F
from ._make import parameter, reset_affine, size
from .functional._shared import Ints, batched, numbers
from .module import Module

_MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    """What convolutions share; ``_axes`` of the input are convolved."""

    _axes: int
    _transposed = False
    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints,
        padding: Ints | str,
        dilation: Ints,
        output_padding: Ints,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: DType | None,
    ) -> None:
        super().__init__()
        name, n = type(self).__name__, self._axes
        self.groups = size(name, "groups", groups)
        self.in_channels = size(name, "in_channels", in_channels)
        self.out_channels = size(name, "out_channels", out_channels)
        for what, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(f"{name}: {what} must be divisible by groups, got {channels} and {groups}")
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ValueError(f"{name}: padding must be 'valid', 'same', an int or {n} ints, got {padding!r}")
        if padding_mode not in _MODES:
            raise ValueError(
                f"{name}: padding_mode must be one of {list(_MODES)}, but got padding_mode='{padding_mode}'"
            )
        self.kernel_size = numbers(name, "kernel_size", kernel_size, n)
        self.stride = numbers(name, "stride", stride, n)
        self.padding: Any = padding if isinstance(padding, str) else numbers(name, "padding", padding, n)
        self.dilation = numbers(name, "dilation", dilation, n)
        self.output_padding = numbers(name, "output_padding", output_padding, n)
        self.padding_mode = padding_mode
        for what, values, least in (
            ("kernel_size", self.kernel_size, 1),
            ("stride", self.stride, 1),
            ("dilation", self.dilation, 1),
            ("padding", () if isinstance(padding, str) else self.padding, 0),
        ):
            if any(v < least for v in values):
                raise ValueError(f"{name}: {what} must be {least} or more, got {values}")
        if padding == "same" and any(s != 1 for s in self.stride):
            raise ValueError(f"{name}: padding='same' is not supported for strided convolutions")
        ends = (
            (in_channels, out_channels // groups)
            if self._transposed
            else (out_channels, in_channels // groups)
        )
        self.weight = parameter((*ends, *self.kernel_size), dtype, device)
        self.register_parameter("bias", parameter((out_channels,), dtype, device) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the weights anew."""
        reset_affine(self.weight, self.bias)

    def _border(self) -> list[int]:
        """The explicit padding of the modes that are not zeros, last axis first."""
        pads: list[int] = []
        for i in reversed(range(self._axes)):
            if self.padding == "same":
                total = self.dilation[i] * (self.kernel_size[i] - 1)
                pads += [total // 2, total - total // 2]
            else:
                pads += [0, 0] if self.padding == "valid" else [self.padding[i], self.padding[i]]
        return pads

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )
        if self.padding != (0,) * self._axes:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self._axes:
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * self._axes:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text

    def _convolve(self, input: Tensor, function: Any, name: str, layout: str) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            x, alone = batched(name, input, self._axes + 2, layout)
            out = self._run(function, F.pad(x, self._border(), mode=self.padding_mode), 0)
            return ops.squeeze(out, (0,)) if alone else out
        return self._run(function, input, padding)

    def _run(self, function: Any, x: Tensor, padding: Any) -> Tensor:
        members = self._parameters
        return function(
            x, members["weight"], members["bias"], self.stride, padding, self.dilation, self.groups
        )


class Conv1d(_Conv):
    """Convolution of sequences ``[N, C, L]`` (or ``[C, L]``).

    Example:
        >>> lt.nn.Conv1d(16, 33, 3, stride=2)(lt.randn(20, 16, 50)).shape
        (20, 33, 24)
    """

    _axes = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints | str = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            0,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        return self._convolve(input, F.conv1d, "conv1d", "C, L")


class Conv2d(_Conv):
    """Convolution of images ``[N, C, H, W]`` (or ``[C, H, W]``); see ``functional.conv2d``.

    ``padding_mode``: what surrounds the image, ``'zeros'``, ``'reflect'``, ``'replicate'`` or ``'circular'``.

    Example:
        >>> lt.nn.Conv2d(1, 20, kernel_size=5, padding=2)(lt.randn(8, 1, 28, 28)).shape
        (8, 20, 28, 28)
    """

    _axes = 2

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints | str = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            0,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        return self._run_as(F.conv2d, input)

    def _run_as(self, function: Any, input: Tensor) -> Tensor:
        return self._convolve(input, function, "conv2d", "C, H, W")


class _ConvTranspose(_Conv):
    _transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints = 0,
        output_padding: Ints = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Ints = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        name = type(self).__name__
        if padding_mode != "zeros":
            raise ValueError(f'{name}: only "zeros" padding mode is supported, got {padding_mode!r}')
        if isinstance(padding, str):
            raise TypeError(f"{name}: padding must be an int or {self._axes} ints, got {padding!r}")
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            output_padding,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def _output_padding(self, input: Tensor, output_size: Any) -> tuple[int, ...]:
        """What is missing between the natural output size and the one asked for."""
        if output_size is None:
            return self.output_padding
        n = self._axes
        wanted = list(output_size)[-n:]
        extra: list[int] = []
        for i in range(n):
            natural = (input.shape[i - n] - 1) * self.stride[i] - 2 * self.padding[i]
            natural += self.dilation[i] * (self.kernel_size[i] - 1) + 1
            most = natural + max(self.stride[i], self.dilation[i]) - 1
            if not natural <= wanted[i] <= most:
                raise ValueError(
                    f"{type(self).__name__}: requested an output size of {wanted}, "
                    f"but valid sizes of axis {i - n} range from {natural} to {most}"
                )
            extra.append(wanted[i] - natural)
        return tuple(extra)


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution of sequences; see ``functional.conv_transpose1d``.

    Example:
        >>> lt.nn.ConvTranspose1d(4, 2, 3, stride=2)(lt.randn(1, 4, 5)).shape
        (1, 2, 11)
    """

    _axes = 1

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        extra = self._output_padding(input, output_size)
        return F.conv_transpose1d(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
        )


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution of images; see ``functional.conv_transpose2d``.

    Example:
        >>> lt.nn.ConvTranspose2d(16, 33, 3, stride=2)(lt.randn(2, 16, 5, 5)).shape
        (2, 33, 11, 11)
    """

    _axes = 2

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        extra = self._output_padding(input, output_size)
        return F.conv_transpose2d(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
        )
