"""Attention modules against the same formulas in PyTorch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from helpers import assert_same, require_torch, sample, to_numpy, to_torch

torch = require_torch()
N, L, S, Q, K, V, H = 3, 2, 5, 4, 6, 7, 8
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 1, 1, 0, 1]], bool)


def scores(attention: Any, q: Any, k: Any) -> Any:
    """The scores ``[N, L, S]`` of a module of ours, in PyTorch."""
    w = {name: to_torch(p) for name, p in attention.named_parameters()}
    if isinstance(attention, lt.nn.ScaledDotProductAttention):
        return q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
    if getattr(attention, "score", None) == "dot":
        return q @ k.transpose(1, 2)
    if getattr(attention, "score", None) == "general":
        return q @ w["query_proj.weight"].T @ k.transpose(1, 2)
    at = "additive." if "additive.score" in w else ""
    joined = q @ w[at + "query_proj.weight"].T + w.get(at + "query_proj.bias", torch.zeros(H, dtype=q.dtype))
    return torch.tanh(joined[:, :, None] + (k @ w[at + "key_proj.weight"].T)[:, None]) @ w[at + "score"]


def theirs(attention: Any, q: Any, k: Any, v: Any, mask: Any) -> Any:
    s = scores(attention, q if q.ndim == 3 else q[:, None], k)
    if mask is not None:
        s = s.masked_fill(~(mask if mask.ndim == 3 else mask[:, None]), -math.inf)
    weights = s.softmax(-1)
    context = weights @ v
    return (context, weights) if q.ndim == 3 else (context[:, 0], weights[:, 0])


MODULES = {
    "additive": lambda d: lt.nn.AdditiveAttention(Q, K, H, dtype=d),
    "additive without bias": lambda d: lt.nn.AdditiveAttention(Q, K, H, False, dtype=d),
    "dot": lambda d: lt.nn.MultiplicativeAttention(K, score="dot"),
    "general": lambda d: lt.nn.MultiplicativeAttention(Q, K, dtype=d),
    "concat": lambda d: lt.nn.MultiplicativeAttention(Q, K, "concat", H, dtype=d),
    "scaled": lambda d: lt.nn.ScaledDotProductAttention(),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("masked", ["no", "keys", "each query"])
@pytest.mark.parametrize("queries", [(), (L,)], ids=["one query", "several"])
@pytest.mark.parametrize("name", MODULES)
def test_context_weights_and_gradients_agree(
    name: str, queries: tuple[int, ...], masked: str, dtype: str
) -> None:
    attention = MODULES[name](getattr(lt, dtype))
    size = K if name in ("dot", "scaled") else Q
    mask = None
    if masked == "keys":
        mask = MASK
    elif masked == "each query":
        mask = np.stack([MASK, MASK[::-1]], 1)[:, : (len(queries) and L) or 1]
    arrays = [sample(s, dtype) for s in ((N, *queries, size), (N, S, K), (N, S, V))]
    ours = [lt.from_numpy(a).requires_grad_() for a in arrays]
    other = [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
    got = attention(*ours, mask=None if mask is None else lt.from_numpy(mask.copy()))
    want = theirs(attention, *other, None if mask is None else torch.from_numpy(mask.copy()))
    assert_same(got, want, what=name)
    seeds = [sample(tuple(t.shape), dtype, seed=7) for t in want]
    lt.autograd.backward(list(got), [lt.from_numpy(s) for s in seeds])
    torch.autograd.backward(list(want), [torch.from_numpy(s) for s in seeds])
    for a, b in zip(ours, other, strict=True):
        assert_same(a.grad, b.grad, what=name, rtol=None if dtype == "float64" else 1e-4)


@pytest.mark.parametrize("name", MODULES)
def test_without_values_the_keys_are_seen(name: str) -> None:
    attention = MODULES[name](lt.float64)
    q = lt.from_numpy(sample((N, K if name in ("dot", "scaled") else Q), "float64"))
    k = lt.from_numpy(sample((N, S, K), "float64"))
    for a, b in zip(attention(q, k), attention(q, k, k), strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


@pytest.mark.parametrize("name", ["additive", "concat"])
def test_keys_are_projected_once(name: str) -> None:
    attention = MODULES[name](lt.float64)
    q, k = lt.from_numpy(sample((N, L, Q), "float64")), lt.from_numpy(sample((N, S, K), "float64"))
    projected = attention.project(k)
    found = []
    for extra in ({}, {"projected": projected}):
        attention.zero_grad()
        context, weights = attention(q, k, **extra)
        (context.sum() + weights[0, 0, 0]).backward()
        found.append([context, weights, *(p.grad for p in attention.parameters())])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


@pytest.mark.parametrize("name", MODULES)
def test_who_may_look_nowhere_sees_zeros(name: str) -> None:
    attention = MODULES[name](lt.float64)
    mask = np.ones((N, S), bool)
    mask[1] = False
    q = lt.from_numpy(sample((N, K if name in ("dot", "scaled") else Q), "float64")).requires_grad_()
    k = lt.from_numpy(sample((N, S, K), "float64")).requires_grad_()
    for create_graph in (False, True):
        context, weights = attention(q, k, mask=lt.from_numpy(mask))
        assert (to_numpy(context)[1] == 0).all()
        assert (to_numpy(weights)[1] == 0).all()
        loss = (context * context).sum() + weights[0, 0]
        for g in lt.autograd.grad(loss, [q, k], create_graph=create_graph):
            assert np.isfinite(to_numpy(g)).all()
            assert (to_numpy(g)[1] == 0).all()
            if create_graph:
                assert np.isfinite(to_numpy(lt.autograd.grad(g.sum(), q, retain_graph=True)[0])).all()


def test_what_is_hidden_may_be_anything_in_additive_attention() -> None:
    attention = MODULES["additive"](lt.float64)
    q, k = sample((N, Q), "float64"), sample((N, S, K), "float64")
    projected = to_numpy(attention.project(lt.from_numpy(k)))
    found = []
    for hidden in (0.0, math.nan):
        leaves = [
            lt.from_numpy(np.where(MASK[..., None], a, hidden)).requires_grad_() for a in (k, projected)
        ]
        context, _ = attention(lt.from_numpy(q), leaves[0], mask=lt.from_numpy(MASK), projected=leaves[1])
        context.sum().backward()
        found.append([to_numpy(t) for t in (context, leaves[0].grad, leaves[1].grad)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("masked", [False, True])
def test_first_and_second_derivatives_are_right(masked: bool) -> None:
    inputs = [
        lt.from_numpy(sample(s, "float64")).requires_grad_() for s in ((2, L, 3), (2, 4, 3), (3,), (2, 4, 2))
    ]
    mask = lt.tensor([[[True, True, False, True]], [[False] * 4]]) if masked else None

    def both(*xs: Any) -> Any:
        return lt.ops.additive_attention(*xs, mask)[:2]

    lt.autograd.gradcheck(both, tuple(inputs))
    lt.autograd.gradgradcheck(both, tuple(inputs))


def test_threads_do_not_change_a_bit() -> None:
    arrays = [sample(s, "float32") for s in ((33, 5, 70), (33, 20, 70), (70,), (33, 20, 90))]
    before, found = lt.get_num_threads(), []
    try:
        for threads in (1, 2, 7):
            lt.set_num_threads(threads)
            leaves = [lt.from_numpy(a).requires_grad_() for a in arrays]
            context, weights, _ = lt.ops.additive_attention(*leaves, None)
            (context.sum() + weights[:, :, 0].sum()).backward()
            found.append([to_numpy(t).tobytes() for t in (context, weights, *(x.grad for x in leaves))])
    finally:
        lt.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def test_dropout_acts_on_the_weights_in_training_only() -> None:
    attention = lt.nn.ScaledDotProductAttention(dropout=0.5)
    q, k = lt.randn(2, 3, 4), lt.randn(2, 50, 4)
    assert (to_numpy(attention(q, k)[1]) == 0).any()
    np.testing.assert_allclose(to_numpy(attention.eval()(q, k)[1]).sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"query": lt.zeros(3, 5)}, ValueError, r"query has shape \[3, 5\], expected \[N, 4\] or \[N, L, 4\]"),
        ({"keys": lt.zeros(2, 5, 6)}, ValueError, r"keys has shape \[2, 5, 6\], expected \[3, S, 6\]"),
        ({"values": lt.zeros(3, 4, 6)}, ValueError, r"values has shape \[3, 4, 6\], expected \[3, 5, \*\] as the keys"),
        ({"mask": lt.ones(3, 5)}, TypeError, "mask is float32, expected bool, true where a query may look"),
        ({"mask": lt.ones(5, 3) > 0}, ValueError, r"mask has shape \[5, 3\], expected \[3, 5\] or \[3, 1, 5\]"),
        ({"projected": lt.zeros(3, 5, 9)}, ValueError, r"additive_attention: expected query .* got \[3, 1, 8\], \[3, 5, 9\]"),
    ],
)  # fmt: skip
def test_errors_say_what_came(changed: Any, error: type[Exception], words: str) -> None:
    given = {"query": lt.zeros(3, 4), "keys": lt.zeros(3, 5, 6), **changed}
    with pytest.raises(
        error, match="(?i)additive_?attention: .*" + words.removeprefix("additive_attention: ")
    ):
        lt.nn.AdditiveAttention(4, 6, 8)(**given)


def test_scores_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="score='dot' needs queries and keys of one size, got 4 and 6"):
        lt.nn.MultiplicativeAttention(4, 6, "dot")
    with pytest.raises(ValueError, match="score must be 'dot', 'general' or 'concat', got 'cosine'"):
        lt.nn.MultiplicativeAttention(4, 6, "cosine")
    with pytest.raises(ValueError, match="dropout must be a probability from 0 to 1, got 2"):
        lt.nn.ScaledDotProductAttention(2)


def test_no_tensors_are_refused() -> None:
    attention, x = lt.nn.ScaledDotProductAttention(), lt.zeros(2, 3, 4)
    with pytest.raises(TypeError, match="ScaledDotProductAttention: query must be a Tensor, got int"):
        attention(3, x)
    with pytest.raises(TypeError, match="ScaledDotProductAttention: mask must be a Tensor, got list"):
        attention(x, x, mask=[True])


def test_dtypes_must_agree() -> None:
    x = lt.zeros(2, 3, 4)
    with pytest.raises(
        TypeError, match="expected one dtype, got float32 .*, float32 .* and float64 for the v"
    ):
        lt.nn.AdditiveAttention(4, 4, 5)(x, x, x.double())


@pytest.mark.parametrize("dtype", [lt.float16, lt.bfloat16])
def test_a_query_that_may_look_nowhere_sees_zeros_in_half_precision(dtype: Any) -> None:
    keys, mask = lt.randn(2, 3, 4).to(dtype), lt.tensor([[True, True, False], [False] * 3])
    for attention in (
        lt.nn.ScaledDotProductAttention(),
        lt.nn.MultiplicativeAttention(4, 4, "dot"),
        lt.nn.AdditiveAttention(4, 4, 5, dtype=dtype),
    ):
        query = lt.randn(2, 4).to(dtype).requires_grad_()
        context, weights = attention(query, keys, mask=mask)
        context.sum().backward()
        assert query.grad.dtype is dtype
        assert weights.dtype is dtype
        assert context[1].tolist() == [0] * 4
        assert weights[1].tolist() == [0] * 3
        assert weights[0, 2].item() == 0
