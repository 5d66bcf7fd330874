"""The fused recurrent layers against the loop over their steps in small operations, and against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from helpers import assert_same, require_torch, sample, to_numpy
from lectorium import ops
from lectorium.ops.cells import STEPS
from lectorium.ops.recurrent import composite, sequence

torch = require_torch()

# Gates in the input and in the recurrent weight.
GATES = {
    "rnn_tanh": (1, 1), "rnn_relu": (1, 1), "residual_rnn": (1, 1), "skip_rnn": (1, 1), "lstm": (4, 4),
    "peephole_lstm": (4, 4), "layer_norm_lstm": (4, 4), "gru": (3, 3), "gru_reset_before": (3, 3),
    "mut1": (3, 2), "mut2": (3, 3), "mut3": (3, 3),
}  # fmt: skip
KINDS = [*GATES, "lstm projected", "layer_norm_lstm plain"]
Parts = tuple[Any, tuple[Any, ...], tuple[Any, ...]]


def make(
    kind: str, hidden: int, sizes: list[int], packed: bool, dtype: str = "float64", grad: bool = True
) -> Parts:
    """Input, state and weights; ``sizes`` are the rows of each step."""
    name, _, form = kind.partition(" ")
    gates, products = GATES[name]
    batch, out = sizes[0], max(1, hidden // 2) if form == "projected" else hidden
    seeds = iter(range(20))

    def tensor(*shape: int, scale: float = 1.0) -> Any:
        made = lt.from_numpy(sample(shape, dtype, -scale, scale, next(seeds)))
        return made.requires_grad_() if grad else made

    x = tensor(sum(sizes), gates * hidden) if packed else tensor(len(sizes), batch, gates * hidden)
    columns = {"skip_rnn": [hidden] * 3}.get(name, [out, hidden] if "lstm" in name else [hidden])
    state = tuple(tensor(batch, n) for n in columns)
    scale = (3 / hidden) ** 0.5
    weights = [tensor(products * hidden, out, scale=scale)]
    more: dict[str, Callable[[], list[Any]]] = {
        "lstm": lambda: [tensor(out, hidden, scale=scale) if form == "projected" else None],
        "peephole_lstm": lambda: [tensor(3 * hidden)],
        "gru": lambda: [tensor(3 * hidden)],
        "skip_rnn": lambda: [tensor(hidden, hidden, scale=scale)],
        "layer_norm_lstm": lambda: [tensor(4 * hidden), tensor(hidden), None if form else tensor(hidden)],
    }
    return x, state, (*weights, *more.get(name, list)())


def results(
    run: Callable[..., Any], kind: str, parts: Parts, sizes: list[int] | None, reverse: bool
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Outputs with the final states, and the gradients of everything."""
    x, state, weights = parts
    out = run(kind.partition(" ")[0], x, state, weights, sizes, reverse)
    seeds = [
        lt.from_numpy(sample(tuple(o.shape), "float64", -1, 1, 50 + i)).to(o.dtype) for i, o in enumerate(out)
    ]
    leaves = [t for t in (x, *state, *weights) if t is not None]
    grads = lt.autograd.grad(list(out), leaves, seeds, allow_unused=True)
    zero = [np.zeros(t.shape) if g is None else to_numpy(g) for t, g in zip(leaves, grads, strict=True)]
    return [to_numpy(o) for o in out], zero


def tree(parts: Any, change: Callable[[Any], Any]) -> Any:
    """The same tuples of changed tensors."""
    if isinstance(parts, tuple):
        return tuple(tree(part, change) for part in parts)
    return None if parts is None else change(parts)


def loop(*args: Any) -> tuple[Any, ...]:
    return composite(ops, *args)


SHAPES = [
    (1, [1], False),
    (7, [3], False),
    (33, [1, 1, 1], False),
    (7, [3, 3, 3, 3], False),
    (33, [17, 17], False),
    (130, [3, 3], False),
    (7, [4, 4, 2, 1, 1], True),
    (20, [33, 20, 18, 2], True),
    (33, [3, 1], True),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-11), ("float32", 3e-5)])
def test_every_kind_agrees_with_its_steps_in_small_operations(
    kind: str, reverse: bool, dtype: str, bound: float
) -> None:
    for hidden, sizes, packed in SHAPES:
        parts, given = make(kind, hidden, sizes, packed, dtype), sizes if packed else None
        got, want = (results(run, kind, parts, given, reverse) for run in (sequence, loop))
        for a, b in zip((*got[0], *got[1]), (*want[0], *want[1]), strict=True):
            scale = max(1.0, float(np.abs(b).max()))
            np.testing.assert_allclose(a / scale, b / scale, atol=bound, err_msg=f"{hidden} {sizes}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("dtype", "bound"), [("bfloat16", 0.01), ("float16", 0.002)])
def test_half_precision_is_float32_rounded(kind: str, packed: bool, dtype: str, bound: float) -> None:
    sizes = [3, 3, 2] if packed else [3, 3, 3]
    made, given = make(kind, 7, sizes, packed, "float32", grad=False), sizes if packed else None
    half = tree(made, lambda t: t.to(getattr(lt, dtype)))
    wide = tree(half, lambda t: t.float().requires_grad_())
    half = tree(half, lambda t: t.requires_grad_())
    got, want = (results(sequence, kind, parts, given, False) for parts in (half, wide))
    for a, b in zip((*got[0], *got[1]), (*want[0], *want[1]), strict=True):
        scale = max(1.0, float(np.abs(b).max()))
        np.testing.assert_allclose(a / scale, b / scale, atol=bound)
    with lt.no_grad():
        plain = sequence(kind.partition(" ")[0], *half, given)
    assert all(t.dtype.name == dtype for t in plain)
    for a, b in zip(plain, got[0], strict=True):
        np.testing.assert_array_equal(to_numpy(a), b)


def test_half_precision_is_differentiated_twice() -> None:
    x, state, weights = tree(make("gru", 3, [2, 2], False, "float32", grad=False), lambda t: t.bfloat16())
    x.requires_grad_()
    y, _ = sequence("gru", x, state, weights)
    (first,) = lt.autograd.grad(y.float().sum(), [x], create_graph=True)
    (second,) = lt.autograd.grad((first.float() ** 2).sum(), [x])
    assert second.dtype is lt.bfloat16
    assert bool((second != 0).any())


def test_the_kernels_know_every_kind_of_step() -> None:
    assert set(GATES) == set(STEPS)
    with pytest.raises(ValueError, match='there is no kind "elman", expected one of rnn_tanh, '):
        sequence("elman", lt.zeros(1, 1, 4), (lt.zeros(1, 4),), (lt.zeros(4, 4),))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packed", [False, True])
def test_gradients_of_gradients(kind: str, packed: bool) -> None:
    sizes = [2, 1] if packed else [2, 2]
    x, state, weights = make(kind, 2, sizes, packed)
    n = len(state)
    present = [t for t in (x, *state, *weights) if t is not None]
    holes = [t is None for t in (x, *state, *weights)]

    def run(*given: Any) -> Any:
        left = iter(given)
        full = [None if hole else next(left) for hole in holes]
        name = kind.partition(" ")[0]
        rest = tuple(full[1 : n + 1]), tuple(full[n + 1 :])
        return sequence(name, full[0], *rest, sizes if packed else None, packed)

    assert lt.autograd.gradcheck(run, tuple(present), atol=1e-6, rtol=1e-4)
    assert lt.autograd.gradgradcheck(run, tuple(present), atol=1e-5, rtol=1e-3)


def test_the_gradient_under_create_graph_is_that_of_the_kernel() -> None:
    x, state, weights = make("gru", 5, [3, 3, 3], False)
    # An input that depends on another one.
    state = (x[0, :, :5] * 0.5,)
    y = sequence("gru", x, state, weights)[0].sum()
    plain = lt.autograd.grad(y, [x, weights[0]], retain_graph=True)
    assert_same(lt.autograd.grad(y, [x, weights[0]], create_graph=True), plain, rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "theirs"), [("rnn_tanh", "RNN"), ("rnn_relu", "RNN"), ("lstm", "LSTM"), ("gru", "GRU"), ("lstm projected", "LSTM")]
)  # fmt: skip
@pytest.mark.parametrize("steps", [1, 6])
def test_pytorch_agrees(kind: str, theirs: str, steps: int) -> None:
    hidden, sizes = 20, [5] * steps
    x, state, weights = make(kind, hidden, sizes, False, "float32")
    options: dict[str, Any] = {"nonlinearity": kind[4:]} if theirs == "RNN" else {}
    if "projected" in kind:
        options["proj_size"] = hidden // 2
    # The input's part of the gates ready made: an identity as the input's weight.
    layer = getattr(torch.nn, theirs)(x.shape[-1], hidden, **options)
    own = [layer.weight_ih_l0, layer.bias_ih_l0, layer.bias_hh_l0]
    with torch.no_grad():
        own[0].copy_(torch.eye(x.shape[-1]))
        own[1].zero_()
        own[2].copy_(torch.from_numpy(weights[1].detach().numpy())) if kind == "gru" else own[2].zero_()
        layer.weight_hh_l0.copy_(torch.from_numpy(weights[0].detach().numpy()))
        if "projected" in kind:
            layer.weight_hr_l0.copy_(torch.from_numpy(weights[1].detach().numpy()))
    xs = torch.from_numpy(x.detach().numpy().copy()).requires_grad_()
    start = [torch.from_numpy(s.detach().numpy().copy())[None].requires_grad_() for s in state]
    y, last = layer(xs, tuple(start) if theirs == "LSTM" else start[0])
    ends: tuple[Any, ...] = last if theirs == "LSTM" else (last,)
    got = sequence(kind.partition(" ")[0], x, state, weights)
    assert_same(list(got), [y, *(t[0] for t in ends)])
    (got[0].sum() + sum((g * g).sum() for g in got[1:])).backward()
    (y.sum() + sum((t * t).sum() for t in ends)).backward()
    assert_same(x.grad, xs.grad, rtol=1e-4, atol=1e-5)
    assert_same(weights[0].grad, layer.weight_hh_l0.grad, rtol=1e-4, atol=1e-4)
    for mine, other in zip(state, start, strict=True):
        assert_same(mine.grad, other.grad[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_threads_gives_the_same_bits(kind: str) -> None:
    before = lt.get_num_threads()
    found: list[tuple[list[np.ndarray], list[np.ndarray]]] = []
    try:
        for threads in (1, 2, 7):
            lt.set_num_threads(threads)
            parts = make(kind, 100, [37, 37, 20], True, "float32")
            found.append(results(sequence, kind, parts, [37, 37, 20], False))
    finally:
        lt.set_num_threads(before)
    for other in found[1:]:
        for a, b in zip((*found[0][0], *found[0][1]), (*other[0], *other[1]), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_may_lie_in_any_order(kind: str) -> None:
    x, state, weights = make(kind, 6, [3, 3], False, grad=False)
    want = sequence(kind.partition(" ")[0], x, state, weights)

    def turned(t: Any) -> Any:
        return None if t is None else lt.from_numpy(np.asfortranarray(t.numpy()))

    got = sequence(kind.partition(" ")[0], turned(x), tuple(map(turned, state)), tuple(map(turned, weights)))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_only_gradients_asked_for_are_made() -> None:
    x, state, weights = make("lstm", 4, [2, 2], False, grad=False)
    h = state[0].requires_grad_()
    y, _, c = sequence("lstm", x, state, weights)
    (y.sum() + c.sum()).backward()
    assert h.grad is not None
    assert x.grad is None
    assert weights[0].grad is None


def test_what_the_gradient_needs_must_not_change() -> None:
    for change in (0, 1, 2):
        x, state, weights = make("gru", 4, [2, 2], False)
        y, _ = sequence("gru", x, state, weights)
        with lt.no_grad():
            (weights[0], state[0], y)[change].mul_(2)
        with pytest.raises(RuntimeError, match="gru needs for its gradient was changed"):
            y.sum().backward()


def test_without_gradients_nothing_is_kept() -> None:
    x, state, weights = make("lstm", 64, [8] * 50, False, "float32", grad=False)
    sequence("lstm", x, state, weights)
    before = lt.memory.stats()["in_use"]
    kept = sequence("lstm", x, state, weights)
    assert lt.memory.stats()["in_use"] - before < 3 * kept[0].numel() * 4


@pytest.mark.parametrize(
    ("shape", "sizes", "words"),
    [
        ((0, 2, 12), None, "gru: expected at least one step and one sequence, got 0 steps of 2 sequences"),
        ((2, 2, 11), None, "gru: the input's part of the gates has 11 columns"),
        ((2, 12), None, "gru: expected the input's part of the gates as .steps, batch, gates."),
        ((4, 12), [2, 1], "gru: batch_sizes .2, 1. do not add up to the 4 rows"),
        ((3, 12), [1, 2], "gru: batch_sizes must be one or more positive numbers that never rise"),
        ((3, 12), [4, -1], "gru: sizes must not be negative, got -1"),
        ((2, 12), [1, 1], "gru: expected shape .1, 4. for the initial state h, got .2, 4."),
    ],
)
def test_sequences_that_do_not_fit(shape: tuple[int, ...], sizes: list[int] | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sequence("gru", lt.zeros(*shape), (lt.zeros(2, 4),), (lt.zeros(12, 4), None), sizes)


def test_a_compiled_layer_refuses_what_it_cannot_prepare() -> None:
    x, h, w = lt.zeros(2, 2, 4), (lt.zeros(2, 4),), lt.zeros(12, 4)
    with pytest.raises(ValueError, match="mut1: its gates are not one linear map of the input"):
        lt._core.recurrent_layer("mut1", x, h, (w, w, None, None), None, False)
    with pytest.raises(ValueError, match="gru: expected 4 parameters, w_ih, w_hh, b_ih, b_hh first, got 3"):
        lt._core.recurrent_layer("gru", x, h, (w, w, None), None, False)
    with pytest.raises(ValueError, match="gru: expected shape .2, 4. for the initial state h, got .3, 4."):
        lt._core.recurrent_layer("gru", x, (lt.zeros(1, 3, 4),), (w, w, None, None), None, False)


def test_a_view_of_one_step_as_very_many_is_an_error() -> None:
    x = lt.zeros(1, 2, 12).expand(1 << 40, 2, 12)
    with pytest.raises(MemoryError, match="gru: "):
        sequence("gru", x, (lt.zeros(2, 4),), (lt.zeros(12, 4), None))


def test_dtypes_must_agree() -> None:
    with pytest.raises(TypeError, match="gru: w_hh is float64, expected float32 as the input"):
        sequence("gru", lt.zeros(1, 2, 12), (lt.zeros(2, 4),), (lt.zeros(12, 4, dtype=lt.float64), None))
    with pytest.raises(
        TypeError, match="gru: a state or a weight is float32, expected bfloat16 as the input"
    ):
        sequence("gru", lt.zeros(1, 2, 12).bfloat16(), (lt.zeros(2, 4),), (lt.zeros(12, 4), None))
