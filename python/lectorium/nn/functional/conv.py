"""Convolutions and transposed convolutions; one axis is computed as two, of which the first has size 1."""

from __future__ import annotations

import functools
from typing import Any

from ... import _core, ops
from ..._core import Tensor
from ._shared import Ints, ShapeError, batched, numbers, tensor_of

Spec = Any


@functools.lru_cache(maxsize=1024)
def _spec(stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...], groups: int) -> Spec:
    return _core.ConvSpec(stride, padding, dilation, groups)


def _same(op: str, x: Tensor, kernel: Any, stride: Any, dilation: Any) -> tuple[Tensor, tuple[int, int]]:
    """The padding that keeps sizes; an odd one puts the extra element at the end, as PyTorch does."""
    if any(s != 1 for s in stride):
        raise ValueError(
            f"{op}: padding='same' is not supported for strided convolutions, got stride {tuple(stride)}"
        )
    total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    odd = [t % 2 for t in total]
    if any(odd):
        x = ops.pad_constant(x, [(0, 0), (0, 0), (0, odd[0]), (0, odd[1])], 0)
    return x, (total[0] // 2, total[1] // 2)


def _padding(
    op: str, x: Tensor, weight: Tensor, padding: Any, stride: Any, dilation: Any, n: int
) -> tuple[Tensor, tuple[int, ...]]:
    if isinstance(padding, str):
        if padding == "valid":
            return x, (0, 0)
        if padding != "same":
            raise ValueError(f"{op}: padding must be 'valid', 'same', an int or {n} ints, got {padding!r}")
        return _same(op, x, weight.shape[2:], stride, dilation)
    return x, _two(numbers(op, "padding", padding, n), 0)


def _two(values: tuple[int, ...], first: int) -> tuple[int, ...]:
    return values if len(values) == 2 else (first, *values)


def _check(
    op: str, x: Tensor, weight: Tensor, bias: Tensor | None, groups: Any, channels: int, outputs: int
) -> None:
    """``channels``: what the weight expects of the input."""
    if not isinstance(groups, int) or groups < 1:
        raise ValueError(f"{op}: groups must be a positive int, got {groups!r}")
    if x.shape[1] != channels:
        raise ShapeError(
            f"{op}: input has {x.shape[1]} channels, weight expects {channels} (groups={groups})"
        )
    if bias is not None and bias.shape != (outputs,):
        raise ShapeError(
            f"{op}: bias has shape {list(bias.shape)}, expected [{outputs}], one value an output channel"
        )


def _positive(op: str, **values: tuple[int, ...]) -> None:
    for name, value in values.items():
        if any(v < 1 for v in value):
            raise ValueError(f"{op}: {name} must be 1 or more, got {list(value)}")


def _weight_of(op: str, weight: Any, axes: int, layout: str) -> Tensor:
    weight = tensor_of(op, weight, "weight")
    if weight.ndim != axes:
        raise ShapeError(f"{op}: expected a weight of {axes} axes [{layout}], got shape {list(weight.shape)}")
    return weight


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of images with filters.

    Shapes: input ``[N, C, H, W]`` or ``[C, H, W]``, weight ``[O, C / groups, kh, kw]``, bias ``[O]``; result
    ``[N, O, H', W']`` with ``H' = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1``. ``padding`` is
    also ``'valid'`` (none) or ``'same'`` (H' = H, for stride 1).

    Errors: ShapeError for channels that do not match and a kernel larger than the padded input.

    Example:
        >>> lt.nn.functional.conv2d(lt.ones(1, 1, 3, 3), lt.ones(1, 1, 2, 2)).tolist()
        [[[[4.0, 4.0], [4.0, 4.0]]]]
    """
    return _conv2d(ops.conv2d, input, weight, bias, stride, padding, dilation, groups)


def conv2d_relu(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """``relu(conv2d(...))`` without a pass for the ReLU. ``nn.Sequential`` calls it for neighbours.

    Example:
        >>> lt.nn.functional.conv2d_relu(lt.ones(1, 1, 2, 2), -lt.ones(1, 1, 2, 2), lt.tensor([3.0])).tolist()
        [[[[0.0]]]]
    """
    return _conv2d(ops.conv2d_relu, input, weight, bias, stride, padding, dilation, groups)


def _conv2d(
    convolve: Any,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Ints,
    padding: Ints | str,
    dilation: Ints,
    groups: int,
) -> Tensor:
    x, alone = batched("conv2d", input, 4, "C, H, W")
    weight = _weight_of("conv2d", weight, 4, "O, C / groups, kh, kw")
    stride, dilation = numbers("conv2d", "stride", stride, 2), numbers("conv2d", "dilation", dilation, 2)
    x, pads = _padding("conv2d", x, weight, padding, stride, dilation, 2)
    out = convolve(x, weight, bias, _spec(stride, pads, dilation, groups))
    return ops.squeeze(out, (0,)) if alone else out


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of sequences with filters.

    Shapes: input ``[N, C, L]`` or ``[C, L]``, weight ``[O, C / groups, k]``; result ``[N, O, L']``.

    Example:
        >>> lt.nn.functional.conv1d(lt.ones(1, 1, 4), lt.ones(1, 1, 3), padding="same").tolist()
        [[[2.0, 3.0, 3.0, 2.0]]]
    """
    op = "conv1d"
    x, alone = batched(op, input, 3, "C, L")
    weight = _weight_of(op, weight, 3, "O, C / groups, k")
    steps, spread = numbers(op, "stride", stride, 1), numbers(op, "dilation", dilation, 1)
    _positive(op, stride=steps, dilation=spread)
    _check(op, x, weight, bias, groups, weight.shape[1] * groups, weight.shape[0])
    weight, x = ops.unsqueeze(weight, 2), ops.unsqueeze(x, 2)
    stride, dilation = _two(steps, 1), _two(spread, 1)
    x, pads = _padding(op, x, weight, padding, stride, dilation, 1)
    reach, room = dilation[1] * (weight.shape[3] - 1) + 1, x.shape[3] + 2 * pads[1]
    if reach > room:
        raise ShapeError(
            f"{op}: kernel {weight.shape[3]} (dilation {dilation[1]}) "
            f"does not fit the padded input of length {room}; use a smaller kernel or more padding"
        )
    out = ops.squeeze(ops.conv2d(x, weight, bias, _spec(stride, pads, dilation, groups)), (2,))
    return ops.squeeze(out, (0,)) if alone else out


def _transposed(
    op: str,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    output_padding: tuple[int, ...],
    groups: int,
    dilation: tuple[int, ...],
) -> Tensor:
    """The gradient of a convolution for its input, as a function of its own."""
    _positive(op, stride=stride, dilation=dilation)
    _check(op, x, weight, bias, groups, weight.shape[0], weight.shape[1] * groups)
    if any(p < 0 for p in padding):
        raise ValueError(f"{op}: padding must not be negative, got {padding}")
    for extra, s, d in zip(output_padding, stride, dilation, strict=True):
        if extra < 0 or extra >= max(s, d):
            raise ValueError(
                f"{op}: output padding must be smaller than either stride or dilation, "
                f"got output_padding={extra}, stride={s}, dilation={d}"
            )
    # A whole stride of output padding is one more row of zeros at the input's end.
    more = [extra // s for extra, s in zip(output_padding, stride, strict=True)]
    if any(more):
        x = ops.pad_constant(x, [(0, 0), (0, 0), (0, more[0]), (0, more[1])], 0)
    size = [
        (n - 1) * s - 2 * p + d * (k - 1) + extra % s + 1
        for n, s, p, d, k, extra in zip(
            x.shape[2:], stride, padding, dilation, weight.shape[2:], output_padding, strict=True
        )
    ]
    if any(n < 1 for n in size):
        raise ShapeError(
            f"{op}: the output would have size {size} for an input of {list(x.shape[2:])}; use less padding"
        )
    size = [x.shape[0], weight.shape[1] * groups, *size]
    out = ops.conv2d_input_grad(x, weight, size, _spec(stride, padding, dilation, groups))
    return out if bias is None else ops.add(out, ops.reshape(bias, [1, -1, 1, 1]))


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """Transposed convolution of images: every input pixel paints its filter.

    Shapes: input ``[N, C, H, W]`` or ``[C, H, W]``, weight ``[C, O / groups, kh, kw]``; result
    ``[N, O, H', W']`` with ``H' = (H - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1``.

    Example:
        >>> lt.nn.functional.conv_transpose2d(lt.ones(1, 1, 2, 2), lt.ones(1, 1, 2, 2), stride=2).shape
        (1, 1, 4, 4)
    """
    op = "conv_transpose2d"
    x, alone = batched(op, input, 4, "C, H, W")
    weight = _weight_of(op, weight, 4, "C, O / groups, kh, kw")
    out = _transposed(
        op,
        x,
        weight,
        bias,
        numbers(op, "stride", stride, 2),
        numbers(op, "padding", padding, 2),
        numbers(op, "output_padding", output_padding, 2),
        groups,
        numbers(op, "dilation", dilation, 2),
    )
    return ops.squeeze(out, (0,)) if alone else out


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """Transposed convolution of sequences.

    Shapes: input ``[N, C, L]`` or ``[C, L]``, weight ``[C, O / groups, k]``; result ``[N, O, L']``.

    Example:
        >>> lt.nn.functional.conv_transpose1d(lt.ones(1, 1, 2), lt.ones(1, 1, 2)).tolist()
        [[[1.0, 2.0, 1.0]]]
    """
    op = "conv_transpose1d"
    x, alone = batched(op, input, 3, "C, L")
    weight = _weight_of(op, weight, 3, "C, O / groups, k")
    out = _transposed(
        op,
        ops.unsqueeze(x, 2),
        ops.unsqueeze(weight, 2),
        bias,
        _two(numbers(op, "stride", stride, 1), 1),
        _two(numbers(op, "padding", padding, 1), 0),
        _two(numbers(op, "output_padding", output_padding, 1), 0),
        groups,
        _two(numbers(op, "dilation", dilation, 1), 1),
    )
    out = ops.squeeze(out, (2,))
    return ops.squeeze(out, (0,)) if alone else out
