"""How recurrent layers are used: carried and learned states, saving, and what they refuse."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from lectorium import nn

rnn = nn.utils.rnn

LAYERS = [
    "RNN", "LSTM", "GRU", "MUT1", "MUT2", "MUT3",
    "ConcatLSTM", "PeepholeLSTM", "LayerNormLSTM", "ResidualRNN", "SkipRNN",
]  # fmt: skip


def flat(state: Any) -> list[Any]:
    return list(state) if isinstance(state, tuple) else [state]


# Without gradients.


@pytest.mark.parametrize(
    "options", [{}, {"bias": False}, {"num_layers": 2}, {"bidirectional": True}], ids=str
)
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (3, 5)])
def test_without_gradients_the_numbers_are_the_same(
    name: str, options: dict[str, Any], steps: int, batch: int
) -> None:
    layer, x = getattr(nn, name)(20, 20, **options), lt.randn(steps, batch, 20)
    _, state = layer(lt.randn(2, batch, 20))
    state = rnn.detach(state)
    for given in (None, state):
        wanted = layer(x, given)
        with lt.no_grad():
            got = layer(x, given)
        for a, b in zip([got[0], *flat(got[1])], [wanted[0], *flat(wanted[1])], strict=True):
            assert a.shape == b.shape
            assert not a.requires_grad
            np.testing.assert_array_equal(a.numpy(), b.detach().numpy())


@pytest.mark.parametrize("name", LAYERS)
def test_a_cell_without_gradients_gives_the_same_numbers(name: str) -> None:
    cell, x = getattr(nn, f"{name}Cell")(20, 20), lt.randn(3, 20)
    for row in (x, x[0]):
        state = rnn.detach(cell(row))
        wanted = cell(row, state)
        with lt.no_grad():
            got = cell(row, state)
        for a, b in zip(flat(got), flat(wanted), strict=True):
            assert a.shape == b.shape
            np.testing.assert_array_equal(a.numpy(), b.detach().numpy())


# Truncated backpropagation through time.


@pytest.mark.parametrize("name", LAYERS)
def test_a_sequence_in_stretches_gives_the_same_outputs(name: str) -> None:
    layer = getattr(nn, name)(4, 4, num_layers=2, dtype=lt.float64)
    x = lt.randn(12, 3, 4, dtype=lt.float64)
    whole, end = layer(x)
    state, parts = None, []
    for part in x.split(5):
        out, state = layer(part, state)
        parts.append(out)
        state = rnn.detach(state)
        assert not any(s.requires_grad for s in flat(state))
    np.testing.assert_allclose(lt.cat(parts).detach().numpy(), whole.detach().numpy(), atol=1e-12)
    for a, b in zip(flat(state), flat(end), strict=True):
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), atol=1e-12)


def test_gradients_stay_within_a_stretch() -> None:
    layer = nn.LSTM(2, 3, dtype=lt.float64)
    x = lt.randn(6, 1, 2, dtype=lt.float64).requires_grad_()
    first, state = layer(x[:3])
    second, _ = layer(x[3:], rnn.detach(state))
    second.sum().backward()
    assert bool((x.grad[:3] == 0).all())
    assert bool((x.grad[3:] != 0).all())
    # The same without detach reaches the first stretch.
    first, state = layer(x[:3])
    x.grad = None
    layer(x[3:], state)[0].sum().backward()
    assert bool((x.grad[:3] != 0).all())
    assert first.requires_grad


def test_training_in_stretches_keeps_memory_flat() -> None:
    layer = nn.GRU(8, 16)
    state = None
    used: list[int] = []
    for _ in range(20):
        out, state = layer(lt.randn(10, 4, 8), state)
        out.sum().backward()
        layer.zero_grad()
        state = rnn.detach(state)
        del out
        used.append(lt.memory.stats()["in_use"])
    assert used[-1] <= used[5]


# Learned initial states.


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_a_learned_initial_state_begins_at_zero_and_is_trained(name: str, bidirectional: bool) -> None:
    options = {"project_input": True} if name in ("MUT1", "MUT2") else {}
    layer = getattr(nn, name)(4, 4, bidirectional=bidirectional, learn_initial_state=True, **options)
    plain = getattr(nn, name)(4, 4, bidirectional=bidirectional, **options)
    learned = {k: p for k, p in layer.named_parameters() if k.startswith("initial_")}
    assert all(p.shape == (2 if bidirectional else 1, 4) for p in learned.values())
    plain.load_state_dict(layer.state_dict(), strict=False)
    x = lt.randn(5, 3, 4)
    np.testing.assert_allclose(layer(x)[0].detach().numpy(), plain(x)[0].detach().numpy(), atol=1e-6)
    layer(x, lengths=[5, 2, 3])[0].sum().backward()
    assert all(bool((p.grad != 0).any()) for p in learned.values())
    with lt.no_grad():
        for p in learned.values():
            nn.init.uniform_(p)
    given = tuple(p.detach().unsqueeze(1).expand(-1, 3, -1) for p in learned.values())
    want = plain(x, given if len(given) > 1 else given[0])[0]
    np.testing.assert_allclose(layer(x)[0].detach().numpy(), want.detach().numpy(), atol=1e-6)
    one = layer(x[:, 1])[0]
    np.testing.assert_allclose(one.detach().numpy(), want[:, 1].detach().numpy(), atol=1e-6)
    assert "learn_initial_state=True" in repr(layer)


@pytest.mark.parametrize("name", LAYERS)
def test_a_cell_learns_its_initial_state_too(name: str) -> None:
    cell = getattr(nn, f"{name}Cell")(4, 4, learn_initial_state=True)
    learned = [p for k, p in cell.named_parameters() if k.startswith("initial_")]
    assert all(p.shape == (4,) for p in learned)
    sum(s.sum() for s in flat(cell(lt.randn(3, 4)))).backward()
    assert all(bool((p.grad != 0).any()) for p in learned)
    assert flat(cell(lt.randn(4)))[0].shape == (4,)


# The layers that add their input.


def test_the_mutations_that_add_the_input_need_equal_sizes_or_a_matrix() -> None:
    for name in ("MUT1", "MUT2", "MUT1Cell", "MUT2Cell"):
        text = rf"{name}: .*must have hidden_size=4 features, got 3; pass project_input=True to bring it"
        with pytest.raises(ValueError, match=text):
            getattr(nn, name)(3, 4)
    with pytest.raises(ValueError, match="hidden_size=4 features, got 8; pass project_input=True"):
        nn.MUT1(4, 4, num_layers=2, bidirectional=True)
    assert "weight_in_l0" not in nn.MUT1(4, 4, project_input=True).state_dict()
    assert nn.MUT2(3, 4, project_input=True).weight_in_l0.shape == (4, 3)
    assert nn.MUT3(3, 4)(lt.zeros(2, 1, 3))[0].shape == (2, 1, 4)


# What is particular to a layer.


def test_one_matrix_on_x_and_h_is_an_lstm() -> None:
    a, b = nn.LSTM(3, 4, dtype=lt.float64), nn.ConcatLSTM(3, 4, dtype=lt.float64)
    state = a.state_dict()
    joined = lt.cat([state["weight_ih_l0"], state["weight_hh_l0"]], 1)
    b.load_state_dict({"weight_xh_l0": joined, "bias_xh_l0": state["bias_ih_l0"] + state["bias_hh_l0"]})
    x = lt.randn(5, 2, 3, dtype=lt.float64)
    np.testing.assert_allclose(a(x)[0].detach().numpy(), b(x)[0].detach().numpy(), atol=1e-12)


def test_a_gru_may_reset_before_its_product_with_the_same_weights() -> None:
    after, before = nn.GRU(3, 4), nn.GRU(3, 4, reset_after=False)
    before.load_state_dict(after.state_dict())
    assert repr(before) == "GRU(3, 4, reset_after=False)"
    x = lt.randn(5, 2, 3)
    assert not np.allclose(after(x)[0].detach().numpy(), before(x)[0].detach().numpy())


def test_layer_normalisation_begins_with_gains_of_one() -> None:
    layer = nn.LayerNormLSTM(3, 4)
    for name, p in layer.named_parameters():
        if name.startswith("weight_ln"):
            assert bool((p == 1).all())
        if name.startswith("bias"):
            assert bool((p == 0).all())
    assert not any("bias" in k for k in nn.LayerNormLSTM(3, 4, bias=False).state_dict())


def test_a_skip_network_carries_its_last_states() -> None:
    layer = nn.SkipRNN(3, 4, skip=3)
    out, state = layer(lt.randn(6, 2, 3))
    for i, s in enumerate(state):
        assert bool((s[0] == out[5 - i]).all())
    assert repr(layer) == "SkipRNN(3, 4, skip=3)"


# Modules like others.


@pytest.mark.parametrize("name", [*LAYERS, *(f"{n}Cell" for n in LAYERS)])
def test_a_layer_is_copied_converted_and_saved_like_any_module(name: str, tmp_path: Path) -> None:
    layer = getattr(nn, name)(4, 4)
    x = lt.randn(2, 4) if name.endswith("Cell") else lt.randn(3, 2, 4)
    want = flat(layer(x))[0]
    twin = copy.deepcopy(layer)
    other = getattr(nn, name)(4, 4)
    lt.save(layer.state_dict(), tmp_path / "state.safetensors")
    other.load_state_dict(lt.load(tmp_path / "state.safetensors"))
    for made in (twin, other):
        assert bool((flat(made(x))[0] == want).all())
        assert repr(made) == repr(layer)
    assert flat(layer.double()(x.double()))[0].dtype is lt.float64


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_kind_runs_in_half_precision(name: str, dtype: str) -> None:
    wide = getattr(nn, name)(4, 4)
    kind, bound = getattr(lt, dtype), {"float16": 0.01, "bfloat16": 0.06}[dtype]
    half, x = copy.deepcopy(wide).to(kind), lt.randn(5, 2, 4)
    for batch in (0, 2):
        part = x[:, :batch]
        got, want = half(part.to(kind)), wide(part)
        for a, b in zip([got[0], *flat(got[1])], [want[0], *flat(want[1])], strict=True):
            assert a.dtype.name == dtype
            np.testing.assert_allclose(a.detach().float().numpy(), b.detach().numpy(), atol=bound)
    got[0].float().sum().backward()
    assert all(p.grad is not None and p.grad.dtype.name == dtype for p in half.parameters())


@pytest.mark.parametrize("name", ["LSTM", "LSTMCell"])
@pytest.mark.parametrize("weight", ["weight_hh", "bias_hh", "bias_ih"])
def test_a_tensor_stands_in_for_a_deleted_weight(name: str, weight: str) -> None:
    layer = getattr(nn, name)(3, 4)
    x = lt.randn(2, 3) if name.endswith("Cell") else lt.randn(5, 2, 3)
    weight += "" if name.endswith("Cell") else "_l0"
    twin = copy.deepcopy(layer)
    layer.raw = nn.Parameter(getattr(layer, weight).detach() * 2)
    delattr(layer, weight)
    # As for dropout of weights: made anew before each call.
    setattr(layer, weight, layer.raw / 2)
    want, got = flat(twin(x))[0], flat(layer(x))[0]
    assert lt.equal(got, want)
    want.sum().backward()
    got.sum().backward()
    assert lt.equal(layer.raw.grad * 2, getattr(twin, weight).grad)
    with lt.no_grad():
        assert lt.equal(flat(layer(x))[0], want)


def test_dropout_without_a_second_layer_is_pointed_out() -> None:
    with pytest.warns(UserWarning, match=r"LSTM: dropout acts between layers, so dropout=0.5 does nothing"):
        nn.LSTM(2, 3, dropout=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nn.LSTM(2, 3, num_layers=2, dropout=0.5)


def test_an_error_names_the_module_inside_a_model() -> None:
    model = nn.ModuleDict({"encoder": nn.LSTM(2, 3)})

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = model

        def forward(self, x: Any) -> Any:
            return self.parts["encoder"](x)

    with pytest.raises(lt.ShapeError, match=r"LSTM \(in parts\.encoder\): expected an input of shape"):
        Net()(lt.zeros(3, 1, 5))


L2 = nn.LSTM(3, 4, num_layers=2)
G, P, C = nn.GRU(3, 4, batch_first=True), nn.LSTM(3, 4, proj_size=2), nn.LSTMCell(3, 4)
X = lt.zeros(5, 2, 3)
REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    # Inputs.
    (
        lambda: L2(lt.zeros(5, 2, 4)),
        lt.ShapeError,
        r"LSTM: expected an input of shape \[steps, batch, 3\], or \[steps, 3\] without a batch, "
        r"got shape \[5, 2, 4\]",
    ),
    (lambda: G(lt.zeros(5, 2, 4)), lt.ShapeError, r"GRU: expected an input of shape \[batch, steps, 3\]"),
    (lambda: L2(lt.zeros(3)), lt.ShapeError, r"got shape \[3\]"),
    (lambda: L2(lt.zeros(1, 5, 2, 3)), lt.ShapeError, r"got shape \[1, 5, 2, 3\]"),
    (lambda: L2(lt.zeros(0, 2, 3)), lt.ShapeError, r"one step at least, got shape \[0, 2, 3\]"),
    (lambda: G(lt.zeros(2, 0, 3)), lt.ShapeError, r"one step at least, got shape \[2, 0, 3\]"),
    (lambda: L2([1, 2]), TypeError, "LSTM: input must be a Tensor or a PackedSequence, got list"),
    (
        lambda: L2(X.double()),
        TypeError,
        r"^LSTM: the input is float64 and the weights float32; convert one of them with \.to\(dtype\)$",
    ),
    (lambda: G(X.long()), TypeError, "^GRU: the input is int64 and the weights float32"),
    (lambda: G(X.double(), lt.zeros(1, 5, 4)), TypeError, "^GRU: the input is float64 and the weights"),
    (lambda: L2(X.half(), lengths=[5, 2]), TypeError, "^LSTM: the input is float16 and the weights float32"),
    (lambda: L2(rnn.pack_sequence([X[:, 0].bfloat16()])), TypeError, "^LSTM: the input is bfloat16 and the"),
    (lambda: C(X[0].double()), TypeError, "^LSTMCell: the input is float64 and the weights float32"),
    (
        lambda: nn.MUT2Cell(3, 3, dtype=lt.bfloat16)(X[0]),
        TypeError,
        "^MUT2Cell: the input is float32 and the weights bfloat16",
    ),
    (
        lambda: L2(rnn.pack_sequence([lt.zeros(3, 4)])),
        lt.ShapeError,
        r"LSTM: expected packed rows of shape \[rows, 3\], got shape \[3, 4\]",
    ),
    # States.
    (
        lambda: L2(X, (lt.zeros(2, 2, 5), lt.zeros(2, 2, 4))),
        lt.ShapeError,
        r"LSTM: expected the state h of shape \[2, 2, 4\] \(layers \* directions, batch, size\), "
        r"got \[2, 2, 5\]",
    ),
    (lambda: L2(X, (lt.zeros(2, 2, 4), lt.zeros(2, 2, 5))), lt.ShapeError, "expected the state c of shape"),
    (lambda: L2(X, (lt.zeros(1, 2, 4), lt.zeros(2, 2, 4))), lt.ShapeError, r"\[2, 2, 4\] .*got \[1, 2, 4\]"),
    (lambda: L2(X, (lt.zeros(2, 3, 4), lt.zeros(2, 3, 4))), lt.ShapeError, r"\[2, 2, 4\] .*got \[2, 3, 4\]"),
    (lambda: L2(X[:, 0], (lt.zeros(2, 1, 4),) * 2), lt.ShapeError, r"\[2, 4\] .*got \[2, 1, 4\]"),
    (lambda: P(X, (lt.zeros(1, 2, 4),) * 2), lt.ShapeError, r"state h of shape \[1, 2, 2\]"),
    (lambda: L2(X, lt.zeros(2, 2, 4)), TypeError, r"must be a tuple of 2 tensors \(h, c\), got Tensor"),
    (lambda: L2(X, (lt.zeros(2, 2, 4),)), TypeError, r"tuple of 2 tensors \(h, c\), got a tuple of 1"),
    (lambda: G(X, (lt.zeros(1, 5, 4),)), TypeError, "GRU: the state must be a tensor, got a tuple of 1"),
    (
        lambda: G(X, lt.zeros(1, 5, 4, dtype=lt.float64)),
        TypeError,
        r"the state h is float64 and the input float32; convert one of them with \.to\(dtype\)",
    ),
    (
        lambda: L2(rnn.pack_padded_sequence(X, [5, 2]), (lt.zeros(2, 3, 4),) * 2),
        lt.ShapeError,
        r"\[2, 2, 4\] .*got \[2, 3, 4\]",
    ),
    # Lengths.
    (lambda: L2(X, lengths=[6, 2]), lt.ShapeError, "LSTM: length 6 of sequence 0 is more than the 5 steps"),
    (lambda: L2(X, lengths=[5, 0]), ValueError, "LSTM: every length must be 1 or more, got 0 for sequence 1"),
    (lambda: L2(X, lengths=[5]), lt.ShapeError, "LSTM: expected one length for each of 2 sequences, got 1"),
    (lambda: L2(X[0], lengths=[5]), lt.ShapeError, r"with lengths, an input of shape \[steps, batch, 3\]"),
    (
        lambda: L2(rnn.pack_padded_sequence(X, [5, 2]), lengths=[5, 2]),
        ValueError,
        "a PackedSequence has its own lengths; leave lengths out",
    ),
    (
        lambda: L2(rnn.PackedSequence(lt.zeros(3, 3), lt.tensor([1, 2]))),
        lt.ShapeError,
        r"LSTM: the batch_sizes of a PackedSequence must fall, .* its 3 rows, got \[1, 2\]; make one with",
    ),
    (lambda: L2(rnn.PackedSequence(lt.zeros(3, 3), lt.tensor([2, 2]))), lt.ShapeError, "its 3 rows, got"),
    (lambda: L2(rnn.PackedSequence(lt.zeros(0, 3), lt.zeros(0).long())), lt.ShapeError, r"got \[\]"),
    (
        lambda: L2(rnn.PackedSequence(lt.zeros(3, 3), lt.tensor([2.0, 1.0]))),
        lt.ShapeError,
        r"got \[2.0, 1.0\]",
    ),
    (
        lambda: L2(rnn.PackedSequence(lt.zeros(3, 3), lt.tensor([2, 1]), lt.tensor([0]))),
        lt.ShapeError,
        "LSTM: a PackedSequence of 2 sequences has 1 sorted_indices; make one with",
    ),
    # Constructors.
    (
        lambda: nn.LSTM(3, [4, 5], num_layers=2),
        TypeError,
        r"LSTM: hidden_size must be one int, the same in all layers, got \[4, 5\]; make one module for each",
    ),
    (lambda: nn.LSTM(3, 0), ValueError, "LSTM: hidden_size must be 1 or more, got 0"),
    (lambda: nn.LSTM(3.0, 4), TypeError, "LSTM: input_size must be an int, got float"),
    (lambda: nn.GRU(3, 4, 0), ValueError, "GRU: num_layers must be 1 or more, got 0"),
    (lambda: nn.RNN(3, 4, bias=1), TypeError, "RNN: bias must be a bool, got int"),
    (
        lambda: nn.RNN(3, 4, nonlinearity="gelu"),
        ValueError,
        "nonlinearity must be 'tanh' or 'relu', got 'gelu'",
    ),
    (lambda: nn.RNN(3, 4, 1, True), ValueError, "nonlinearity must be 'tanh' or 'relu', got True"),
    (lambda: nn.LSTM(3, 4, 2, dropout=1.5), ValueError, "dropout must be a probability from 0 to 1, got 1.5"),
    (lambda: nn.LSTM(3, 4, proj_size=4), ValueError, "proj_size must be below hidden_size 4, got 4"),
    (lambda: nn.SkipRNN(3, 4, skip=1), ValueError, "SkipRNN: skip must be 2 or more, got 1"),
    # Cells.
    (
        lambda: C(lt.zeros(2, 4)),
        lt.ShapeError,
        r"LSTMCell: expected an input of shape \[batch, 3\] or \[3\], got shape \[2, 4\]",
    ),
    (lambda: C(lt.zeros(1, 2, 3)), lt.ShapeError, r"got shape \[1, 2, 3\]"),
    (lambda: C(3), TypeError, "LSTMCell: input must be a Tensor, got int"),
    (
        lambda: C(lt.zeros(2, 3), (lt.zeros(3, 4), lt.zeros(2, 4))),
        lt.ShapeError,
        r"LSTMCell: expected the state h of shape \[2, 4\] \(batch, size\), got \[3, 4\]",
    ),
    (lambda: C(lt.zeros(3), (lt.zeros(1, 4),) * 2), lt.ShapeError, r"of shape \[4\] .*got \[1, 4\]"),
]


@pytest.mark.parametrize(("call", "error", "text"), REFUSED)
def test_what_does_not_fit_is_refused_with_what_was_expected(
    call: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        call()


def test_an_empty_batch_gives_empty_outputs() -> None:
    out, (h, c) = L2(lt.zeros(5, 0, 3))
    assert (out.shape, h.shape, c.shape) == ((5, 0, 4), (2, 0, 4), (2, 0, 4))
    assert L2(lt.zeros(5, 0, 3), lengths=[])[0].shape == (5, 0, 4)
    assert C(lt.zeros(0, 3))[0].shape == (0, 4)
    assert nn.GRUCell(3, 4)(lt.zeros(0, 3)).shape == (0, 4)
