"""Attention of recurrent decoders: what each query looks at among the keys, and what it sees there.

All of them are called as ``attention(query, keys, values=None, mask=None)`` and return the context and the
weights. Without values the keys are what is seen. ``mask`` is true where a query may look; one that may look
nowhere sees zeros, with weights of zero.
"""

from __future__ import annotations

import math
from typing import Any

from .. import _core, ops
from .._core import Tensor, dtype as DType
from ..ops.attention import additive_formula, masked_softmax
from . import functional as F, init
from ._make import parameter, size
from .functional._shared import tensor_of
from .linear import Linear
from .module import Module

ShapeError = _core.ShapeError


def _checked(
    op: str, query: Tensor, keys: Tensor, values: Tensor | None, mask: Tensor | None, sizes: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Query ``[N, L, *]``, values, and mask ``[N, 1 or L, S]``."""
    for name, t in (("query", query), ("keys", keys), ("values", values), ("mask", mask)):
        if t is not None or name in ("query", "keys"):
            tensor_of(op, t, name)
    if query.ndim not in (2, 3) or query.shape[-1] != sizes[0]:
        raise ShapeError(
            f"{op}: query has shape {list(query.shape)}, expected [N, {sizes[0]}] or [N, L, {sizes[0]}]"
        )
    n = query.shape[0]
    if keys.ndim != 3 or keys.shape[0] != n or keys.shape[2] != sizes[1]:
        raise ShapeError(f"{op}: keys has shape {list(keys.shape)}, expected [{n}, S, {sizes[1]}]")
    s = keys.shape[1]
    values = keys if values is None else values
    if values.ndim != 3 or values.shape[:2] != (n, s):
        raise ShapeError(f"{op}: values has shape {list(values.shape)}, expected [{n}, {s}, *] as the keys")
    if keys.dtype is not query.dtype or values.dtype is not query.dtype:
        raise TypeError(
            f"{op}: expected one dtype, got {query.dtype.name} for the query, {keys.dtype.name} for the keys "
            f"and {values.dtype.name} for the values; convert with .to(dtype)"
        )
    if query.ndim == 2:
        query = ops.unsqueeze(query, 1)
    if mask is not None:
        rows = query.shape[1]
        if mask.dtype is not _core.bool:
            raise TypeError(
                f"{op}: mask is {mask.dtype.name}, expected bool, true where a query may look; "
                "make one with != or .bool()"
            )
        if mask.shape not in ((n, s), (n, rows, s), (n, 1, s)):
            raise ShapeError(
                f"{op}: mask has shape {list(mask.shape)}, expected [{n}, {s}] or [{n}, {rows}, {s}]"
            )
        if mask.ndim == 2:
            mask = ops.unsqueeze(mask, 1)
    return query, values, mask


def _results(query: Tensor, context: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Without the axis of queries, where the caller's query had none."""
    return (context, weights) if query.ndim == 3 else (ops.squeeze(context, (1,)), ops.squeeze(weights, (1,)))


class AdditiveAttention(Module):
    """Attention with the scores ``v · tanh(W_q query + W_k key)`` (Bahdanau et al. 2015).

    Shapes: query ``[N, query_size]`` or ``[N, L, query_size]``, keys ``[N, S, key_size]``, values
    ``[N, S, V]``, mask ``[N, S]`` or ``[N, L, S]``, bool; context ``[N, V]`` or ``[N, L, V]``, weights
    ``[N, S]`` or ``[N, L, S]``.

    A decoder that looks at the same keys in every step makes ``projected=attention.project(keys)`` once.

    Example:
        >>> attention = lt.nn.AdditiveAttention(4, 6, hidden_size=8)
        >>> keys = lt.randn(2, 5, 6)
        >>> projected = attention.project(keys)
        >>> context, weights = attention(lt.randn(2, 4), keys, projected=projected)
        >>> context.shape, weights.shape
        ((2, 6), (2, 5))
    """

    def __init__(
        self,
        query_size: int,
        key_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.query_size = size("AdditiveAttention", "query_size", query_size)
        self.key_size = size("AdditiveAttention", "key_size", key_size)
        self.hidden_size = size("AdditiveAttention", "hidden_size", hidden_size)
        self.query_proj = Linear(query_size, hidden_size, bias, device, dtype)
        self.key_proj = Linear(key_size, hidden_size, False, device, dtype)
        self.score = parameter((hidden_size,), dtype, device)
        bound = 1 / math.sqrt(hidden_size)
        init.uniform_(self.score, -bound, bound)

    def project(self, keys: Tensor) -> Tensor:
        """The keys' part of the scores, the same for every query.

        Shapes: keys ``[N, S, key_size]`` give ``[N, S, hidden_size]``.

        Example:
            >>> attention, keys = lt.nn.AdditiveAttention(4, 6, hidden_size=8), lt.randn(2, 5, 6)
            >>> projected, query = attention.project(keys), lt.randn(2, 4)
            >>> attention(query, keys, projected=projected)[1].allclose(attention(query, keys)[1])
            True
        """
        return self.key_proj(keys)

    def forward(
        self,
        query: Tensor,
        keys: Tensor,
        values: Tensor | None = None,
        mask: Tensor | None = None,
        projected: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        sizes = (self.query_size, self.key_size)
        q, values, mask = _checked("AdditiveAttention", query, keys, values, mask, sizes)
        if projected is None:
            projected = self.project(keys)
        inputs = self.query_proj(q), projected, self.score, values, mask
        # The kernel does not compute in half precision; a recorder sees the small operations.
        fits = q.dtype in (_core.float32, _core.float64) and not _core.recording()
        made = ops.additive_attention(*inputs)[:2] if fits else additive_formula(*inputs)
        return _results(query, *made)


class MultiplicativeAttention(Module):
    """Attention with the scores of Luong et al. 2015.

    ``score``: ``"dot"``, ``query · key``, for equal sizes; ``"general"``, ``query · W key``; or ``"concat"``,
    ``v · tanh(W [query; key])``, with ``hidden_size`` rows in W. Shapes are those of
    ``AdditiveAttention``, and so is ``project``, which only ``concat`` needs.

    Example:
        >>> attention = lt.nn.MultiplicativeAttention(4, 6, score="general")
        >>> context, weights = attention(lt.randn(2, 3, 4), lt.randn(2, 5, 6))
        >>> context.shape, weights.shape
        ((2, 3, 6), (2, 3, 5))
    """

    def __init__(
        self,
        query_size: int,
        key_size: int | None = None,
        score: str = "general",
        hidden_size: int | None = None,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        name = "MultiplicativeAttention"
        self.query_size = size(name, "query_size", query_size)
        self.key_size = self.query_size if key_size is None else size(name, "key_size", key_size)
        self.score = score
        if score == "dot":
            if self.query_size != self.key_size:
                raise ValueError(
                    f"{name}: score='dot' needs queries and keys of one size, got {self.query_size} and "
                    f"{self.key_size}; use score='general'"
                )
        elif score == "general":
            self.query_proj = Linear(self.query_size, self.key_size, False, device, dtype)
        elif score == "concat":
            hidden = self.query_size if hidden_size is None else hidden_size
            self.additive = AdditiveAttention(self.query_size, self.key_size, hidden, False, device, dtype)
        else:
            raise ValueError(f"{name}: score must be 'dot', 'general' or 'concat', got {score!r}")

    def project(self, keys: Tensor) -> Tensor | None:
        """The keys' part of ``concat``, the same for every query; None for the other scores.

        Example:
            >>> keys = lt.randn(2, 5, 6)
            >>> lt.nn.MultiplicativeAttention(6, 6, score="dot").project(keys) is None
            True
        """
        return self.additive.project(keys) if self.score == "concat" else None

    def extra_repr(self) -> str:
        """The sizes and the score."""
        return f"{self.query_size}, {self.key_size}, score={self.score!r}"

    def forward(
        self,
        query: Tensor,
        keys: Tensor,
        values: Tensor | None = None,
        mask: Tensor | None = None,
        projected: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        if self.score == "concat":
            return self.additive(query, keys, values, mask, projected)
        sizes = (self.query_size, self.key_size)
        q, values, mask = _checked("MultiplicativeAttention", query, keys, values, mask, sizes)
        if self.score == "general":
            q = self.query_proj(q)
        return _results(query, *_multiplied(q, keys, values, mask, 0.0))


class ScaledDotProductAttention(Module):
    """Attention with the scores ``query · key / sqrt(size)`` (Vaswani et al. 2017).

    Shapes as in ``AdditiveAttention``, with queries and keys of one size; ``dropout`` acts on the weights.
    Without weights ``functional.scaled_dot_product_attention`` takes any number of leading axes.

    Example:
        >>> context, weights = lt.nn.ScaledDotProductAttention()(lt.randn(2, 3, 4), lt.randn(2, 5, 4))
        >>> context.shape, weights.shape
        ((2, 3, 4), (2, 3, 5))
    """

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
            raise ValueError(
                f"ScaledDotProductAttention: dropout must be a probability from 0 to 1, got {dropout!r}"
            )
        self.dropout = dropout

    def extra_repr(self) -> str:
        """The dropout, where there is some."""
        return f"dropout={self.dropout}" if self.dropout else ""

    def forward(
        self, query: Tensor, keys: Tensor, values: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        name = "ScaledDotProductAttention"
        width = query.shape[-1] if tensor_of(name, query, "query").ndim else 0
        q, values, mask = _checked(name, query, keys, values, mask, (width, width))
        q = ops.mul(q, 1.0 / math.sqrt(max(width, 1)))
        return _results(query, *_multiplied(q, keys, values, mask, self.dropout if self.training else 0.0))


def _multiplied(
    query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: float
) -> tuple[Tensor, Tensor]:
    """Context and weights of scores that are products."""
    weights = masked_softmax(ops.matmul(query, ops.transpose(keys, 1, 2)), mask)
    if dropout:
        weights = F.dropout(weights, dropout)
    return ops.matmul(weights, values), weights
