"""Additive attention, fused."""

from __future__ import annotations

from typing import Any

from .. import _core
from ..autograd.composite import composite_gradients
from ..autograd.tape import Three, op
from . import copy, elementwise, reduce, shape, unary
from .linear import matmul
from .softmax import softmax


@op(outputs=2)
def additive_attention(k: Any, query: Any, keys: Any, direction: Any, values: Any, mask: Any) -> Three:
    """Context and weights of ``softmax(direction · tanh(query + keys))``; then what only the gradient needs.

    Query ``[N, L, A]``, keys ``[N, S, A]``, values ``[N, S, V]``; mask ``[N, 1 or L, S]``, true where a query
    may look.
    """
    out = k.additive_attention(query, keys, direction, values, mask)
    return out, (query, keys, direction, values, mask, out[1], out[2])


@additive_attention.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    *inputs, mask, weights, bent = saved
    if k is _core:
        return k.additive_attention_grad(*g, *inputs, mask, weights.detach(), bent, bool(need[3]))

    def formula(query: Any, keys: Any, direction: Any, values: Any) -> tuple[Any, Any]:
        return additive_formula(query, keys, direction, values, mask)

    return composite_gradients(formula, inputs, g, need)


def additive_formula(query: Any, keys: Any, direction: Any, values: Any, mask: Any) -> tuple[Any, Any]:
    """``additive_attention`` in small operations."""
    joined = unary.tanh(elementwise.add(shape.unsqueeze(query, 2), shape.unsqueeze(keys, 1)))
    weights = masked_softmax(reduce.sum(elementwise.mul(joined, direction), (3,)), mask)
    return matmul(weights, values), weights


def masked_softmax(scores: Any, mask: Any) -> Any:
    """Softmax over the last axis of what the mask leaves; zeros where that is nothing."""
    if mask is None:
        return softmax(scores, -1)
    # A finite number, so that a row without any score is no NaN.
    least = -6e4 if scores.dtype is _core.float16 else -1e30
    weights = softmax(elementwise.where(mask, scores, least), -1)
    return elementwise.mul(weights, copy.cast(mask, scores.dtype))
