"""Recurrent layers of every kind: cells against the papers' formulas, layers against loops of cells."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from helpers import sample
from lectorium import nn

INPUT, HIDDEN, BATCH, STEPS = 3, 4, 3, 5
LENGTHS = [2, 5, 4]

# Layer, its options, and how many states it has.
KINDS: list[tuple[str, dict[str, Any], int]] = [
    ("RNN", {}, 1),
    ("RNN", {"nonlinearity": "relu"}, 1),
    ("LSTM", {}, 2),
    ("GRU", {}, 1),
    ("GRU", {"reset_after": False}, 1),
    ("MUT1", {"project_input": True}, 1),
    ("MUT2", {"project_input": True}, 1),
    ("MUT3", {}, 1),
    ("ConcatLSTM", {}, 2),
    ("PeepholeLSTM", {}, 2),
    ("LayerNormLSTM", {}, 2),
    ("ResidualRNN", {}, 1),
    ("SkipRNN", {}, 2),
    ("SkipRNN", {"skip": 3}, 3),
]
IDS = ["-".join([name, *map(str, o.values())]) for name, o, _ in KINDS]
every_kind = pytest.mark.parametrize(("name", "options", "count"), KINDS, ids=IDS)


def layer_of(name: str, options: dict[str, Any], **more: Any) -> Any:
    made = getattr(nn, name)(INPUT, HIDDEN, **options, **more, dtype=lt.float64)
    for p in made.parameters():
        nn.init.uniform_(p, -0.8, 0.8)
    return made


def flat(result: Any) -> list[Any]:
    if isinstance(result, (tuple, list)):
        return [t for part in result for t in flat(part)]
    return [result]


def same(a: Any, b: Any, tolerance: float = 1e-11) -> None:
    for x, y in zip(flat(a), flat(b), strict=True):
        assert x.shape == y.shape
        np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), rtol=tolerance, atol=tolerance)


def s(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def normalised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def mut(which: int, x: np.ndarray, h: np.ndarray, p: dict[str, np.ndarray]) -> np.ndarray:
    """The three cells as the paper writes them."""
    n = HIDDEN
    b_z, b_r, b_h = (p["bias_ih"][i * n : (i + 1) * n] for i in range(3))
    rows = [p["weight_ih"][i : i + n] for i in range(0, len(p["weight_ih"]), n)]
    cols = [p["weight_hh"][i : i + n] for i in range(0, len(p["weight_hh"]), n)]
    as_h = x @ p["weight_in"].T if "weight_in" in p else x
    if which == 1:
        (w_xz, w_xr), (w_hr, w_hh) = rows, cols
        z = s(x @ w_xz.T + b_z)
        r = s(x @ w_xr.T + h @ w_hr.T + b_r)
        return np.tanh((r * h) @ w_hh.T + np.tanh(as_h) + b_h) * z + h * (1 - z)
    w_hz, w_hr, w_hh = cols
    if which == 2:
        w_xz, w_xh = rows
        z = s(x @ w_xz.T + h @ w_hz.T + b_z)
        r = s(as_h + h @ w_hr.T + b_r)
    else:
        w_xz, w_xr, w_xh = rows
        z = s(x @ w_xz.T + np.tanh(h) @ w_hz.T + b_z)
        r = s(x @ w_xr.T + h @ w_hr.T + b_r)
    return np.tanh((r * h) @ w_hh.T + x @ w_xh.T + b_h) * z + h * (1 - z)


def lstm(kind: str, x: np.ndarray, h: np.ndarray, c: np.ndarray, p: dict[str, np.ndarray]) -> Any:
    """The LSTMs as their papers write them."""
    seen_c = np.zeros((4, HIDDEN))
    if kind == "ConcatLSTM":
        gates = np.concatenate([x, h], -1) @ p["weight_xh"].T + p["bias_xh"]
    elif kind == "LayerNormLSTM":
        gates = p["weight_ln_ih"] * normalised(x @ p["weight_ih"].T)
        gates = gates + p["weight_ln_hh"] * normalised(h @ p["weight_hh"].T) + p["bias_ih"]
    else:
        gates = x @ p["weight_ih"].T + p["bias_ih"] + h @ p["weight_hh"].T + p["bias_hh"]
        seen_c[[0, 1, 3]] = p["weight_ch"].reshape(3, HIDDEN)
    i, f, g, o = np.split(gates, 4, -1)
    new = s(f + seen_c[1] * c) * c + s(i + seen_c[0] * c) * np.tanh(g)
    shown = new
    if kind == "LayerNormLSTM":
        shown = p["weight_ln_ch"] * normalised(new) + p["bias_ln_ch"]
    return s(o + seen_c[3] * new) * np.tanh(shown), new


def formula(name: str, x: np.ndarray, state: list[np.ndarray], p: dict[str, np.ndarray]) -> Any:
    h = state[0]
    if name.startswith("MUT"):
        return (mut(int(name[3]), x, h, p),)
    if name.endswith("LSTM"):
        return lstm(name, x, h, state[1], p)
    gates = x @ p["weight_ih"].T + p["bias_ih"]
    if name == "GRU":
        n = HIDDEN
        w_r, w_z, w_n = (p["weight_hh"][i * n : (i + 1) * n] for i in range(3))
        r, z, new = np.split(gates + p["bias_hh"], 3, -1)
        r, z = s(r + h @ w_r.T), s(z + h @ w_z.T)
        return ((1 - z) * np.tanh(new + (r * h) @ w_n.T) + z * h,)
    gates = gates + p["bias_hh"] + h @ p["weight_hh"].T
    if name == "ResidualRNN":
        return (h + np.tanh(gates),)
    return (np.tanh(gates + state[-1] @ p["weight_skip"].T), *state[:-1])


@pytest.mark.parametrize(("name", "options", "count"), KINDS[4:], ids=IDS[4:])
def test_a_cell_computes_the_formula_of_its_paper(name: str, options: Any, count: int) -> None:
    cell = layer_of(f"{name}Cell", options)
    x = sample((BATCH, INPUT), "float64")
    state = [sample((BATCH, HIDDEN), "float64", seed=i) for i in range(count)]
    p = {k: v.numpy() for k, v in cell.state_dict().items()}
    want = formula(name, x, state, p)
    got = cell(lt.tensor(x), state_of([lt.tensor(a) for a in state]))
    same(got, [lt.tensor(w) for w in want])
    # Without a batch, and from a state of zeros.
    one = cell(lt.tensor(x[1]), state_of([lt.tensor(a[1]) for a in state]))
    same(one, [t[1] for t in flat(got)])
    zeros = [np.zeros((BATCH, HIDDEN))] * count
    same(cell(lt.tensor(x)), [lt.tensor(w) for w in formula(name, x, zeros, p)])


def state_of(parts: Any) -> Any:
    parts = tuple(parts)
    return parts if len(parts) > 1 else parts[0]


def loop(layer: Any, x: Any, state: list[Any], lengths: list[int]) -> tuple[Any, list[Any]]:
    """What a layer computes, by its cell, a sequence, a direction and a step at a time; x ``[T, B, I]``."""
    kind = type(layer).__name__
    both = 2 if layer.bidirectional else 1
    finals: list[list[Any]] = []
    for index in range(0, layer.num_layers * both, both):
        outs = []
        for d in range(both):
            suffix = f"_l{index // both}" + "_reverse" * d
            own = {k.removesuffix(suffix): v for k, v in layer._parameters.items() if k.endswith(suffix)}
            extra = {k: getattr(layer, k) for k in ("nonlinearity", "skip", "reset_after", "project_input")
                     if hasattr(layer, k)}  # fmt: skip
            cell = getattr(nn, f"{kind}Cell")(x.shape[-1], HIDDEN, layer.bias, **extra, dtype=lt.float64)
            for k, v in own.items():
                cell._parameters[k] = v
            columns, ends = [], []
            for b, length in enumerate(lengths):
                hs = [part[index + d, b] for part in state]
                rows: list[Any] = [lt.zeros(HIDDEN, dtype=lt.float64)] * x.shape[0]
                for t in reversed(range(length)) if d else range(length):
                    hs = flat(cell(x[t, b], state_of(hs)))
                    rows[t] = hs[0]
                columns.append(lt.stack(rows))
                ends.append(hs)
            outs.append(lt.stack(columns, 1))
            finals.append([lt.stack([e[i] for e in ends]) for i in range(len(state))])
        x = lt.cat(outs, -1)
    return x, [lt.stack([f[i] for f in finals]) for i in range(len(state))]


SHAPES = list(itertools.product((1, 2), (False, True), (True, False), (None, LENGTHS)))


@pytest.mark.parametrize(
    ("layers", "bidirectional", "bias", "lengths"), SHAPES,
    ids=["-".join([str(a), "both" * b, "bias" * c, "lengths" * bool(d)]) for a, b, c, d in SHAPES],
)  # fmt: skip
@every_kind
def test_a_layer_is_a_loop_over_its_cell(
    name: str, options: Any, count: int, layers: int, bidirectional: bool, bias: bool, lengths: Any
) -> None:
    layer = layer_of(name, options, num_layers=layers, bidirectional=bidirectional, bias=bias)
    x = lt.tensor(sample((STEPS, BATCH, INPUT), "float64")).requires_grad_()
    shape = (layers * (2 if bidirectional else 1), BATCH, HIDDEN)
    state = [lt.tensor(sample(shape, "float64", seed=i)).requires_grad_() for i in range(count)]
    leaves = [x, *state, *layer.parameters()]
    gradients: list[list[Any]] = []
    results: list[list[Any]] = []
    for run in (
        lambda: loop(layer, x, state, lengths or [STEPS] * BATCH),
        lambda: layer(x, state_of(state), lengths=lengths),
    ):
        out = flat(run())
        seeds = [lt.tensor(sample(t.shape, "float64", seed=20 + i)) for i, t in enumerate(out)]
        lt.autograd.backward(out, seeds)
        results.append(out)
        gradients.append([t.grad for t in leaves])
        for t in leaves:
            t.grad = None
    same(results[1], results[0])
    same(gradients[1], gradients[0], 1e-10)


@every_kind
def test_batch_first_unbatched_and_packed_are_the_same_numbers(name: str, options: Any, count: int) -> None:
    layer = layer_of(name, options, num_layers=2, bidirectional=True)
    x = lt.tensor(sample((STEPS, BATCH, INPUT), "float64"))
    out, state = layer(x)
    layer.batch_first = True
    other, other_state = layer(x.transpose(0, 1))
    same([other.transpose(0, 1), other_state], [out, state])
    one, one_state = layer(x[:, 1])
    same([one, one_state], [out[:, 1], *[t[:, 1] for t in flat(state)]])
    rnn = nn.utils.rnn
    packed = rnn.pack_padded_sequence(x, LENGTHS, enforce_sorted=False)
    got, got_state = layer(packed)
    layer.batch_first = False
    same([rnn.pad_packed_sequence(got)[0], got_state], layer(x, lengths=LENGTHS))


@every_kind
@pytest.mark.parametrize("lengths", [None, [1, 3]], ids=["dense", "lengths"])
def test_first_and_second_derivatives_are_right(name: str, options: Any, count: int, lengths: Any) -> None:
    options = {k: v for k, v in options.items() if k != "project_input"}
    layer = getattr(nn, name)(2, 2, **options, bidirectional=name in ("LSTM", "GRU"), dtype=lt.float64)
    if options.get("nonlinearity") == "relu":
        nn.init.uniform_(layer.weight_ih_l0, 0.5, 1)  # away from the kink
    x = lt.tensor(sample((3, 2, 2), "float64", 0.1)).requires_grad_()
    n = 2 if layer.bidirectional else 1
    state = [lt.tensor(sample((n, 2, 2), "float64", 0.1, seed=i)).requires_grad_() for i in range(count)]
    names = [k for k, _ in layer.named_parameters()]

    def run(x: Any, *rest: Any) -> Any:
        for k, p in zip(names, rest[count:], strict=True):
            layer._parameters[k] = p
        return tuple(flat(layer(x, state_of(rest[:count]), lengths=lengths)))

    inputs = (x, *state, *layer.parameters())
    assert lt.autograd.gradcheck(run, inputs)
    if lengths is None or name in ("LSTM", "GRU", "MUT1"):
        assert lt.autograd.gradgradcheck(run, inputs)


@every_kind
def test_only_what_is_asked_for_gets_gradients(name: str, options: Any, count: int) -> None:
    layer = layer_of(name, options)
    for p in layer.parameters():
        p.requires_grad = False
    kept = "weight_xh_l0" if name == "ConcatLSTM" else "weight_hh_l0"
    layer.get_parameter(kept).requires_grad = True
    x = lt.tensor(sample((STEPS, BATCH, INPUT), "float64")).requires_grad_()
    _, state = layer(x)
    flat(state)[-1].sum().backward()
    assert x.grad is not None
    assert [k for k, p in layer.named_parameters() if p.grad is not None] == [kept]
    with lt.no_grad():
        assert not layer(x)[0].requires_grad
