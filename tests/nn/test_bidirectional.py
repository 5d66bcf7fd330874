"""Layers and cells in both directions, against the bidirectional layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lectorium as lt
from helpers import sample, to_numpy

T, B, I, H = 6, 3, 4, 5
LENGTHS = [4, 6, 1]


def pair(kind: str, cells: bool, batch_first: bool = False) -> tuple[Any, Any]:
    """A bidirectional layer, and the same from two parts."""
    lt.manual_seed(0)
    whole = getattr(lt.nn, kind)(I, H, bidirectional=True, batch_first=batch_first, dtype=lt.float64)
    parts = []
    for suffix in ("", "_reverse"):
        if cells:
            part = getattr(lt.nn, kind + "Cell")(I, H, dtype=lt.float64)
        else:
            part = getattr(lt.nn, kind)(I, H, batch_first=batch_first, dtype=lt.float64)
        with lt.no_grad():
            for name, p in part.named_parameters():
                p.copy_(getattr(whole, name.removesuffix("_l0") + "_l0" + suffix))
        parts.append(part)
    return whole, lt.nn.Bidirectional(*parts)


def tensors(state: Any) -> list[Any]:
    return [state] if isinstance(state, lt.Tensor) else list(state)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("form", ["layers", "layers, batch first", "cells"])
def test_two_parts_are_the_bidirectional_layer(kind: str, form: str, lengths: Any) -> None:
    whole, both = pair(kind, form == "cells", form == "layers, batch first")
    x = sample((B, T, I) if both.batch_first else (T, B, I), "float64")
    found = []
    for net in (whole, both):
        leaf = lt.from_numpy(x).requires_grad_()
        y, state = net(leaf, lengths=lengths)
        if net is both:
            # The layer has both directions' states in one; a cell's has no axis of layers.
            ways = [tensors(s) for s in state]
            state = [lt.cat([s.reshape(1, B, H) for s in way], 0) for way in zip(*ways, strict=True)]
        state = tensors(state)
        (y.sum() * 2 + sum(((s * s).sum() for s in state), lt.zeros(()))).backward()
        found.append([y, *state, leaf.grad])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(to_numpy(a), to_numpy(b), rtol=1e-10, atol=1e-12)
    for name, p in both.forward_layer.named_parameters():
        other = getattr(whole, name.removesuffix("_l0") + "_l0")
        np.testing.assert_allclose(to_numpy(p.grad), to_numpy(other.grad), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "mean", None])
def test_outputs_are_merged(merge: Any) -> None:
    cell, other = lt.nn.GRUCell(I, H), lt.nn.RNNCell(I, H)
    x = lt.from_numpy(sample((T, B, I)))
    y, reverse = lt.nn.Bidirectional(cell, other, None)(x)[0]
    got = lt.nn.Bidirectional(cell, other, merge)(x)[0]
    if merge is None:
        assert isinstance(got, tuple)
        return
    want = {
        "concat": lt.cat([y, reverse], -1), "sum": y + reverse, "mul": y * reverse, "mean": (y + reverse) / 2,
    }[merge]  # fmt: skip
    np.testing.assert_allclose(to_numpy(got), to_numpy(want), rtol=1e-6)


def test_states_go_in_and_come_out() -> None:
    _, both = pair("LSTM", False)
    x = lt.from_numpy(sample((T, B, I), "float64"))
    start = tuple(lt.from_numpy(sample((1, B, H), "float64", seed=i)) for i in range(2))
    _, (ahead, back) = both(x, (start, None))
    _, want = both.forward_layer(x, start)
    np.testing.assert_array_equal(to_numpy(ahead[1]), to_numpy(want[1]))
    _, want = both.backward_layer(x.flip(0))
    np.testing.assert_array_equal(to_numpy(back[0]), to_numpy(want[0]))


def test_the_second_layer_is_a_copy_with_weights_of_its_own() -> None:
    both = lt.nn.Bidirectional(lt.nn.LSTM(I, H, 2, batch_first=True))
    assert both.backward_layer.num_layers == 2
    assert both.batch_first
    for a, b in zip(both.forward_layer.parameters(), both.backward_layer.parameters(), strict=True):
        assert a is not b
        assert not np.array_equal(to_numpy(a), to_numpy(b))
    assert both(lt.zeros(B, T, I))[0].shape == (B, T, 2 * H)


def test_one_sequence_needs_no_batch() -> None:
    for part in (lt.nn.GRU(I, H), lt.nn.GRUCell(I, H)):
        both = lt.nn.Bidirectional(part)
        x = lt.from_numpy(sample((T, I)))
        y, _ = both(x)
        batch, _ = both(x.reshape(T, 1, I))
        np.testing.assert_allclose(to_numpy(y), to_numpy(batch)[:, 0], rtol=1e-5, atol=1e-6)


def test_errors_say_what_came() -> None:
    both = lt.nn.Bidirectional(lt.nn.GRUCell(I, H))
    x = lt.zeros(T, B, I)
    with pytest.raises(ValueError, match="merge must be 'concat', 'sum', 'mul', 'mean' or None, got 'max'"):
        lt.nn.Bidirectional(lt.nn.GRU(I, H), merge="max")
    with pytest.raises(ValueError, match="Bidirectional: batch_first must be the same in both layers"):
        lt.nn.Bidirectional(lt.nn.GRU(I, H), lt.nn.GRU(I, H, batch_first=True))
    with pytest.raises(ValueError, match="Bidirectional: length 7 of sequence 1 is more than the 6 steps"):
        both(x, lengths=[6, 7, 1])
    with pytest.raises(ValueError, match="every length must be 1 or more, got 0 for sequence 2"):
        both(x, lengths=[6, 5, 0])
    with pytest.raises(ValueError, match=r"one step at least, got shape \[0, 3, 4\]"):
        both(lt.zeros(0, B, I))
    with pytest.raises(TypeError, match="the state must be a pair, of the forward and the backward layer"):
        both(x, lt.zeros(B, H))
    with pytest.raises(TypeError, match="expected a padded tensor, got PackedSequence; pad_packed_sequence"):
        both(lt.nn.utils.rnn.pack_padded_sequence(x, [6, 5, 4]))
    with pytest.raises(TypeError, match="expected two modules, got int"):
        lt.nn.Bidirectional(lt.nn.GRU(I, H), 3)
    with pytest.raises(TypeError, match="expected two modules, got function"):
        lt.nn.Bidirectional(lambda x: x)
    uneven = lt.nn.Bidirectional(lt.nn.GRUCell(I, H), lt.nn.GRUCell(I, H + 1), "sum")
    with pytest.raises(
        ValueError, match=r"merge='sum' needs outputs of one shape, got \[6, 3, 5\] and \[6, 3, 6\]"
    ):
        uneven(x)
