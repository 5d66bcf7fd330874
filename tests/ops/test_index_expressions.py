"""Index expressions: reading, writing and gradients, against PyTorch and NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import lectorium as lt
from helpers import assert_same, check_op, require_torch, sample

torch = require_torch()

INDICES: list[Any] = [
    0, -1, slice(None), slice(1, None), slice(None, None, 2), slice(5, 2), (0, 1), (Ellipsis, 0), (0, Ellipsis), None,
    (None, 0, None), (slice(None), 1), (Ellipsis, None), (slice(1, 3), slice(None), -1), [0, 2], ([0, 2], [1, 0]),
    ([[0], [2]], [1, 0]), (slice(None), [0, 2]), (slice(None), [0, 2], slice(1, 3)), ([0, 2], slice(None), [1, 0]),
    ([0, 1], Ellipsis, [2, 0]), (0, [0, 2]), ([0, 1], 1), (slice(None), [0, 2], 1), (None, [0, 1]), ([0, 2], None, [1, 1]),
    (Ellipsis, [True, False, True, False]), [True, False, True], (slice(None), [False, True, True]), [], [-1, -3],
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(INDICES)))
def test_an_index_reads_writes_and_flows_back_as_in_pytorch(case: int) -> None:
    index = INDICES[case]
    check_op(lambda x: x[index], lambda x: x[index], [(3, 3, 4)], gradgradcheck=True, edges=False)

    def assigned(m: Any, x: Any, y: Any) -> Any:
        out = x * 1
        out[index] = y.reshape(()) * 2
        return out

    check_op(
        lambda x, y: assigned(lt, x, y),
        lambda x, y: assigned(torch, x, y),
        [(3, 3, 4), ()],
        edges=False,
        strided=False,
    )
    a, b = lt.zeros(3, 3, 4), torch.zeros(3, 3, 4)
    a[index], b[index] = 5, 5
    assert_same(a, b)
    value = sample(tuple(b[index].shape), "float32", seed=5)
    a[index], b[index] = lt.tensor(value), torch.tensor(value)
    assert_same(a, b)


def test_tensors_of_any_integer_type_and_masks_are_indices() -> None:
    a = sample((4, 5))
    x, t = lt.tensor(a), torch.tensor(a)
    for dtype in ("int64", "int32", "uint8", "int16", "int8"):
        i = np.array([0, 3, 1])
        if dtype == "uint8":
            # PyTorch still reads bytes as masks, with a warning.
            with pytest.raises(IndexError, match=r"\.bool\(\) or \.long\(\)"):
                x[lt.tensor(i, dtype=lt.uint8)]
            continue
        assert_same(x[lt.tensor(i, dtype=getattr(lt, dtype))], t[torch.tensor(i)])
    mask = a > 0
    assert_same(x[lt.tensor(mask)], t[torch.tensor(mask)])
    assert_same(x[x > 0], t[t > 0])
    assert_same(x[lt.tensor(1)], t[torch.tensor(1)])
    assert_same(x[np.int64(2)], t[2])
    assert_same(x[np.array([0, 2])], t[[0, 2]])
    x[x < 0] = 0
    t[t < 0] = 0
    assert_same(x, t)
    x[x > 1] += 10
    t[t > 1] += 10
    assert_same(x, t)


def test_assignment_broadcasts_casts_and_steps_backwards() -> None:
    x = lt.zeros(4, 3)
    x[:, 1] = lt.tensor([1, 2, 3, 4])
    x[::2] += lt.tensor([[10.0, 20.0, 30.0]])
    x[::-1, 0] = lt.tensor([1.0, 2.0, 3.0, 4.0])
    want = np.zeros((4, 3))
    want[:, 1] = [1, 2, 3, 4]
    want[::2] += [[10.0, 20.0, 30.0]]
    want[::-1, 0] = [1, 2, 3, 4]
    np.testing.assert_array_equal(x.numpy(), want)
    x[0] = [7, 8, 9]
    assert x[0].tolist() == [7.0, 8.0, 9.0]
    x[1] = np.array([1, 2, 3])
    assert x[1].tolist() == [1.0, 2.0, 3.0]
    i = lt.zeros(2, dtype=lt.int64)
    i[:] = lt.tensor([1.9, -1.9])
    assert i.tolist() == [1, -1]
    overlapping = lt.arange(6)
    overlapping[1:] = overlapping[:-1]
    assert overlapping.tolist() == [0, 0, 1, 2, 3, 4]


def test_assigning_through_a_view_flows_back_to_base_and_value() -> None:
    grads = []
    for m in (lt, torch):
        x, v = m.ones(3, 4, requires_grad=True), m.full((2,), 3.0, requires_grad=True)
        y = x * 2
        y[1:, 0] = v
        y[0].mul_(5)
        (y * y).sum().backward()
        grads.append((x.grad, v.grad))
    assert_same(grads[0], grads[1])


_slices = st.builds(
    slice,
    st.none() | st.integers(-6, 6),
    st.none() | st.integers(-6, 6),
    st.sampled_from([None, 1, 2, 3, -1, -2]),
)


@st.composite
def _index_expression(draw: st.DrawFn) -> tuple[tuple[int, ...], Any, bool]:
    """A shape and an index: ints, slices, None, one Ellipsis, index arrays that broadcast, a mask."""
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    common = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    items: list[Any] = []
    advanced, dotted, axis = False, False, 0
    while axis < len(shape):
        kind = draw(st.sampled_from(["int", "slice", "none", "array", "mask", "dots", "stop"]))
        if kind == "stop":
            break
        if kind == "int":
            items.append(draw(st.integers(-shape[axis], shape[axis] - 1)))
        elif kind == "slice":
            items.append(draw(_slices))
        elif kind == "none":
            items.append(None)
            axis -= 1
        elif kind == "array":
            own = tuple(1 if draw(st.booleans()) else d for d in common)
            flat = draw(
                st.lists(
                    st.integers(-shape[axis], shape[axis] - 1),
                    min_size=int(np.prod(own)),
                    max_size=int(np.prod(own)),
                )
            )
            items.append(np.array(flat, dtype=np.int64).reshape(own))
            advanced = True
        elif kind == "mask" and not advanced and common == ():
            items.append(np.array(draw(st.lists(st.booleans(), min_size=shape[axis], max_size=shape[axis]))))
            advanced = True
            common = (1,)
        elif kind == "dots" and not dotted:
            items.append(Ellipsis)
            dotted = True
            axis = max(axis, draw(st.integers(axis, len(shape))) - 1)
        else:
            axis -= 1
        axis += 1
        if len(items) > 8:
            break
    return shape, tuple(items), advanced


def _ours(index: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(lt.tensor(i) if isinstance(i, np.ndarray) else i for i in index)


@given(_index_expression())
def test_any_index_expression_reads_and_writes_as_numpys(case: Any) -> None:
    shape, index, advanced = case
    a = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    x = lt.tensor(a)
    # NumPy counts an int beside arrays as an array, which moves axes; PyTorch takes ints first.
    ints = [i for i in index if isinstance(i, int)]
    if advanced and ints:
        t = torch.tensor(a)
        theirs = tuple(torch.tensor(i) if isinstance(i, np.ndarray) else i for i in index)
        if any(isinstance(i, slice) and (i.step or 1) < 0 for i in index):
            return
        try:
            want = t[theirs].numpy()
        except IndexError:
            with pytest.raises(IndexError):
                x[_ours(index)]
            return
        np.testing.assert_array_equal(x[_ours(index)].numpy(), want)
        return
    try:
        want = a[index]
    except IndexError:
        with pytest.raises(IndexError):
            x[_ours(index)]
        return
    got = x[_ours(index)]
    np.testing.assert_array_equal(got.numpy(), want)
    a[index] = -1
    x[_ours(index)] = -1
    np.testing.assert_array_equal(x.numpy(), a)
