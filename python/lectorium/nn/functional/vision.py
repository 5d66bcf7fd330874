"""Resizing images, windows as columns, and moving pixels between channels and space."""

from __future__ import annotations

import math
import warnings
from typing import Any

from ... import _core, ops
from ..._core import Tensor
from ._shared import Ints, ShapeError, batched, is_sequence, numbers, tensor_of

_MODES = {"linear": 3, "bilinear": 4, "bicubic": 4}


def _positions(size: int, out: int, scale: float | None, align_corners: bool) -> list[float]:
    """Where the centre of each output element lies among the input's elements."""
    if align_corners:
        step = (size - 1) / (out - 1) if out > 1 else 0.0
        return [i * step for i in range(out)]
    step = 1.0 / scale if scale else size / out
    return [(i + 0.5) * step - 0.5 for i in range(out)]


def _nearest(x: Tensor, axis: int, out: int, scale: float | None, exact: bool) -> Tensor:
    size = x.shape[axis]
    step = 1.0 / scale if scale else size / out
    rows = [min(int((i + 0.5) * step if exact else i * step), size - 1) for i in range(out)]
    return ops.index_select(x, axis, _core.from_numbers(tuple(rows), [out], _core.int64))


def _blend(x: Tensor, axis: int, taps: list[list[tuple[int, float]]]) -> Tensor:
    """Every output a weighted sum of a few inputs along one axis."""
    size, shape = x.shape[axis], [1] * x.ndim
    shape[axis] = len(taps)
    total: Tensor | None = None
    for n in range(len(taps[0])):
        rows = tuple(min(max(tap[n][0], 0), size - 1) for tap in taps)
        weights = _core.from_numbers(tuple(tap[n][1] for tap in taps), shape, x.dtype)
        part = ops.mul(ops.index_select(x, axis, _core.from_numbers(rows, [len(rows)], _core.int64)), weights)
        total = part if total is None else ops.add(total, part)
    return x if total is None else total


def _linear_taps(positions: list[float], size: int) -> list[list[tuple[int, float]]]:
    taps: list[list[tuple[int, float]]] = []
    for p in positions:
        p = max(p, 0.0)
        low = min(int(p), size - 1)
        taps.append([(low, 1.0 - (p - low)), (low + 1, p - low)])
    return taps


def _cubic_taps(positions: list[float]) -> list[list[tuple[int, float]]]:
    """Keys' cubic convolution with a = -0.75."""
    a = -0.75

    def near(d: float) -> float:
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: float) -> float:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    taps: list[list[tuple[int, float]]] = []
    for p in positions:
        low = math.floor(p)
        t = p - low
        taps.append([(low - 1, far(t + 1)), (low, near(t)), (low + 1, near(1 - t)), (low + 2, far(2 - t))])
    return taps


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resizes the axes after the first two, to ``size`` or by ``scale_factor``.

    ``mode``: ``'nearest'``, ``'nearest-exact'`` or ``'area'`` (any number of axes), ``'linear'`` (for
    ``[N, C, L]``), ``'bilinear'`` or ``'bicubic'`` (``[N, C, H, W]``).

    Example:
        >>> lt.nn.functional.interpolate(lt.tensor([[[1.0, 2.0]]]), scale_factor=2)
        tensor([[[1., 1., 2., 2.]]])
    """
    op = "interpolate"
    x = tensor_of(op, input)
    n = x.ndim - 2
    if n < 1:
        raise ShapeError(f"{op}: expected an input [N, C, ...] of 3 axes or more, got shape {list(x.shape)}")
    if (size is None) == (scale_factor is None):
        raise ValueError(f"{op}: give one of size and scale_factor")
    if antialias:
        raise ValueError(
            f"{op}: antialias=True is not supported; resize after smoothing, or with mode='area'"
        )
    scales: list[float | None] = [None] * n
    if size is not None:
        sizes = list(numbers(op, "size", size, n))
    else:
        given: list[Any] = list(scale_factor) if is_sequence(scale_factor) else [scale_factor] * n
        if len(given) != n:
            raise ValueError(f"{op}: scale_factor must be a number or {n} numbers, got {scale_factor!r}")
        sizes = [math.floor(d * s) for d, s in zip(x.shape[2:], given, strict=True)]
        if not recompute_scale_factor:
            scales = [float(s) for s in given]
    if any(s < 1 for s in sizes) or 0 in x.shape[2:]:
        raise ShapeError(
            f"{op}: input and output sizes should be greater than 0, got {list(x.shape[2:])} and {sizes}"
        )
    if mode in ("nearest", "nearest-exact", "area"):
        if align_corners is not None:
            raise ValueError(
                f"{op}: align_corners goes with linear, bilinear and bicubic modes, not with {mode!r}"
            )
        if mode == "area":
            return _area(x, sizes)
        for i in range(n):
            x = _nearest(x, 2 + i, sizes[i], scales[i], mode == "nearest-exact")
        return x
    if mode not in _MODES:
        raise ValueError(
            f"{op}: mode must be one of 'nearest', 'nearest-exact', 'area', 'linear', 'bilinear', "
            f"'bicubic', got {mode!r}"
        )
    if x.ndim != _MODES[mode]:
        raise ShapeError(
            f"{op}: mode {mode!r} needs an input of {_MODES[mode]} axes, got shape {list(x.shape)}"
        )
    for i in range(n):
        length = x.shape[2 + i]
        positions = _positions(length, sizes[i], scales[i], bool(align_corners))
        taps = _cubic_taps(positions) if mode == "bicubic" else _linear_taps(positions, length)
        x = _blend(x, 2 + i, taps)
    return x


def _area(x: Tensor, sizes: list[int]) -> Tensor:
    if len(sizes) > 2:
        raise ShapeError(f"interpolate: mode 'area' is for inputs of 3 or 4 axes, got shape {list(x.shape)}")
    if len(sizes) == 1:
        return ops.squeeze(ops.adaptive_avg_pool2d(ops.unsqueeze(x, 2), [1, *sizes]), (2,))
    return ops.adaptive_avg_pool2d(x, sizes)


def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """The old name of ``interpolate``.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings(record=True) as told:
        ...     warnings.simplefilter("always")
        ...     y = lt.nn.functional.upsample(lt.tensor([[[1.0, 3.0]]]), size=3, mode="linear")
        >>> y, str(told[0].message)
        (tensor([[[1., 2., 3.]]]), 'upsample: use interpolate instead')
    """
    warnings.warn("upsample: use interpolate instead", stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)


def unfold(
    input: Tensor, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1
) -> Tensor:
    """Each window of an image as a column: ``[N, C, H, W]`` to ``[N, C kh kw, L]``.

    Example:
        >>> lt.nn.functional.unfold(lt.randn(2, 3, 5, 5), 2).shape
        (2, 12, 16)
    """
    op = "unfold"
    x, alone = batched(op, input, 4, "C, H, W")
    kernel, spread = numbers(op, "kernel_size", kernel_size, 2), numbers(op, "dilation", dilation, 2)
    pads, steps = numbers(op, "padding", padding, 2), numbers(op, "stride", stride, 2)
    if any(pads):
        x = ops.pad_constant(x, [(0, 0), (0, 0), (pads[0], pads[0]), (pads[1], pads[1])], 0)
    for i in range(2):
        reach = spread[i] * (kernel[i] - 1) + 1
        if reach > x.shape[2 + i]:
            raise ShapeError(
                f"{op}: kernel {kernel[0]}x{kernel[1]} (dilation {spread[i]}) does not fit the padded input "
                f"{x.shape[2]}x{x.shape[3]}"
            )
        x = ops.unfold(x, 2 + i, reach, steps[i])
        if spread[i] > 1:
            x = ops.index_select(x, x.ndim - 1, _core.arange(0, reach, spread[i], _core.int64))
    n, c, h, w = x.shape[:4]
    x = ops.reshape(ops.permute(x, [0, 1, 4, 5, 2, 3]), [n, c * kernel[0] * kernel[1], h * w])
    return ops.squeeze(x, (0,)) if alone else x


def fold(
    input: Tensor,
    output_size: Ints,
    kernel_size: Ints,
    dilation: Ints = 1,
    padding: Ints = 0,
    stride: Ints = 1,
) -> Tensor:
    """The sum of windows given as columns, back at their places: ``[N, C kh kw, L]`` to ``[N, C, H, W]``.

    Example:
        >>> F = lt.nn.functional
        >>> F.fold(F.unfold(lt.ones(1, 1, 2, 2), 2), (2, 2), 2).tolist()
        [[[[1.0, 1.0], [1.0, 1.0]]]]
    """
    op = "fold"
    x, alone = batched(op, input, 3, "C kh kw, L")
    size, kernel = numbers(op, "output_size", output_size, 2), numbers(op, "kernel_size", kernel_size, 2)
    spread, pads = numbers(op, "dilation", dilation, 2), numbers(op, "padding", padding, 2)
    steps = numbers(op, "stride", stride, 2)
    taps = kernel[0] * kernel[1]
    blocks = [(size[i] + 2 * pads[i] - spread[i] * (kernel[i] - 1) - 1) // steps[i] + 1 for i in range(2)]
    if x.shape[1] % taps or x.shape[2] != blocks[0] * blocks[1]:
        raise ShapeError(
            f"{op}: expected an input [N, C * {taps}, {blocks[0] * blocks[1]}] for output {list(size)}, "
            f"kernel {list(kernel)} and stride {list(steps)}, got shape {list(x.shape)}"
        )
    # A transposed convolution whose filters are single ones: each column entry goes to its place.
    channels = x.shape[1] // taps
    planes = ops.reshape(x, [x.shape[0] * channels, taps, *blocks])
    ones = _core.reshape(_core.eye(taps, taps, x.dtype), [taps, 1, *kernel])
    spec = _core.ConvSpec(steps, pads, spread, 1)
    out = ops.conv2d_input_grad(planes, ones, [planes.shape[0], 1, *size], spec)
    out = ops.reshape(out, [x.shape[0], channels, *size])
    return ops.squeeze(out, (0,)) if alone else out


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """``[*, C r², H, W]`` to ``[*, C, H r, W r]`` (Shi et al. 2016).

    Example:
        >>> lt.nn.functional.pixel_shuffle(lt.randn(1, 9, 4, 4), 3).shape
        (1, 1, 12, 12)
    """
    r = upscale_factor
    if tensor_of("pixel_shuffle", input).ndim < 3 or r < 1 or input.shape[-3] % (r * r):
        raise ShapeError(
            f"pixel_shuffle: expected an input [*, C * {r * r}, H, W] for upscale_factor {r}, "
            f"got {list(input.shape)}"
        )
    *lead, c, h, w = input.shape
    n = len(lead)
    x = ops.reshape(input, [*lead, c // (r * r), r, r, h, w])
    x = ops.permute(x, [*range(n), n, n + 3, n + 1, n + 4, n + 2])
    return ops.reshape(x, [*lead, c // (r * r), h * r, w * r])


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """``[*, C, H r, W r]`` to ``[*, C r², H, W]``: undoes ``pixel_shuffle``.

    Errors: ShapeError if a side is no multiple of ``r``.

    Example:
        >>> lt.nn.functional.pixel_unshuffle(lt.arange(8).reshape(1, 2, 4), 2).tolist()
        [[[0, 2]], [[1, 3]], [[4, 6]], [[5, 7]]]
    """
    r = downscale_factor
    if tensor_of("pixel_unshuffle", input).ndim < 3 or r < 1 or input.shape[-2] % r or input.shape[-1] % r:
        raise ShapeError(
            f"pixel_unshuffle: expected an input [*, C, H, W] with H and W divisible by {r}, "
            f"got {list(input.shape)}"
        )
    *lead, c, h, w = input.shape
    n = len(lead)
    x = ops.reshape(input, [*lead, c, h // r, r, w // r, r])
    x = ops.permute(x, [*range(n), n, n + 2, n + 4, n + 1, n + 3])
    return ops.reshape(x, [*lead, c * r * r, h // r, w // r])


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channels of ``[N, C, ...]`` dealt out across groups (Zhang et al. 2017).

    Errors: ShapeError if the channels do not divide.

    Example:
        >>> lt.nn.functional.channel_shuffle(lt.arange(6).reshape(1, 6, 1), 2).flatten()
        tensor([0, 3, 1, 4, 2, 5])
    """
    if tensor_of("channel_shuffle", input).ndim < 3 or groups < 1 or input.shape[1] % groups:
        raise ShapeError(
            f"channel_shuffle: expected an input [N, C, ...] with C divisible by {groups}, "
            f"got {list(input.shape)}"
        )
    n, c, *rest = input.shape
    x = ops.transpose(ops.reshape(input, [n, groups, c // groups, *rest]), 1, 2)
    return ops.reshape(x, [n, c, *rest])
