"""RNN, LSTM and GRU with every option against PyTorch's, from the same weights: results and gradients."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from helpers import sample

torch = pytest.importorskip("torch", reason="parity needs torch")

INPUT, HIDDEN, BATCH, STEPS = 3, 5, 4, 6
LENGTHS = [4, 6, 1, 4]
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu"}),
    ("LSTM", {}),
    ("LSTM", {"proj_size": 2}),
    ("GRU", {}),
]
SHAPES = [
    {"num_layers": layers, "bias": bias, "batch_first": batch_first, "bidirectional": bidirectional}
    for layers, bias, batch_first, bidirectional in itertools.product(
        (1, 2), (True, False), (False, True), (False, True)
    )
]
SHAPES.append({"num_layers": 3, "bias": True, "batch_first": True, "bidirectional": True})


def pair_of(name: str, dtype: str = "float64", **options: Any) -> tuple[Any, Any]:
    """Our layer and PyTorch's with the same weights."""
    ours = getattr(lt.nn, name)(INPUT, HIDDEN, **options, dtype=getattr(lt, dtype))
    theirs = getattr(torch.nn, name)(INPUT, HIDDEN, **options, dtype=getattr(torch, dtype))
    for p in ours.parameters():
        lt.nn.init.uniform_(p, -0.7, 0.7)
    theirs.load_state_dict({k: torch.from_numpy(v.numpy().copy()) for k, v in ours.state_dict().items()})
    return ours, theirs


def flat(result: Any) -> list[Any]:
    """All tensors of nested tuples."""
    if isinstance(result, (tuple, list)):
        return [t for part in result for t in flat(part)]
    return [result]


def same(ours: Any, theirs: Any, rtol: float = 1e-10, atol: float = 1e-11) -> None:
    got, want = flat(ours), flat(theirs)
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert tuple(a.shape) == tuple(b.shape)
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=rtol, atol=atol)


def gradients_agree(
    ours: Any, theirs: Any, mine: list[Any], other: list[Any], inputs: list[Any], their_inputs: list[Any]
) -> None:
    """Flows the same random gradients into all results, and compares those of parameters and inputs."""
    seeds = [sample(tuple(t.shape), "float64", seed=50 + i) for i, t in enumerate(other)]
    lt.autograd.backward(mine, [lt.tensor(s) for s in seeds])
    torch.autograd.backward(other, [torch.from_numpy(s) for s in seeds])
    same([t.grad for t in inputs], [t.grad for t in their_inputs])
    same([p.grad for p in ours.parameters()], [p.grad for p in theirs.parameters()])


def states_for(theirs: Any, batch: int | None) -> list[np.ndarray]:
    """Random initial states: h, and for an LSTM c."""
    count = theirs.num_layers * (2 if theirs.bidirectional else 1)
    sizes = [theirs.proj_size or HIDDEN, HIDDEN][: 2 if theirs.mode == "LSTM" else 1]
    lead = (count,) if batch is None else (count, batch)
    return [sample((*lead, n), "float64", seed=7 + i) for i, n in enumerate(sizes)]


def both(arrays: list[np.ndarray]) -> tuple[list[Any], list[Any]]:
    return (
        [lt.tensor(a).requires_grad_() for a in arrays],
        [torch.tensor(a, requires_grad=True) for a in arrays],
    )


def as_state(parts: list[Any]) -> Any:
    return tuple(parts) if len(parts) > 1 else parts[0] if parts else None


@pytest.mark.parametrize("options", SHAPES, ids=lambda o: "-".join(str(int(v)) for v in o.values()))
@pytest.mark.parametrize(("name", "kind"), KINDS)
@pytest.mark.parametrize("given", [False, True])
def test_a_layer_computes_what_torch_computes(name: str, kind: Any, options: Any, given: bool) -> None:
    ours, theirs = pair_of(name, **kind, **options)
    assert repr(ours) == repr(theirs)
    shape = (BATCH, STEPS, INPUT) if options["batch_first"] else (STEPS, BATCH, INPUT)
    arrays = [sample(shape, "float64"), *(states_for(theirs, BATCH) if given else [])]
    xs, ys = both(arrays)
    mine, other = flat(ours(xs[0], as_state(xs[1:]))), flat(theirs(ys[0], as_state(ys[1:])))
    same(mine, other)
    gradients_agree(ours, theirs, mine, other, xs, ys)


# Not with ReLU, whose gradients jump where the two round to different sides of 0.
@pytest.mark.parametrize(("name", "kind"), [k for k in KINDS if "nonlinearity" not in k[1]])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}], ids=str)
@pytest.mark.parametrize(("dtype", "bound"), [("bfloat16", 0.03), ("float16", 0.01)])
def test_half_precision_trains_as_in_torch(
    name: str, kind: Any, options: Any, dtype: str, bound: float
) -> None:
    ours, theirs = (
        m.to(getattr(lib, dtype))
        for m, lib in zip(pair_of(name, **kind, **options), (lt, torch), strict=True)
    )
    arrays = [sample((STEPS, BATCH, INPUT), "float32"), *states_for(theirs, BATCH)]
    xs = [lt.tensor(a).to(getattr(lt, dtype)).requires_grad_() for a in arrays]
    ys = [torch.tensor(a).to(getattr(torch, dtype)).requires_grad_() for a in arrays]
    mine, other = flat(ours(xs[0], as_state(xs[1:]))), flat(theirs(ys[0], as_state(ys[1:])))
    # The two round in different places.
    for a, b in zip(mine, other, strict=True):
        assert a.dtype.name == dtype
        np.testing.assert_allclose(a.float().detach().numpy(), b.float().detach().numpy(), atol=bound)
    for out in (mine, other):
        sum((t.float() ** 2).sum() for t in out).backward()
    for a, b in zip([*xs, *ours.parameters()], [*ys, *theirs.parameters()], strict=True):
        assert a.grad.dtype.name == dtype
        want = b.grad.float().numpy()
        np.testing.assert_allclose(a.grad.float().numpy(), want, atol=bound * float(np.abs(want).max()))


@pytest.mark.parametrize("options", SHAPES[::3], ids=lambda o: "-".join(str(int(v)) for v in o.values()))
@pytest.mark.parametrize(("name", "kind"), KINDS)
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("lengths", [LENGTHS, [6, 4, 4, 1], [5, 5, 5, 5]], ids=str)
def test_packed_sequences_and_lengths_compute_what_torch_computes(
    name: str, kind: Any, options: Any, given: bool, lengths: list[int]
) -> None:
    ours, theirs = pair_of(name, **kind, **options)
    first = options["batch_first"]
    shape = (BATCH, STEPS, INPUT) if first else (STEPS, BATCH, INPUT)
    arrays = [sample(shape, "float64"), *(states_for(theirs, BATCH) if given else [])]
    xs, ys = both(arrays)
    theirs_rnn, ours_rnn = torch.nn.utils.rnn, lt.nn.utils.rnn
    packed = theirs_rnn.pack_padded_sequence(ys[0], lengths, first, enforce_sorted=False)
    out, state = theirs(packed, as_state(ys[1:]))
    padded, _ = theirs_rnn.pad_packed_sequence(out, first, total_length=STEPS)
    other = [padded, *flat(state)]

    mine_packed = ours_rnn.pack_padded_sequence(xs[0], lengths, first, enforce_sorted=False)
    got, mine_state = ours(mine_packed, as_state(xs[1:]))
    same([got.data, mine_state], [out.data, state])
    assert got.batch_sizes.tolist() == out.batch_sizes.tolist()
    mine = [ours_rnn.pad_packed_sequence(got, first, total_length=STEPS)[0], *flat(mine_state)]
    same(mine, other)
    gradients_agree(ours, theirs, mine, other, xs, ys)

    # The same by `lengths=`, which pads with zeros up to the steps of the input.
    ours.zero_grad()
    for x in xs:
        x.grad = None
    for given_lengths in (lengths, lt.tensor(lengths)):
        same(ours(xs[0], as_state(xs[1:]), lengths=given_lengths), other)
    theirs.zero_grad()
    ys = both(arrays)[1]
    out, state = theirs(
        theirs_rnn.pack_padded_sequence(ys[0], lengths, first, enforce_sorted=False), as_state(ys[1:])
    )
    other = [theirs_rnn.pad_packed_sequence(out, first, total_length=STEPS)[0], *flat(state)]
    mine = flat(ours(xs[0], as_state(xs[1:]), lengths=lengths))
    gradients_agree(ours, theirs, mine, other, xs, ys)


@pytest.mark.parametrize(("name", "kind"), KINDS)
@pytest.mark.parametrize("options", SHAPES[::5], ids=lambda o: "-".join(str(int(v)) for v in o.values()))
@pytest.mark.parametrize("given", [False, True])
def test_an_input_without_a_batch_is_taken(name: str, kind: Any, options: Any, given: bool) -> None:
    ours, theirs = pair_of(name, **kind, **options)
    arrays = [sample((STEPS, INPUT), "float64"), *(states_for(theirs, None) if given else [])]
    xs, ys = both(arrays)
    mine, other = flat(ours(xs[0], as_state(xs[1:]))), flat(theirs(ys[0], as_state(ys[1:])))
    same(mine, other)
    gradients_agree(ours, theirs, mine, other, xs, ys)


@pytest.mark.parametrize(("name", "kind"), KINDS)
@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (1, 3), (7, 1), (4, 0)])
def test_small_shapes_agree_in_float32(name: str, kind: Any, steps: int, batch: int) -> None:
    ours, theirs = pair_of(name, "float32", **kind, num_layers=2)
    x = sample((steps, batch, INPUT))
    same(ours(lt.tensor(x)), theirs(torch.from_numpy(x)), 1e-4, 1e-5)


@pytest.mark.parametrize("hidden", [1, 2, 7, 16, 31, 33, 130])
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_hidden_sizes_beside_vector_widths_agree(name: str, hidden: int) -> None:
    ours = getattr(lt.nn, name)(4, hidden, dtype=lt.float64)
    theirs = getattr(torch.nn, name)(4, hidden, dtype=torch.float64)
    theirs.load_state_dict({k: torch.from_numpy(v.numpy().copy()) for k, v in ours.state_dict().items()})
    xs, ys = both([sample((5, 3, 4), "float64")])
    mine, other = flat(ours(xs[0])), flat(theirs(ys[0]))
    same(mine, other)
    gradients_agree(ours, theirs, mine, other, xs, ys)


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_strided_inputs_and_states_agree(name: str, kind: Any) -> None:
    ours, theirs = pair_of(name, **kind, bidirectional=True)
    x = sample((INPUT, BATCH, STEPS), "float64")
    states = [np.moveaxis(s, 0, 2) for s in states_for(theirs, BATCH)]
    xs, ys = both([x, *states])
    mine = ours(xs[0].permute(2, 1, 0), as_state([s.permute(2, 0, 1) for s in xs[1:]]))
    other = theirs(ys[0].permute(2, 1, 0), as_state([s.permute(2, 0, 1) for s in ys[1:]]))
    same(mine, other)
    gradients_agree(ours, theirs, flat(mine), flat(other), xs, ys)


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_dropout_acts_between_layers_in_training_only(name: str, kind: Any) -> None:
    ours, theirs = pair_of(name, **kind, num_layers=2, dropout=1.0, bidirectional=True)
    x = sample((STEPS, BATCH, INPUT), "float64")
    # With probability 1 all is dropped, whatever was drawn.
    same(ours(lt.tensor(x)), theirs(torch.from_numpy(x)))
    same(ours.eval()(lt.tensor(x)), theirs.eval()(torch.from_numpy(x)))
    ours, _ = pair_of(name, **kind, num_layers=2, dropout=0.5)
    first, second = ours(lt.tensor(x))[0], ours(lt.tensor(x))[0]
    assert not bool((first == second).all())


CELLS: list[tuple[str, dict[str, Any]]] = [
    ("RNNCell", {}),
    ("RNNCell", {"nonlinearity": "relu"}),
    ("LSTMCell", {}),
    ("GRUCell", {}),
]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [None, 1, 4])
@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize(("name", "kind"), CELLS)
def test_a_cell_computes_what_torch_computes(
    name: str, kind: Any, bias: bool, batch: int | None, given: bool
) -> None:
    ours, theirs = pair_of(name, **kind, bias=bias)
    assert repr(ours) == repr(theirs)
    lead = () if batch is None else (batch,)
    count = (2 if name == "LSTMCell" else 1) if given else 0
    arrays = [sample((*lead, n), "float64", seed=i) for i, n in enumerate([INPUT, *[HIDDEN] * count])]
    xs, ys = both(arrays)
    mine, other = flat(ours(xs[0], as_state(xs[1:]))), flat(theirs(ys[0], as_state(ys[1:])))
    same(mine, other)
    gradients_agree(ours, theirs, mine, other, xs, ys)


@pytest.mark.parametrize(("name", "kind"), CELLS)
def test_a_loop_over_a_cell_agrees_with_torch_and_with_the_layer(name: str, kind: Any) -> None:
    ours, theirs = pair_of(name, **kind)
    xs, ys = both([sample((STEPS, BATCH, INPUT), "float64")])
    state, their_state = None, None
    mine: list[Any] = []
    other: list[Any] = []
    for x, y in zip(xs[0], ys[0], strict=True):
        state, their_state = ours(x, state), theirs(y, their_state)
        mine.append(flat(state)[0])
        other.append(flat(their_state)[0])
    same(mine, other)
    layer = getattr(lt.nn, name.removesuffix("Cell"))(INPUT, HIDDEN, **kind, dtype=lt.float64)
    layer.load_state_dict({f"{k}_l0": v for k, v in ours.state_dict().items()})
    out, final = layer(xs[0])
    same(out, lt.stack(mine))
    same([s[0] for s in flat(final)], flat(state))
    gradients_agree(ours, theirs, mine, other, xs, ys)


@pytest.mark.parametrize(("name", "kind"), [*KINDS, *CELLS])
def test_state_dicts_go_both_ways_and_draws_have_the_same_bounds(name: str, kind: Any) -> None:
    options = {} if name.endswith("Cell") else {"num_layers": 2, "bidirectional": True}
    ours = getattr(lt.nn, name)(INPUT, 400, **kind, **options)
    theirs = getattr(torch.nn, name)(INPUT, 400, **kind, **options)
    mine = {k: tuple(v.shape) for k, v in ours.state_dict().items()}
    assert mine == {k: tuple(v.shape) for k, v in theirs.state_dict().items()}
    assert list(mine) == list(theirs.state_dict())
    for p in ours.parameters():
        assert 0.049 * 0.9 < float(p.abs().max()) <= 0.05
    ours.load_state_dict({k: lt.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    x = sample((3, INPUT) if name.endswith("Cell") else (2, 3, INPUT))
    same(ours(lt.tensor(x)), theirs(torch.from_numpy(x)), 1e-4, 1e-5)


def test_all_weights_and_flatten_parameters_are_as_in_torch() -> None:
    ours, theirs = pair_of("LSTM", num_layers=2, bidirectional=True, proj_size=2)
    assert [[tuple(w.shape) for w in ws] for ws in ours.all_weights] == [
        [tuple(w.shape) for w in ws] for ws in theirs.all_weights
    ]
    assert ours.all_weights[0][0] is ours.weight_ih_l0
    assert ours.flatten_parameters() is None
    assert (ours.mode, lt.nn.RNN(2, 3, nonlinearity="relu").mode) == ("LSTM", "RNN_RELU")
