"""Memory shared with NumPy, both ways: no copy, no dangling pointer, no surprise."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import lectorium as lt

TYPES = ["float32", "float64", "int64", "int32", "uint8", "bool", "float16", "int8", "int16"]


@pytest.mark.parametrize("dtype", TYPES)
def test_an_array_and_its_tensor_are_one_memory(dtype: str) -> None:
    a = np.zeros((2, 3), dtype)
    t = lt.from_numpy(a)
    assert t.dtype == getattr(lt, dtype)
    a[0, 0] = 1
    assert t[0, 0].item() == 1
    t[1, 2] = 1
    assert a[1, 2] == 1
    back = t.numpy()
    assert back.dtype == a.dtype
    assert np.shares_memory(back, a)


def test_arrays_of_any_stride_are_shared() -> None:
    base = np.arange(24.0).reshape(4, 6)
    views = [
        base.T,
        base[::2],
        base[:, ::-1],
        base[::-1, ::-2],
        base[1],
        base[1:2, 3:3],
        base[..., None],
        np.broadcast_to(base[0], (3, 6)),
        base[2, 3:4].reshape(()),
    ]
    for view in views:
        t = lt.from_numpy(view)
        np.testing.assert_array_equal(t.numpy(), view)
        assert t.shape == view.shape
        if view.size:
            assert np.shares_memory(t.numpy(), base)
    flipped = lt.from_numpy(base[:, ::-1])
    assert flipped.stride() == (6, -1)
    flipped[0, 0] = -5
    assert base[0, 5] == -5
    flipped.mul_(2)
    assert base[0, 5] == -10
    assert (flipped + 1).sum().item() == (base + 1).sum()


@pytest.mark.parametrize(
    "make",
    [
        lambda t: t,
        lambda t: t.T,
        lambda t: t[::2],
        lambda t: t[:, 1],
        lambda t: t[::-1],
        lambda t: t[0].expand(4, 3),
        lambda t: t[1, 2],
        lambda t: t.unfold(1, 2, 1),
    ],
)
def test_tensor_views_of_any_stride_become_arrays(make: Any) -> None:
    t = lt.arange(12.0).reshape(4, 3)
    view = make(t)
    array = view.numpy()
    assert array.shape == view.shape
    assert array.tolist() == view.tolist()
    t.fill_(3)
    assert (array == 3).all()


def test_the_array_keeps_the_tensors_memory_alive() -> None:
    a = lt.arange(1000.0).numpy()
    gc.collect()
    _ = [lt.full((1000,), -1.0) for _ in range(50)]
    np.testing.assert_array_equal(a, np.arange(1000.0))


def test_the_tensor_keeps_the_array_alive_and_lets_it_go() -> None:
    class Watched(np.ndarray):
        pass

    owner = np.arange(1000.0).view(Watched)
    watch = weakref.ref(owner)
    t = lt.from_numpy(owner)
    part = t[10:20]
    del owner, t
    gc.collect()
    assert watch() is not None
    _ = [np.full(1000, -1.0) for _ in range(50)]
    assert part.tolist() == list(map(float, range(10, 20)))
    del part
    gc.collect()
    assert watch() is None


def test_views_outlive_their_tensor() -> None:
    view = lt.arange(1000.0).reshape(10, 100)[3]
    gc.collect()
    _ = [lt.full((1000,), -1.0) for _ in range(50)]
    assert view[0].item() == 300


def test_a_read_only_array_gives_a_tensor_that_refuses_changes() -> None:
    a = np.arange(3.0)
    a.flags.writeable = False
    t = lt.from_numpy(a)
    assert (t + 1).tolist() == [1.0, 2.0, 3.0]
    for change in (
        lambda: t.add_(1),
        lambda: t.fill_(0),
        lambda: t.__setitem__(0, 5),
        lambda: t.zero_(),
        lambda: t.copy_(lt.ones(3)),
        lambda: t.uniform_(),
        lambda: t[::2].mul_(2),
        lambda: t.__setitem__([0], 5),
        lambda: t.clamp_(0, 1),
    ):
        with pytest.raises((ValueError, RuntimeError), match="read.?only|writ"):
            change()
    assert a.tolist() == [0.0, 1.0, 2.0]
    assert not t.numpy().flags.writeable


def test_arrays_that_cannot_be_shared_are_refused_with_the_way_out() -> None:
    swapped = np.arange(3, dtype=np.dtype("int32").newbyteorder())
    with pytest.raises(TypeError, match="astype"):
        lt.from_numpy(swapped)
    for bad in (
        np.array(["a"]),
        np.array([1j]),
        np.array([object()]),
        np.zeros(2, "datetime64[s]"),
        np.zeros(2, "uint16"),
        np.zeros(2, [("x", "f4")]),
        np.zeros(2, "V4"),
    ):
        with pytest.raises(TypeError, match="from_numpy"):
            lt.from_numpy(bad)
    unaligned = np.frombuffer(b"\0" * 41, np.uint8)[1:].view(np.float64)
    with pytest.raises(ValueError, match=r"aligned.*copy"):
        lt.from_numpy(unaligned)
    packed = np.zeros(3, [("a", "u1"), ("b", "f4")])["b"]
    with pytest.raises(ValueError, match="from_numpy"):
        lt.from_numpy(packed)
    assert lt.tensor(swapped.astype("int32")).tolist() == [0, 1, 2]


def test_what_has_no_array_says_why() -> None:
    with pytest.raises(RuntimeError, match="detach"):
        lt.ones(2, requires_grad=True).numpy()
    with pytest.raises(TypeError, match="bfloat16"):
        lt.ones(2, dtype=lt.bfloat16).numpy()
    assert lt.ones(2, requires_grad=True).numpy(force=True).tolist() == [1.0, 1.0]


def test_numpy_functions_and_operators_work_on_tensors() -> None:
    t = lt.arange(4.0)
    assert np.asarray(t).sum() == 6
    assert np.array(t, dtype=np.int32).tolist() == [0, 1, 2, 3]
    copied = np.array(t)
    copied[0] = 9
    assert t[0].item() == 0
    assert isinstance(np.ones(4) + t if False else t + lt.from_numpy(np.ones(4, np.float32)), lt.Tensor)
    assert (t * np.float32(2)).dtype == lt.float32
    assert (np.float64(2) * t).tolist() == [0.0, 2.0, 4.0, 6.0]
    with pytest.raises(TypeError, match="from_numpy|ndarray"):
        t + np.ones(4)
    with pytest.raises(TypeError):
        np.ones(4) + t


def test_empty_arrays_travel() -> None:
    for shape in ((0,), (0, 3), (2, 0, 4)):
        t = lt.from_numpy(np.zeros(shape, np.float32))
        assert t.shape == shape
        assert t.numpy().shape == shape
        assert (t + 1).shape == shape


def test_a_change_made_through_numpy_is_seen_by_later_products() -> None:
    a = np.ones((64, 64), np.float32)
    w, x = lt.from_numpy(a), lt.ones(8, 64)
    before = x @ w
    a[:] = 2
    assert lt.equal(x @ w, before * 2)
