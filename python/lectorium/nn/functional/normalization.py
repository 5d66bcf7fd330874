"""Normalisations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ... import _core, ops
from ..._core import Tensor
from ._shared import ShapeError, tensor_of


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel (axis 1) to zero mean and unit variance (Ioffe & Szegedy 2015), scaled and shifted.

    In training the batch's own statistics are used, and the running ones (if given) move towards them by
    ``momentum``, in place; otherwise the running ones are used.

    Example:
        >>> x = lt.tensor([[1.0], [3.0]])
        >>> lt.nn.functional.batch_norm(x, None, None, training=True).round().tolist()
        [[-1.0], [1.0]]
    """
    return _batch_norm(
        ops.batch_norm, ops.batch_norm_inference,
        input, running_mean, running_var, weight, bias, training, momentum, eps,
    )  # fmt: skip


def batch_norm_relu(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """``relu(batch_norm(...))`` in one pass over memory each way. ``nn.Sequential`` calls it for neighbours.

    Example:
        >>> x = lt.tensor([[1.0], [3.0]])
        >>> lt.nn.functional.batch_norm_relu(x, None, None, training=True).round().tolist()
        [[0.0], [1.0]]
    """
    return _batch_norm(
        ops.batch_norm_relu, ops.batch_norm_relu_inference,
        input, running_mean, running_var, weight, bias, training, momentum, eps,
    )  # fmt: skip


def _batch_norm(
    train: Any,
    infer: Any,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    x = tensor_of("batch_norm", input)
    if not training and running_mean is not None and running_var is not None:
        return infer(x, weight, bias, running_mean, running_var, eps)
    if not training and (running_mean is not None or running_var is not None):
        raise ValueError("batch_norm: running_mean and running_var must be given both or neither")
    if not training:
        raise ValueError("batch_norm: expected running_mean and running_var to be given when training=False")
    y, mean, rstd = train(x, weight, bias, eps)
    if running_mean is not None and running_var is not None and mean.numel():
        n = x.numel() // mean.numel()
        _core.batch_norm_update_running(running_mean, running_var, mean, rstd, float(momentum), eps, n)
    return y


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel of each sample to zero mean and unit variance (Ulyanov et al. 2016).

    Example:
        >>> y = lt.nn.functional.instance_norm(lt.tensor([[[1.0, 3.0]]]))
        >>> y.round().tolist()
        [[[-1.0, 1.0]]]
    """
    x = tensor_of("instance_norm", input)
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ValueError(
                "instance_norm: expected running_mean and running_var to be given when use_input_stats=False"
            )
        return ops.batch_norm_inference(x, weight, bias, running_mean, running_var, eps)
    if x.ndim < 3:
        raise ShapeError(
            f"instance_norm: expected an input [N, C, ...] of 3 axes or more, got shape {list(x.shape)}"
        )
    count = math.prod(x.shape[2:])
    if count == 1:
        raise ValueError(
            "instance_norm: Expected more than 1 spatial element when training, "
            f"got input size {list(x.shape)}"
        )
    y, mean, rstd = ops.group_norm(x, x.shape[1], weight, bias, eps)
    if running_mean is not None and running_var is not None and x.shape[0]:
        var = _core.sub(_core.pow(rstd.detach(), -2), eps)
        for running, batch in (
            (running_mean, mean.detach()),
            (running_var, _core.mul(var, count / (count - 1))),
        ):
            recent = _core.mul(_core.mean(batch, (0,)), momentum)
            _core.copy_into(running, _core.add(_core.mul(running.detach(), 1.0 - momentum), recent))
    return y


def _last_axes(op: str, x: Tensor, normalized_shape: Sequence[int]) -> int:
    shape = [normalized_shape] if isinstance(normalized_shape, int) else list(normalized_shape)
    if not shape:
        raise ShapeError(f"{op}: normalized_shape must name at least one axis, got {normalized_shape!r}")
    if list(x.shape[max(x.ndim - len(shape), 0) :]) != shape:
        expected = ", ".join(["*", *map(str, shape)])
        raise ShapeError(
            f"{op}: given normalized_shape={shape}, expected an input of shape [{expected}], "
            f"but got {list(x.shape)}"
        )
    return len(shape)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """The last axes of each sample to zero mean and unit variance (Ba et al. 2016).

    Example:
        >>> lt.nn.functional.layer_norm(lt.tensor([1.0, 3.0]), (2,)).round().tolist()
        [-1.0, 1.0]
    """
    x = tensor_of("layer_norm", input)
    axes = _last_axes("layer_norm", x, normalized_shape)
    return ops.layer_norm(x, axes, weight, bias, eps)[0]


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """The last axes divided by their root mean square (Zhang & Sennrich 2019).

    Example:
        >>> lt.nn.functional.rms_norm(lt.tensor([3.0, 3.0]), (2,))
        tensor([1., 1.])
    """
    x = tensor_of("rms_norm", input)
    n = _last_axes("rms_norm", x, normalized_shape)
    if eps is None:
        eps = 2.220446049250313e-16 if x.dtype is _core.float64 else 1.1920928955078125e-07
    axes = tuple(range(x.ndim - n, x.ndim))
    y = ops.mul(x, ops.rsqrt(ops.add(ops.mean(ops.mul(x, x), axes, True), eps)))
    return y if weight is None else ops.mul(y, weight)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Groups of channels of each sample to zero mean and unit variance (Wu & He 2018).

    Example:
        >>> lt.nn.functional.group_norm(lt.randn(2, 6, 4), 3).shape
        (2, 6, 4)
    """
    x = tensor_of("group_norm", input)
    if x.ndim < 2:
        raise ShapeError(
            f"group_norm: expected an input [N, C, ...] of 2 axes or more, got shape {list(x.shape)}"
        )
    return ops.group_norm(x, num_groups, weight, bias, eps)[0]


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Each value over ``(k + alpha * mean square of size neighbour channels)^beta`` (Krizhevsky et al. 2012).

    Shapes: ``[N, C, ...]`` of 3 axes or more.

    Example:
        >>> lt.nn.functional.local_response_norm(lt.zeros(1, 4, 2), 2).shape
        (1, 4, 2)
    """
    x = tensor_of("local_response_norm", input)
    if x.ndim < 3:
        raise ShapeError(
            f"local_response_norm: Expected 3D or higher dimensionality input (got {x.ndim} dimensions)"
        )
    return ops.local_response_norm(x, size, float(alpha), float(beta), float(k))[0]


def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Tensor:
    """Vectors along ``dim`` scaled to ``p``-norm 1 (those shorter than ``eps`` are divided by ``eps``).

    Example:
        >>> lt.nn.functional.normalize(lt.tensor([[3.0, 4.0]]))
        tensor([[0.6000, 0.8000]])
    """
    axes = (dim,) if isinstance(dim, int) else tuple(dim)
    return ops.div(input, ops.clamp(ops.norm_p(input, float(p), axes, True), eps, None))
