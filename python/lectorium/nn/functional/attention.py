"""Attention."""

from __future__ import annotations

import math

from ... import _core, ops
from ..._core import Tensor
from ._shared import ShapeError
from .dropout import dropout


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``softmax(query keyᵀ / sqrt(E)) value`` (Vaswani et al. 2017).

    ``attn_mask``: bool (True takes part) or added to the scores; ``is_causal``: only what comes not later.
    ``enable_gqa``: fewer heads (axis -3) of key and value than of query, each used by a group.

    Shapes: query ``[*, L, E]``, key ``[*, S, E]``, value ``[*, S, V]``; result ``[*, L, V]``.

    Example:
        >>> q = lt.randn(2, 4, 8)
        >>> lt.nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True).shape
        (2, 4, 8)
    """
    op = "scaled_dot_product_attention"
    for name, t in (("query", query), ("key", key), ("value", value)):
        if t.ndim < 2:
            raise ShapeError(f"{op}: {name} must have 2 axes or more, got shape {list(t.shape)}")
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ShapeError(
            f"{op}: expected query [*, L, E], key [*, S, E] and value [*, S, V], got {list(query.shape)}, "
            f"{list(key.shape)} and {list(value.shape)}"
        )
    if is_causal and attn_mask is not None:
        raise ValueError(f"{op}: give attn_mask or is_causal, not both")
    if enable_gqa:
        heads, few = query.shape[-3], key.shape[-3]
        if heads % few or value.shape[-3] != few:
            raise ShapeError(f"{op}: query has {heads} heads, not a multiple of the {few} of key and value")
        if heads != few:
            key = ops.repeat_interleave(key, heads // few, key.ndim - 3)
            value = ops.repeat_interleave(value, heads // few, value.ndim - 3)
    rows, columns = query.shape[-2], key.shape[-2]
    factor = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = ops.matmul(ops.mul(query, factor), ops.transpose(key, -1, -2))
    if is_causal:
        attn_mask = _core.tril(_core.full([rows, columns], True, _core.bool))
    blocked: Tensor | None = None
    if attn_mask is not None and attn_mask.dtype is _core.bool:
        scores = ops.where(attn_mask, scores, -math.inf)
        # A row that sees nothing attends to nothing, and is not NaN.
        blocked = _core.logical_not(_core.any(attn_mask, (-1,), True))
    elif attn_mask is not None:
        scores = ops.add(scores, attn_mask)
    weights = ops.softmax(scores, -1)
    if blocked is not None and _core.any(blocked).item():
        weights = ops.where(blocked, 0.0, weights)
    if dropout_p:
        weights = dropout(weights, dropout_p)
    return ops.matmul(weights, value)
