"""Packing and padding against PyTorch's ``nn.utils.rnn``, with gradients, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from helpers import sample

torch = pytest.importorskip("torch", reason="parity needs torch")

ours, theirs = lt.nn.utils.rnn, torch.nn.utils.rnn


def same(a: Any, b: Any) -> None:
    if b is None:
        assert a is None
        return
    assert tuple(a.shape) == tuple(b.shape)
    assert str(a.dtype).rpartition(".")[2] == str(b.dtype).rpartition(".")[2]
    np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("rest", [(), (3,), (2, 3)])
@pytest.mark.parametrize(
    ("lengths", "enforce_sorted"),
    [([5, 3, 3, 1], True), ([5, 3, 3, 1], False), ([2, 5, 1, 5], False), ([2, 2, 1, 2], False)],
)
def test_packing_and_padding_are_those_of_torch(
    lengths: list[int], enforce_sorted: bool, rest: tuple[int, ...], batch_first: bool
) -> None:
    a = sample((4, 5, *rest) if batch_first else (5, 4, *rest), "float64")
    x, y = lt.tensor(a).requires_grad_(), torch.tensor(a, requires_grad=True)
    got = ours.pack_padded_sequence(x, lt.tensor(lengths), batch_first, enforce_sorted)
    want = theirs.pack_padded_sequence(y, torch.tensor(lengths), batch_first, enforce_sorted)
    for p, q in zip(got, want, strict=True):
        same(p, q)
    for total, value in ((None, 0.0), (7, -1.5)):
        mine, n = ours.pad_packed_sequence(got, batch_first, value, total)
        other, m = theirs.pad_packed_sequence(want, batch_first, value, total)
        same(mine, other)
        same(n, m)
    seed = sample(tuple(other.shape), "float64", seed=3)
    mine.backward(lt.tensor(seed))
    other.backward(torch.from_numpy(seed))
    same(x.grad, y.grad)
    for p, q in zip(ours.unpack_sequence(got), theirs.unpack_sequence(want), strict=True):
        same(p, q)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("rest", [(), (3,)])
def test_padding_and_unpadding_lists_are_those_of_torch(
    side: str, batch_first: bool, rest: tuple[int, ...]
) -> None:
    arrays = [sample((n, *rest), "float64", seed=n) for n in (3, 5, 1, 5)]
    xs = [lt.tensor(a).requires_grad_() for a in arrays]
    ys = [torch.tensor(a, requires_grad=True) for a in arrays]
    mine = ours.pad_sequence(xs, batch_first, 0.5, side)
    other = theirs.pad_sequence(ys, batch_first, 0.5, side)
    same(mine, other)
    seed = sample(tuple(other.shape), "float64", seed=3)
    mine.backward(lt.tensor(seed))
    other.backward(torch.from_numpy(seed))
    for x, y in zip(xs, ys, strict=True):
        same(x.grad, y.grad)
    if side == "right":
        for x, y in zip(ours.unpad_sequence(mine, [3, 5, 1, 5], batch_first), xs, strict=True):
            same(x, y)


def test_pack_sequence_is_that_of_torch() -> None:
    arrays = [sample((n, 2), "float64", seed=n) for n in (3, 5, 1)]
    got = ours.pack_sequence([lt.tensor(a) for a in arrays], enforce_sorted=False)
    want = theirs.pack_sequence([torch.tensor(a) for a in arrays], enforce_sorted=False)
    for p, q in zip(got, want, strict=True):
        same(p, q)
    with pytest.raises(ValueError, match="lengths must fall when enforce_sorted is True"):
        ours.pack_sequence([lt.tensor(a) for a in arrays])


def test_an_order_other_than_ours_is_undone_too() -> None:
    # Sequences of equal length, sorted by someone else in another order.
    order = lt.tensor([2, 0, 1])
    packed = ours.PackedSequence(lt.tensor([30, 10, 20, 31, 11]), lt.tensor([3, 2]), order)
    padded, lengths = ours.pad_packed_sequence(packed, batch_first=True)
    assert padded.tolist() == [[10, 11], [20, 0], [30, 31]]
    assert lengths.tolist() == [2, 1, 2]


def test_a_packed_sequence_is_a_named_tuple_with_conversions() -> None:
    packed = ours.pack_sequence([lt.tensor([1.0, 2.0]), lt.tensor([3.0])])
    data, sizes, order, back = packed
    assert data is packed.data
    assert sizes is packed.batch_sizes
    assert order is None
    assert back is None
    assert packed.float() is packed
    assert packed.cpu() is packed
    for name in ("double", "half", "long", "int", "short", "char", "byte"):
        other = getattr(packed, name)()
        assert other.data.dtype is not lt.float32
        assert other.batch_sizes is sizes
    assert packed.to(lt.float64).data.dtype is lt.float64
    assert not packed.is_cuda
    assert not packed.is_pinned()
    assert packed.pin_memory() is packed
    pair = ours.PackedSequence((data, sizes))
    assert pair.data is data
    assert ours.invert_permutation(None) is None
    assert list(packed._fields) == ["data", "batch_sizes", "sorted_indices", "unsorted_indices"]


def test_detach_keeps_the_form_of_a_state() -> None:
    h = lt.zeros(2, requires_grad=True) * 2
    state = ours.detach((h, [h, None]))
    assert not state[0].requires_grad
    assert isinstance(state[1], list)
    assert state[1][1] is None
    assert h.requires_grad
    packed = ours.detach(ours.pack_sequence([h]))
    assert not packed.data.requires_grad
    with pytest.raises(
        TypeError, match="detach: expected a tensor, a tuple or list of tensors, or None, got int"
    ):
        ours.detach((h, 3))


X = lt.zeros(4, 2, 3)
REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: ours.pack_padded_sequence(X, [5, 1]),
        lt.ShapeError,
        "pack_padded_sequence: length 5 of sequence 0 is more than the 4 steps that the padded input has",
    ),
    (
        lambda: ours.pack_padded_sequence(X, [4, 0]),
        ValueError,
        "every length must be 1 or more, got 0 for sequence 1; leave empty sequences out",
    ),
    (
        lambda: ours.pack_padded_sequence(X, [1, 4]),
        ValueError,
        r"lengths must fall when enforce_sorted is True, got \[1, 4\]; pass enforce_sorted=False",
    ),
    (lambda: ours.pack_padded_sequence(X, [4]), lt.ShapeError, "one length for each of 2 sequences, got 1"),
    (lambda: ours.pack_padded_sequence(X, [4, 1.5]), TypeError, "lengths must be ints, got 1.5"),
    (lambda: ours.pack_padded_sequence(X, lt.ones(2)), lt.ShapeError, "one axis of integers, got float32"),
    (lambda: ours.pack_padded_sequence(X, 3), TypeError, "lengths must be a list or a tensor, got int"),
    (lambda: ours.pack_padded_sequence(lt.zeros(3), [3]), lt.ShapeError, r"2 axes or more, got shape \[3\]"),
    (lambda: ours.pack_padded_sequence([1], [1]), lt.ShapeError, "2 axes or more, got list"),
    (lambda: ours.pack_padded_sequence(lt.zeros(4, 0, 3), []), lt.ShapeError, "the batch is empty"),
    (lambda: ours.pad_packed_sequence(X), TypeError, "expected a PackedSequence, got Tensor"),
    (
        lambda: ours.pad_packed_sequence(ours.pack_padded_sequence(X, [4, 1]), total_length=3),
        ValueError,
        "total_length must be at least 4, the length of the longest sequence, got 3",
    ),
    (lambda: ours.pad_sequence([]), ValueError, "expected at least one sequence, got an empty list"),
    (lambda: ours.pad_sequence(3), TypeError, "expected a list of tensors, got int"),
    (
        lambda: ours.pad_sequence([lt.zeros(2, 3), lt.zeros(2, 4)]),
        lt.ShapeError,
        r"pad_sequence: expected tensors of shape \[length, 3\], got shape \[2, 4\] for sequence 1",
    ),
    (lambda: ours.pad_sequence([3]), lt.ShapeError, r"tensors of shape \[length\], got int for sequence 0"),
    (lambda: ours.pad_sequence([X], padding_side="up"), ValueError, "must be 'right' or 'left', got 'up'"),
    (lambda: ours.unpad_sequence(lt.zeros(3), [3]), lt.ShapeError, r"2 axes or more, got shape \[3\]"),
    (
        lambda: ours.pad_packed_sequence(ours.PackedSequence(lt.zeros(3, 3), lt.tensor([2, 2]))),
        lt.ShapeError,
        r"pad_packed_sequence: the batch_sizes of a PackedSequence must fall, .* its 3 rows, got \[2, 2\]",
    ),
    (
        lambda: ours.invert_permutation(lt.tensor([0, 5])),
        ValueError,
        r"expected each of 0 to 1 once, got \[0, 5\]",
    ),
    (lambda: ours.unpad_sequence(X, [5, 1]), lt.ShapeError, "unpad_sequence: length 5 of sequence 0"),
    (lambda: ours.PackedSequence(X), TypeError, "expected data and batch_sizes"),
]


@pytest.mark.parametrize(("call", "error", "text"), REFUSED)
def test_what_cannot_be_packed_is_refused(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()
