"""Pooling over windows of one or two axes."""

from __future__ import annotations

import functools
import math
from typing import Any

from ... import _core, ops
from ..._core import Tensor
from ._shared import Ints, ShapeError, batched, is_sequence, numbers, tensor_of

_LAYOUT = {1: "C, L", 2: "C, H, W"}


@functools.lru_cache(maxsize=1024)
def _spec(kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> Any:
    return _core.PoolSpec(kernel, stride, padding, dilation, ceil_mode)


def _pool_spec(
    op: str, n: int, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Any:
    sizes = numbers(op, "kernel_size", kernel, n)
    steps = sizes if stride is None or stride == () or stride == [] else numbers(op, "stride", stride, n)
    pads, spread = numbers(op, "padding", padding, n), numbers(op, "dilation", dilation, n)
    for name, values, least in (
        ("kernel_size", sizes, 1),
        ("stride", steps, 1),
        ("padding", pads, 0),
        ("dilation", spread, 1),
    ):
        if any(v < least for v in values):
            raise ValueError(f"{op}: {name} must be {least} or more, got {values if n > 1 else values[0]}")
    if n == 1:
        sizes, steps, pads, spread = (1, *sizes), (1, *steps), (0, *pads), (1, *spread)
    return _spec(sizes, steps, pads, spread, bool(ceil_mode))


def _planes(op: str, x: Any, n: int) -> tuple[Tensor, bool]:
    """``[N, C, H, W]`` of a batch or a single sample with ``n`` pooled axes."""
    x, alone = batched(op, x, n + 2, _LAYOUT[n])
    return (ops.unsqueeze(x, 2) if n == 1 else x), alone


def _back(x: Tensor, n: int, alone: bool) -> Tensor:
    if n == 1:
        x = ops.squeeze(x, (2,))
    return ops.squeeze(x, (0,)) if alone else x


def _max_pool(n: int, input: Any, args: tuple[Any, ...], return_indices: bool) -> Any:
    op = f"max_pool{n}d"
    spec = _pool_spec(op, n, *args)
    x, alone = _planes(op, input, n)
    if not return_indices:
        return _back(ops.max_pool2d_offsets(x, spec)[0], n, alone)
    values, indices = ops.max_pool2d(x, spec)
    return _back(values, n, alone), _back(indices, n, alone)


def max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of each window; ``stride`` is the kernel size if left out.

    Shapes: ``[N, C, H, W]`` or ``[C, H, W]``. With ``return_indices`` also the flat index of each
    maximum in its plane.

    Example:
        >>> lt.nn.functional.max_pool2d(lt.arange(16.0).reshape(1, 1, 4, 4), 2).tolist()
        [[[[5.0, 7.0], [13.0, 15.0]]]]
    """
    return _max_pool(2, input, (kernel_size, stride, padding, dilation, ceil_mode), return_indices)


def max_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of each window of ``[N, C, L]`` or ``[C, L]``.

    Example:
        >>> lt.nn.functional.max_pool1d(lt.tensor([[1.0, 3.0, 2.0, 0.0]]), 2).tolist()
        [[3.0, 2.0]]
    """
    return _max_pool(1, input, (kernel_size, stride, padding, dilation, ceil_mode), return_indices)


def max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """``max_pool2d(..., return_indices=True)``.

    Example:
        >>> x = lt.tensor([[[1.0, 9.0, 2.0], [3.0, 4.0, 8.0]]])
        >>> lt.nn.functional.max_pool2d_with_indices(x, 2, stride=1)
        (tensor([[[9., 9.]]]), tensor([[[1, 1]]]))
    """
    return max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def avg_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window; ``divisor_override`` is divided by instead of the window's size.

    Shapes: ``[N, C, H, W]`` or ``[C, H, W]``.

    Example:
        >>> lt.nn.functional.avg_pool2d(lt.arange(16.0).reshape(1, 1, 4, 4), 2).tolist()
        [[[[2.5, 4.5], [10.5, 12.5]]]]
    """
    if divisor_override == 0:
        raise ValueError("avg_pool2d: divisor_override must not be zero")
    spec = _pool_spec("avg_pool2d", 2, kernel_size, stride, padding, 1, ceil_mode)
    x, alone = _planes("avg_pool2d", input, 2)
    return _back(ops.avg_pool2d(x, spec, bool(count_include_pad), divisor_override), 2, alone)


def avg_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of ``[N, C, L]`` or ``[C, L]``.

    Example:
        >>> lt.nn.functional.avg_pool1d(lt.tensor([[1.0, 3.0, 2.0, 0.0]]), 2).tolist()
        [[2.0, 1.0]]
    """
    spec = _pool_spec("avg_pool1d", 1, kernel_size, stride, padding, 1, ceil_mode)
    x, alone = _planes("avg_pool1d", input, 1)
    return _back(ops.avg_pool2d(x, spec, bool(count_include_pad), None), 1, alone)


def _adaptive_size(op: str, x: Tensor, size: Any, n: int) -> list[int]:
    """The output size; None keeps an axis as it is."""
    given: list[Any] = list(size) if is_sequence(size) else [size] * n
    if len(given) == 1:
        given = given * n
    if len(given) != n:
        raise TypeError(f"{op}: output_size must be an int or {n} ints, got {size!r}")
    kept: list[Any] = [x.shape[i - n] if s is None else s for i, s in enumerate(given)]
    sizes = numbers(op, "output_size", kept, n)
    if any(s < 0 for s in sizes):
        raise ValueError(f"{op}: output_size must not be negative, got {size!r}")
    return [1, *sizes] if n == 1 else list(sizes)


def _adaptive_max(n: int, input: Any, output_size: Any, return_indices: bool) -> Any:
    op = f"adaptive_max_pool{n}d"
    x, alone = _planes(op, input, n)
    values, indices = ops.adaptive_max_pool2d(x, _adaptive_size(op, x, output_size, n))
    values = _back(values, n, alone)
    return (values, _back(indices, n, alone)) if return_indices else values


def _adaptive_avg(n: int, input: Any, output_size: Any) -> Tensor:
    op = f"adaptive_avg_pool{n}d"
    x, alone = _planes(op, input, n)
    return _back(ops.adaptive_avg_pool2d(x, _adaptive_size(op, x, output_size, n)), n, alone)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Means of as many windows as it takes for the output size (an int or two; None keeps an axis).

    Example:
        >>> lt.nn.functional.adaptive_avg_pool2d(lt.arange(16.0).reshape(1, 4, 4), 1).tolist()
        [[[7.5]]]
    """
    return _adaptive_avg(2, input, output_size)


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Means of ``output_size`` windows along the last axis.

    Example:
        >>> lt.nn.functional.adaptive_avg_pool1d(lt.arange(4.0).reshape(1, 4), 2).tolist()
        [[0.5, 2.5]]
    """
    return _adaptive_avg(1, input, output_size)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima of as many windows as it takes for the output size.

    Example:
        >>> lt.nn.functional.adaptive_max_pool2d(lt.arange(16.0).reshape(1, 4, 4), (1, 2)).tolist()
        [[[13.0, 15.0]]]
    """
    return _adaptive_max(2, input, output_size, return_indices)


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima of ``output_size`` windows along the last axis.

    Example:
        >>> lt.nn.functional.adaptive_max_pool1d(lt.arange(4.0).reshape(1, 4), 2).tolist()
        [[1.0, 3.0]]
    """
    return _adaptive_max(1, input, output_size, return_indices)


def _unpool(
    n: int, input: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any
) -> Tensor:
    op = f"max_unpool{n}d"
    kernel = numbers(op, "kernel_size", kernel_size, n)
    steps = kernel if stride is None or stride == () or stride == [] else numbers(op, "stride", stride, n)
    pads = numbers(op, "padding", padding, n)
    x, alone = batched(op, input, n + 2, _LAYOUT[n])
    where = tensor_of(op, indices, "indices")
    where = ops.unsqueeze(where, 0) if alone else where
    if where.shape != x.shape:
        raise ShapeError(
            f"{op}: indices have shape {list(where.shape)}, expected the input's {list(x.shape)}"
        )
    natural = [
        (size - 1) * s - 2 * p + k for size, s, p, k in zip(x.shape[2:], steps, pads, kernel, strict=True)
    ]
    size = natural
    if output_size is not None:
        size = list(output_size)[-n:]
        for got, usual, s in zip(size, natural, steps, strict=True):
            if not usual - s < got < usual + s:
                raise ValueError(
                    f"{op}: invalid output_size {size}: expected sizes between {usual - s} and {usual + s}, "
                    "both excluded"
                )
    flat = [*x.shape[:2], math.prod(x.shape[2:])]
    plane = _core.zeros([*x.shape[:2], math.prod(size)], x.dtype)
    out = ops.scatter(plane, 2, ops.reshape(where, flat), ops.reshape(x, flat))
    out = ops.reshape(out, [*x.shape[:2], *size])
    return ops.squeeze(out, (0,)) if alone else out


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Any = None,
) -> Tensor:
    """Undoes ``max_pool2d``: each value where its index says, zeros elsewhere.

    Example:
        >>> F = lt.nn.functional
        >>> y, where = F.max_pool2d(lt.arange(4.0).reshape(1, 2, 2), 2, return_indices=True)
        >>> F.max_unpool2d(y, where, 2).tolist()
        [[[0.0, 0.0], [0.0, 3.0]]]
    """
    return _unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Any = None,
) -> Tensor:
    """Undoes ``max_pool1d``: each value where its index says, zeros elsewhere.

    Errors: ShapeError unless the indices have the shape of the input, IndexError for one out of range.

    Example:
        >>> F = lt.nn.functional
        >>> y, where = F.max_pool1d(lt.tensor([[1.0, 3.0, 2.0, 0.0]]), 2, return_indices=True)
        >>> F.max_unpool1d(y, where, 2)
        tensor([[0., 3., 2., 0.]])
    """
    return _unpool(1, input, indices, kernel_size, stride, padding, output_size)


def _lp_pool(
    n: int, input: Tensor, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool
) -> Tensor:
    kernel = numbers(f"lp_pool{n}d", "kernel_size", kernel_size, n)
    powers = ops.pow(input, norm_type)
    means = (avg_pool1d if n == 1 else avg_pool2d)(powers, kernel, stride, 0, ceil_mode)
    return ops.pow(
        ops.mul(ops.mul(ops.sign(means), ops.relu(ops.abs(means))), math.prod(kernel)), 1.0 / norm_type
    )


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False
) -> Tensor:
    """The ``norm_type``-norm of each window (without absolute values, as PyTorch has it).

    Example:
        >>> lt.nn.functional.lp_pool2d(lt.tensor([[[3.0, 0.0], [0.0, 4.0]]]), 2, 2)
        tensor([[[5.]]])
    """
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False
) -> Tensor:
    """The ``norm_type``-norm of each window along the last axis.

    With 1 it is the sum of the window.

    Example:
        >>> x = lt.tensor([[3.0, 4.0, 6.0, 8.0]])
        >>> lt.nn.functional.lp_pool1d(x, 1, 2), lt.nn.functional.lp_pool1d(x, 2, 2)
        (tensor([[ 7., 14.]]), tensor([[ 5., 10.]]))
    """
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)
