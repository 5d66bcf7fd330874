"""Indexing, assignment, gathering, scattering and sorting against PyTorch and NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lectorium as lt
from helpers import assert_same, check_op, require_torch, sample

torch = require_torch()
NAN, INF = float("nan"), float("inf")


def _index(shape: tuple[int, ...], high: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, high, shape)


def _both(f: Any, *arrays: np.ndarray) -> tuple[Any, Any]:
    """``f(library, *index tensors)`` bound for each library."""
    return (
        lambda *x: f(lt, *x, *map(lt.tensor, arrays)),
        lambda *x: f(torch, *x, *map(torch.tensor, arrays)),
    )


@pytest.mark.parametrize(("dim", "shape"), [(0, (5, 3)), (1, (2, 6)), (-1, (4, 1)), (0, (0, 3)), (1, (4, 0))])
def test_gather_agrees_with_pytorch(dim: int, shape: tuple[int, ...]) -> None:
    index = _index(shape, 3 if dim == 0 else 4)
    index = np.minimum(index, [3, 3][dim])
    check_op(*_both(lambda m, x, i: m.gather(x, dim, i), index), [(4, 4)], gradgradcheck=True, edges=False)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_scatters_agree_with_pytorch(dim: int) -> None:
    index = np.stack([np.random.RandomState(i).permutation(4)[:3] for i in range(3)])
    both = _both(lambda m, x, y, i: m.scatter(x, dim, i, y), index if dim else index.T.copy())
    check_op(*both, [(4, 4), (3, 3)], gradgradcheck=True, edges=False)
    both = _both(lambda m, x, i: m.scatter(x, dim, i, 2.5), index)
    check_op(*both, [(4, 4)], gradgradcheck=True, edges=False)
    both = _both(lambda m, x, y, i: m.scatter_add(x, dim, i, y), _index((3, 4), 2))
    check_op(*both, [(4, 4), (3, 4)], gradgradcheck=True, edges=False)
    both = _both(lambda m, x, y, i: m.scatter(x, dim, i, y, reduce="add"), _index((3, 3), 2))
    check_op(*both, [(4, 4), (3, 3)], grad=False, edges=False)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_whole_slices_are_picked_added_copied_and_filled_as_in_pytorch(dim: int) -> None:
    index = np.array([2, 0, 2])
    source = (3, 4) if dim == 0 else (4, 3)
    for name in ("index_select", "index_add", "index_copy"):
        once = np.array([2, 0, 1]) if name == "index_copy" else index
        if name == "index_select":
            check_op(
                *_both(lambda m, x, i: m.index_select(x, dim, i), once),
                [(4, 4)],
                gradgradcheck=True,
                edges=False,
            )
        else:
            both = _both(lambda m, x, y, i, name=name: getattr(m, name)(x, dim, i, y), once)
            check_op(*both, [(4, 4), source], gradgradcheck=True, edges=False)
    both = _both(lambda m, x, y, i: m.index_add(x, dim, i, y, alpha=-2), index)
    check_op(*both, [(4, 4), source], edges=False)
    check_op(
        *_both(lambda m, x, i: m.index_fill(x, dim, i, 7.5), index), [(4, 4)], gradgradcheck=True, edges=False
    )


def test_masks_fill_and_select_as_in_pytorch() -> None:
    for shape in ((3, 4), (4,), (3, 1), ()):
        mask = sample(shape, "bool", seed=3)
        check_op(
            *_both(lambda m, x, k: m.masked_fill(x, k, -1.5), mask), [(3, 4)], gradgradcheck=True, edges=False
        )
        check_op(
            *_both(lambda m, x, k: m.masked_select(x, k), mask), [(3, 4)], gradgradcheck=True, edges=False
        )
    wide = sample((2, 3, 4), "bool")
    check_op(*_both(lambda m, x, k: m.masked_select(x, k), wide), [(3, 4)], edges=False)
    check_op(*_both(lambda m, x, k: m.masked_fill(x, k, 0), wide), [(3, 4)], edges=False)
    with pytest.raises(TypeError, match="masked_fill"):
        lt.masked_fill(lt.ones(2), lt.tensor([0, 1]), 0)


def test_take_and_take_along_dim_agree() -> None:
    check_op(*_both(lambda m, x, i: m.take(x, i), np.array([[0, 11], [-1, 5]])), [(3, 4)], edges=False)
    order = np.argsort(sample((3, 4)), 1)
    check_op(*_both(lambda m, x, i: m.take_along_dim(x, i, 1), order), [(3, 4)], edges=False)
    check_op(*_both(lambda m, x, i: m.take_along_dim(x, i), order), [(3, 4)], edges=False)
    check_op(*_both(lambda m, x, i: m.take_along_dim(x, i, 1), order[:1]), [(3, 4)], edges=False)


def test_nonzero_agrees_in_both_forms() -> None:
    for a in (
        sample((3, 4), "int64", 0, 1),
        sample((5,), "bool"),
        np.zeros((0, 2)),
        np.array(3.0),
        np.array([NAN, 0.0]),
    ):
        x, t = lt.tensor(a), torch.tensor(a)
        assert_same(lt.nonzero(x), torch.nonzero(t))
        if a.ndim:
            assert_same(lt.nonzero(x, as_tuple=True), torch.nonzero(t, as_tuple=True))
            assert_same(lt.where(x), torch.where(t))


def test_index_put_writes_and_accumulates() -> None:
    i, j = np.array([0, 2, 0]), np.array([1, 1, 1])
    both = _both(lambda m, x, y, i, j: m.index_put(x, (i, j), y, accumulate=True), i, j)
    check_op(*both, [(3, 4), (3,)], gradgradcheck=True, edges=False)
    both = _both(lambda m, x, y, i, j: m.index_put(x, (i, j), y), np.array([0, 2, 1]), j)
    check_op(*both, [(3, 4), (3,)], gradgradcheck=True, edges=False)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_sorting_agrees_also_with_ties_nan_and_infinities(descending: bool, dim: int) -> None:
    check_op(
        lambda x: lt.sort(x, dim, descending), lambda x: torch.sort(x, dim=dim, descending=descending, stable=True),
        [(3, 5)],
    )  # fmt: skip
    for a in (
        np.array([[3.0, NAN, -INF, NAN, 1.0, INF, -0.0, 0.0]], np.float32),
        sample((4, 40), "int64", 0, 5),
        sample((9, 5), "uint8", 0, 9),
    ):
        got = lt.sort(lt.tensor(a), dim, descending, stable=True)
        assert_same(got, torch.sort(torch.tensor(a), dim=dim, descending=descending, stable=True))
        assert_same(
            lt.argsort(lt.tensor(a), dim, descending, stable=True),
            torch.argsort(torch.tensor(a), dim=dim, descending=descending, stable=True),
        )
    assert_same(lt.sort(lt.tensor(3.0)), torch.sort(torch.tensor(3.0)))
    assert_same(lt.sort(lt.zeros(0, 3), dim), torch.sort(torch.zeros(0, 3), dim=dim))


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("k", [0, 1, 3, 7])
def test_topk_agrees_with_pytorch(largest: bool, k: int) -> None:
    check_op(
        lambda x: lt.topk(x, k, 1, largest),
        lambda x: torch.topk(x, k, 1, largest),
        [(3, 7)],
        edges=False,
        strided=False,
    )
    check_op(
        lambda x: lt.topk(x, k, 0, largest),
        lambda x: torch.topk(x, k, 0, largest),
        [(7, 3)],
        edges=False,
        strided=False,
    )
    a = np.random.RandomState(0).permutation(5000).astype(np.float32)
    a[17] = NAN
    assert_same(lt.topk(lt.tensor(a), 5, largest=largest), torch.topk(torch.tensor(a), 5, largest=largest))


@pytest.mark.parametrize("keepdim", [False, True])
def test_kthvalue_and_median_agree(keepdim: bool) -> None:
    check_op(
        lambda x: lt.kthvalue(x, 2, 1, keepdim),
        lambda x: torch.kthvalue(x, 2, 1, keepdim),
        [(3, 5)],
        edges=False,
        strided=False,
    )
    check_op(
        lambda x: lt.median(x, 0, keepdim),
        lambda x: torch.median(x, 0, keepdim),
        [(4, 3)],
        strided=False,
        edges=False,
    )
    assert_same(lt.median(lt.tensor([1.0, NAN, 3.0])), torch.median(torch.tensor([1.0, NAN, 3.0])))
    for bad in (0, 6):
        with pytest.raises((ValueError, IndexError, RuntimeError), match="kthvalue"):
            lt.kthvalue(lt.ones(5), bad)


def test_unique_bincount_and_searchsorted_agree() -> None:
    a = sample((3, 5), "int64", 0, 6)
    for flags in ((False, False), (True, False), (False, True), (True, True)):
        assert_same(lt.unique(lt.tensor(a), True, *flags), torch.unique(torch.tensor(a), True, *flags))
    flat = a.reshape(-1)
    assert_same(lt.bincount(lt.tensor(flat)), torch.bincount(torch.tensor(flat)))
    assert_same(lt.bincount(lt.tensor(flat), minlength=20), torch.bincount(torch.tensor(flat), minlength=20))
    weights = sample(flat.shape, "float64")
    assert_same(
        lt.bincount(lt.tensor(flat), lt.tensor(weights)),
        torch.bincount(torch.tensor(flat), torch.tensor(weights)),
    )
    for right in (False, True):
        row, values = np.array([1.0, 3.0, 3.0, 5.0]), np.array([[0.0, 3.0], [4.0, 9.0]])
        assert_same(
            lt.searchsorted(lt.tensor(row), lt.tensor(values), right=right),
            torch.searchsorted(torch.tensor(row), torch.tensor(values), right=right),
        )
    with pytest.raises((ValueError, RuntimeError), match="bincount"):
        lt.bincount(lt.tensor([-1]))


ERRORS: list[tuple[Any, type[Exception], str]] = [
    (lambda: lt.ones(3)[3], IndexError, "3"),
    (lambda: lt.ones(3)[-4], IndexError, "-4"),
    (lambda: lt.ones(3)[0, 0], IndexError, "2 indices"),
    (lambda: lt.ones(3)[..., ...], IndexError, "only one"),
    (lambda: lt.ones(3)[1.5], TypeError, "index"),
    (lambda: lt.ones(3)["a"], TypeError, "index"),
    (lambda: lt.ones(3)[lt.tensor([0, 3])], IndexError, "3"),
    (lambda: lt.ones(3)[lt.tensor([0.0])], IndexError, "int or bool"),
    (lambda: lt.ones(3)[[0, -4]], IndexError, "-4"),
    (lambda: lt.ones(3)[lt.tensor([True, False])], IndexError, "2|3"),
    (lambda: lt.ones(3, 3)[[0, 1], [0, 1, 2]], (IndexError, ValueError), "broadcast|shape"),
    (lambda: lt.ones(3)[::0], ValueError, "zero|0"),
    (lambda: lt.ones(())[0], IndexError, "0 axes"),
    (lambda: lt.ones(3).__setitem__(3, 1), IndexError, "3"),
    (lambda: lt.ones(3).__setitem__(slice(None), lt.ones(2)), lt.ShapeError, r"\[2\]"),
    (lambda: lt.ones(3).__setitem__([0, 1], lt.ones(3)), (ValueError, RuntimeError), r"\[3\]"),
    (lambda: lt.ones(3).__setitem__(0, "a"), (TypeError, ValueError), "str"),
    (lambda: lt.gather(lt.ones(2, 2), 1, lt.tensor([[2], [0]])), IndexError, "gather.*2"),
    (lambda: lt.gather(lt.ones(2, 2), 1, lt.tensor([[-1], [0]])), IndexError, "gather.*-1"),
    (lambda: lt.gather(lt.ones(2, 2), 1, lt.tensor([0])), (ValueError, RuntimeError), "gather"),
    (lambda: lt.gather(lt.ones(2, 2), 2, lt.tensor([[0]])), IndexError, "gather"),
    (lambda: lt.gather(lt.ones(2, 2), 0, lt.ones(1, 1)), TypeError, "gather"),
    (
        lambda: lt.gather(lt.ones(2, 2), 1, lt.zeros(3, 1, dtype=lt.int64)),
        (ValueError, RuntimeError),
        "gather",
    ),
    (lambda: lt.scatter(lt.ones(2, 2), 1, lt.tensor([[2]]), 1.0), IndexError, "scatter.*2"),
    (
        lambda: lt.scatter(lt.ones(2, 2), 1, lt.tensor([[0, 1]]), lt.ones(1, 1)),
        (ValueError, RuntimeError),
        "scatter",
    ),
    (
        lambda: lt.scatter(lt.ones(2), 0, lt.tensor([0]), lt.ones(1, dtype=lt.float64)),
        (TypeError, RuntimeError),
        "scatter",
    ),
    (lambda: lt.scatter(lt.ones(2), 0, lt.tensor([0])), TypeError, "scatter"),
    (lambda: lt.scatter(lt.ones(2), 0, lt.tensor([0]), 1.0, reduce="mul"), ValueError, "reduce"),
    (lambda: lt.scatter_add(lt.ones(2), 0, lt.tensor([5]), lt.ones(1)), IndexError, "scatter_add.*5"),
    (lambda: lt.index_select(lt.ones(2), 0, lt.tensor([2])), IndexError, "index_select.*2"),
    (lambda: lt.index_select(lt.ones(2), 0, lt.tensor([[0]])), IndexError, "index_select"),
    (
        lambda: lt.index_add(lt.ones(2), 0, lt.tensor([0, 0, 0]), lt.ones(2)),
        (ValueError, RuntimeError),
        "index_add",
    ),
    (lambda: lt.index_add(lt.ones(2), 0, lt.tensor([9]), lt.ones(1)), IndexError, "index_add.*9"),
    (lambda: lt.index_fill(lt.ones(2), 0, lt.tensor([9]), 1.0), IndexError, "9"),
    (lambda: lt.index_fill(lt.ones(2), 3, lt.tensor([0]), 1.0), IndexError, "3"),
    (lambda: lt.index_copy(lt.ones(2), 1, lt.tensor([0]), lt.ones(1)), IndexError, "1"),
    (
        lambda: lt.masked_select(lt.ones(2), lt.tensor([True, False, True])),
        lt.ShapeError,
        r"shape \[3\] does not broadcast to \[2\]",
    ),
    (lambda: lt.take(lt.ones(2), lt.tensor([2])), IndexError, "2"),
    (lambda: lt.topk(lt.ones(2), 3), (ValueError, IndexError, RuntimeError), "topk.*3"),
    (lambda: lt.topk(lt.ones(2), -1), (ValueError, IndexError, RuntimeError), "topk.*-1"),
    (lambda: lt.sort(lt.ones(2), 1), IndexError, "sort"),
    (lambda: lt.bincount(lt.ones(2)), TypeError, "bincount"),
    (lambda: lt.bincount(lt.tensor([0, 2**60])), (ValueError, MemoryError, RuntimeError), "bincount"),
    (lambda: lt.bincount(lt.tensor([0]), minlength=-1), ValueError, "bincount"),
    (lambda: lt.bincount(lt.tensor([0, 1]), lt.ones(3)), lt.ShapeError, r"bincount: weights of shape \[3\]"),
    (lambda: lt.searchsorted(lt.ones(2, 2), lt.ones(1)), (ValueError, RuntimeError), "searchsorted"),
    (lambda: lt.index_put(lt.ones(2), (lt.tensor([2]),), lt.tensor(1.0)), IndexError, "2"),
    (lambda: lt.index_put(lt.ones(2), (lt.tensor([0]), lt.tensor([0])), lt.tensor(1.0)), IndexError, "ind"),
]


@pytest.mark.parametrize("case", range(len(ERRORS)))
def test_an_index_that_does_not_fit_is_a_clear_error(case: int) -> None:
    call, kind, text = ERRORS[case]
    with pytest.raises(kind, match=text):
        call()


def test_a_failed_assignment_leaves_the_tensor_as_it_was() -> None:
    x = lt.arange(4)
    for bad in (
        lambda: x.__setitem__([0, 9], 5),
        lambda: x.scatter_(0, lt.tensor([0, 9]), 5),
        lambda: x.index_fill_(0, lt.tensor([0, 9]), 5),
    ):
        with pytest.raises(IndexError):
            bad()
        assert x.tolist() == [0, 1, 2, 3]


def test_an_assignment_counts_one_change() -> None:
    x = lt.zeros(4)
    before = x._version
    x.index_put_((lt.tensor([1, 2]),), lt.tensor([5.0, 6.0]))
    assert x._version == before + 1


@pytest.mark.parametrize("n", [5, 100, 700])
def test_long_rows_are_gathered_and_scattered_and_refuse_strangers(n: int) -> None:
    torch = require_torch()
    rng = np.random.default_rng(n)
    x, src, index = sample((9, n), seed=1), sample((9, n), seed=2), rng.integers(0, n, (9, n))
    ours, theirs = [lt.tensor(v) for v in (x, index, src)], [torch.tensor(v) for v in (x, index, src)]
    assert_same(lt.gather(ours[0], 1, ours[1]), torch.gather(theirs[0], 1, theirs[1]))
    assert_same(
        lt.scatter_add(ours[0], 1, ours[1], ours[2]), torch.scatter_add(theirs[0], 1, theirs[1], theirs[2])
    )
    index[7, n - 1] = n
    for call in (
        lambda: lt.gather(ours[0], 1, lt.tensor(index)),
        lambda: lt.scatter_add(ours[0], 1, lt.tensor(index), ours[2]),
    ):
        with pytest.raises(IndexError, match=f"{n} is out of range"):
            call()


def test_an_index_without_axes_selects_and_gives_a_gradient() -> None:
    x = lt.ones(4, 3, requires_grad=True)
    y = lt.index_select(x, 1, lt.tensor(1))
    assert y.shape == (4, 1)
    y.sum().backward()
    assert x.grad.tolist() == [[0.0, 1.0, 0.0]] * 4
