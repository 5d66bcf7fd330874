"""Affine maps."""

from __future__ import annotations

from ... import ops
from ..._core import Tensor
from ._shared import ShapeError


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input weightᵀ + bias`` over the last axis.

    Shapes: input ``[*, K]``, weight ``[N, K]`` (or ``[K]``), bias ``[N]``; result ``[*, N]``.

    Example:
        >>> F = lt.nn.functional
        >>> F.linear(lt.ones(1, 2), lt.ones(3, 2), lt.ones(3))
        tensor([[3., 3., 3.]])
    """
    if weight.ndim == 1:
        out = ops.matmul(input, weight)
        return out if bias is None else ops.add(out, bias)
    return ops.linear(input, weight, bias)


def linear_relu(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``relu(linear(...))`` without a pass for the ReLU. ``nn.Sequential`` calls it for neighbours.

    Example:
        >>> F = lt.nn.functional
        >>> F.linear_relu(lt.ones(1, 2), lt.tensor([[1.0, 1.0], [-1.0, 0.0]]))
        tensor([[2., 0.]])
    """
    if weight.ndim == 1:
        return ops.relu(linear(input, weight, bias))
    return ops.linear_relu(input, weight, bias)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input1ᵀ weight[o] input2 + bias[o]`` for every output ``o``.

    Shapes: inputs ``[*, I]`` and ``[*, J]``, weight ``[O, I, J]``; result ``[*, O]``.

    Example:
        >>> lt.nn.functional.bilinear(lt.ones(1, 2), lt.ones(1, 3), lt.ones(4, 2, 3))
        tensor([[6., 6., 6., 6.]])
    """
    o, i, j = weight.shape
    if input1.shape[:-1] != input2.shape[:-1] or input1.shape[-1:] != (i,) or input2.shape[-1:] != (j,):
        raise ShapeError(
            f"bilinear: inputs of shapes {list(input1.shape)} and {list(input2.shape)} do not fit weight "
            f"{list(weight.shape)}; expected [*, {i}] and [*, {j}] with equal leading axes"
        )
    by_input = ops.reshape(ops.permute(weight, [1, 0, 2]), [i, o * j])
    partial = ops.reshape(ops.matmul(input1, by_input), [*input1.shape[:-1], o, j])
    out = ops.sum(ops.mul(partial, ops.unsqueeze(input2, -2)), (-1,))
    return out if bias is None else ops.add(out, bias)
