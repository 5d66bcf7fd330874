"""Similarities and distances of vectors."""

from __future__ import annotations

from ... import ops
from ..._core import Tensor


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along ``dim``, which disappears.

    Example:
        >>> lt.nn.functional.cosine_similarity(lt.tensor([[1.0, 0.0]]), lt.tensor([[2.0, 0.0]]))
        tensor([1.])
    """
    first = ops.div(x1, ops.clamp(ops.norm_p(x1, 2.0, (dim,), True), eps, None))
    second = ops.div(x2, ops.clamp(ops.norm_p(x2, 2.0, (dim,), True), eps, None))
    return ops.sum(ops.mul(first, second), (dim,))


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The ``p``-norm of ``x1 - x2 + eps`` along the last axis.

    Example:
        >>> lt.nn.functional.pairwise_distance(lt.tensor([3.0, 4.0]), lt.zeros(2))
        tensor(5.0000)
    """
    return ops.norm_p(ops.add(ops.sub(x1, x2), eps), float(p), (-1,), keepdim)
