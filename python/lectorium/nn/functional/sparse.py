"""Rows of a table by index."""

from __future__ import annotations

from typing import Any

from ... import _core, ops
from ..._core import Tensor
from ...autograd.function import Function
from ._shared import ShapeError, tensor_of


class _ScaleGradient(Function):
    @staticmethod
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        x, scale = args
        ctx.scale = scale
        return x

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return ops.mul(grads[0], ctx.scale), None


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of ``weight`` at integer indices of any shape.

    The row ``padding_idx`` gets no gradient. With ``max_norm`` the rows that are looked up are first scaled
    down, in place, to that norm. Gradients are dense: ``sparse=True`` is refused.

    Shapes: input ``[*]``, weight ``[V, D]``; result ``[*, D]``.

    Errors: IndexError for an index out of range.

    Example:
        >>> lt.nn.functional.embedding(lt.tensor([1, 0]), lt.tensor([[1.0, 2.0], [3.0, 4.0]]))
        tensor([[3., 4.],
                [1., 2.]])
    """
    indices = tensor_of("embedding", input)
    if indices.dtype not in (_core.int64, _core.int32):
        raise TypeError(
            f"embedding: indices must be int64 or int32, got {indices.dtype!r}; convert with .long()"
        )
    if sparse:
        raise ValueError("embedding: sparse gradients are not supported; leave sparse=False")
    if tensor_of("embedding", weight, "weight").ndim == 0:
        raise ShapeError("embedding: weight must be [V, D], a row for each index, got shape []")
    rows = weight.shape[0]
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise ValueError(
                f"embedding: padding_idx must be within num_embeddings ({rows}), got {padding_idx}"
            )
        padding_idx %= rows
    if max_norm is not None and indices.numel():
        _renormalise(weight, indices, float(max_norm), float(norm_type))
    out = ops.embedding(indices, weight, padding_idx)
    if scale_grad_by_freq and indices.numel():
        flat = _core.reshape(_core.cast(indices, _core.int64), [-1])
        counts = _core.index_select(_core.bincount(flat, rows), 0, flat)
        scale = _core.reshape(_core.div(1.0, _core.cast(counts, weight.dtype)), [*indices.shape, 1])
        return _ScaleGradient.apply(out, scale)
    return out


def _renormalise(weight: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> None:
    plain = weight.detach()
    used, _, _ = _core.unique(_core.reshape(indices, [-1]))
    rows = _core.index_select(plain, 0, used)
    norms = _core.norm_p(rows, norm_type, (1,), True)
    factors = _core.where(_core.gt(norms, max_norm), _core.div(max_norm, _core.add(norms, 1e-7)), 1.0)
    _core.index_put_into(plain, [used], _core.cast(_core.mul(rows, factors), plain.dtype), False)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """A last axis with 1 at each class index and 0 elsewhere; ``num_classes=-1``: the largest index plus one.

    Example:
        >>> lt.nn.functional.one_hot(lt.tensor([0, 2]))
        tensor([[1, 0, 0],
                [0, 0, 1]])
    """
    return ops.one_hot(tensor, num_classes)
