"""Softmax and what is made of it."""

from __future__ import annotations

import warnings

from ... import _core, ops
from ..._core import Tensor, dtype as DType
from ...random import default_generator
from ._shared import tensor_of


def _soft_axis(op: str, input: Tensor, dim: int | None) -> int:
    axes = tensor_of(op, input).ndim
    if dim is None:
        dim = 0 if axes in (0, 1, 3) else 1
        warnings.warn(
            f"{op}: implicit dimension choice has been deprecated; pass dim={dim} to say what is meant",
            stacklevel=3,
        )
    return dim


def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """``exp(x) / sum(exp(x))`` along ``dim``.

    Example:
        >>> lt.nn.functional.softmax(lt.zeros(1, 4), dim=1)
        tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """
    dim = _soft_axis("softmax", input, dim)
    return ops.softmax(input if dtype is None else ops.cast(input, dtype), dim)


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """The logarithm of ``softmax``, computed without overflow.

    Without ``dim`` it is 0 for 0, 1 or 3 axes, else 1, with a warning.

    Example:
        >>> scores = lt.tensor([1000.0, 1000.0])
        >>> lt.nn.functional.log_softmax(scores, dim=0)
        tensor([-0.6931, -0.6931])
    """
    dim = _soft_axis("log_softmax", input, dim)
    return ops.log_softmax(input if dtype is None else ops.cast(input, dtype), dim)


def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """``softmax(-x)`` along ``dim``: the smallest gets the largest share.

    Example:
        >>> lt.nn.functional.softmin(lt.tensor([1.0, 2.0, 3.0]), dim=0)
        tensor([0.6652, 0.2447, 0.0900])
    """
    dim = _soft_axis("softmin", input, dim)
    return ops.softmax(ops.neg(input if dtype is None else ops.cast(input, dtype)), dim)


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A random choice by ``logits`` that gradients flow through (Jang et al. 2016); ``hard``: one-hot.

    Low ``tau`` brings the result near one-hot, high ``tau`` near uniform.

    Example:
        >>> logits = lt.tensor([0.7, 0.2, 0.1]).log().expand(10000, 3)
        >>> picked = lt.nn.functional.gumbel_softmax(logits, hard=True)
        >>> [round(share, 1) for share in picked.mean(0).tolist()]
        [0.7, 0.2, 0.1]
    """
    shape = list(tensor_of("gumbel_softmax", logits, "logits").shape)
    noise = _core.neg(_core.log(_core.exponential(default_generator, shape, logits.dtype, 1.0)))
    soft = ops.softmax(ops.div(ops.add(logits, noise), tau), dim)
    if not hard:
        return soft
    best = _core.argmax(soft.detach(), dim, True)
    chosen = _core.scatter_value(_core.zeros(list(soft.shape), soft.dtype), dim, best, 1.0)
    return ops.add(ops.sub(chosen, soft.detach()), soft)
