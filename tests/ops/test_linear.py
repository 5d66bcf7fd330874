"""Matrix products and Einstein sums against PyTorch."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import lectorium as lt
import lectorium.nn.functional as F
from helpers import assert_same, check_op, require_torch, sample

torch = require_torch()

PRODUCTS = [
    [(3,), (3,)], [(3, 4), (4,)], [(3,), (3, 4)], [(3, 4), (4, 5)], [(2, 3, 4), (2, 4, 5)], [(2, 3, 4), (4, 5)],
    [(3, 4), (2, 4, 5)], [(2, 1, 3, 4), (5, 4, 2)], [(2, 3, 4), (4,)], [(4,), (2, 4, 3)], [(1, 4), (4, 1)],
    [(0, 4), (4, 3)], [(3, 0), (0, 4)], [(3, 4), (4, 0)], [(0,), (0,)], [(2, 0, 3), (3, 4)], [(0, 2, 3), (0, 3, 2)], [(3, 0), (0,)],
]  # fmt: skip


@pytest.mark.parametrize("shapes", PRODUCTS, ids=str)
def test_products_of_every_kind_of_operands_agree(shapes: list[tuple[int, ...]]) -> None:
    check_op(lt.matmul, torch.matmul, shapes, gradgradcheck=True, edges=False)


@pytest.mark.parametrize(
    ("m", "n", "k"), [(1, 1, 1), (7, 17, 33), (64, 65, 66), (1, 300, 257), (129, 1, 70), (96, 200, 300)]
)
def test_products_of_many_sizes_and_layouts_agree(m: int, n: int, k: int) -> None:
    for dtype in ("float32", "float64"):
        for flip_a, flip_b in itertools.product((False, True), repeat=2):
            a = sample((k, m) if flip_a else (m, k), dtype)
            b = sample((n, k) if flip_b else (k, n), dtype, seed=1)
            x, y = (lt.tensor(a).T if flip_a else lt.tensor(a)), (lt.tensor(b).T if flip_b else lt.tensor(b))
            want = (a.T if flip_a else a).astype("float64") @ (b.T if flip_b else b).astype("float64")
            np.testing.assert_allclose(
                (x @ y).numpy(),
                want,
                rtol=1e-5 if dtype == "float32" else 1e-12,
                atol=1e-4 if dtype == "float32" else 1e-12,
            )


def test_integer_products_are_exact_and_wrap() -> None:
    for dtype in ("int64", "int32"):
        a, b = sample((5, 7), dtype, -100, 100), sample((7, 3), dtype, -100, 100)
        assert_same(lt.tensor(a) @ lt.tensor(b), torch.tensor(a) @ torch.tensor(b))
    assert (lt.tensor([[2**62, 2**62]]) @ lt.tensor([[2], [2]])).item() == 0


def test_nan_and_infinity_go_through_products() -> None:
    a = np.array([[np.inf, 0.0], [np.nan, 1.0], [1.0, 2.0]], np.float32)
    b = np.array([[0.0, 1.0], [1.0, np.inf]], np.float32)
    assert_same(lt.tensor(a) @ lt.tensor(b), torch.tensor(a) @ torch.tensor(b))
    zeros, nans = lt.zeros(4, 40), lt.full((40, 4), float("nan"))
    assert lt.isnan(zeros @ nans).all()


NAMED: dict[str, tuple[Any, list[tuple[int, ...]]]] = {
    "mm": (lambda m, a, b: m.mm(a, b), [(2, 3), (3, 4)]),
    "bmm": (lambda m, a, b: m.bmm(a, b), [(2, 3, 4), (2, 4, 5)]),
    "mv": (lambda m, a, b: m.mv(a, b), [(2, 3), (3,)]),
    "dot": (lambda m, a, b: m.dot(a, b), [(3,), (3,)]),
    "outer": (lambda m, a, b: m.outer(a, b), [(3,), (4,)]),
    "addmm": (lambda m, c, a, b: m.addmm(c, a, b, beta=0.5, alpha=2), [(4,), (2, 3), (3, 4)]),
    "addmv": (lambda m, c, a, b: m.addmv(c, a, b, beta=2, alpha=-1), [(2,), (2, 3), (3,)]),
    "baddbmm": (lambda m, c, a, b: m.baddbmm(c, a, b, beta=2, alpha=3), [(3, 5), (2, 3, 4), (2, 4, 5)]),
    "trace": (lambda m, a: m.trace(a), [(3, 4)]),
    "tensordot": (lambda m, a, b: m.tensordot(a, b, 2), [(2, 3, 4), (3, 4, 5)]),
    "tensordot lists": (lambda m, a, b: m.tensordot(a, b, ([0, -1], [1, 0])), [(2, 3, 4), (4, 2)]),
    "tensordot none": (lambda m, a, b: m.tensordot(a, b, 0), [(2,), (3,)]),
    "operator": (lambda m, a, b: a @ b, [(2, 3), (3, 4)]),
}


@pytest.mark.parametrize("name", NAMED)
def test_named_products_agree(name: str) -> None:
    f, shapes = NAMED[name]
    check_op(lambda *x: f(lt, *x), lambda *x: f(torch, *x), shapes, gradgradcheck=True, edges=False)


def test_an_input_times_zero_is_not_even_looked_at() -> None:
    nan = lt.full((2, 2), float("nan"))
    assert lt.addmm(nan, lt.ones(2, 3), lt.ones(3, 2), beta=0).tolist() == [[3.0, 3.0]] * 2


EINSUMS: list[tuple[str, list[tuple[int, ...]]]] = [
    ("ij,jk->ik", [(2, 3), (3, 4)]), ("ij,jk", [(2, 3), (3, 4)]), ("i,i->", [(3,), (3,)]), ("i,j->ij", [(3,), (4,)]),
    ("ii->i", [(3, 3)]), ("ii", [(3, 3)]), ("ij->ji", [(2, 3)]), ("ij->", [(2, 3)]), ("ij->j", [(2, 3)]),
    ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]), ("...ij,...jk->...ik", [(2, 3, 4), (4, 5)]), ("...i->...", [(2, 3, 4)]),
    ("bhqd,bhkd->bhqk", [(2, 2, 3, 4), (2, 2, 5, 4)]), ("ijk,jk,k->i", [(2, 3, 4), (3, 4), (4,)]), ("bn,anm,bm->ba", [(2, 3), (4, 3, 5), (2, 5)]),
    ("ij,ij->ij", [(2, 3), (2, 3)]), ("i...,...->i...", [(2, 3), (3,)]), ("iij->j", [(3, 3, 2)]), ("ba", [(2, 3)]),
    ("ij,kl->", [(2, 3), (4, 5)]), ("ij,i->ij", [(2, 3), (2,)]), ("i,ij,j->", [(2,), (2, 3), (3,)]), ("...", [(2, 3)]), ("ij, jk -> ki", [(2, 3), (3, 2)]),
]  # fmt: skip


@pytest.mark.parametrize(("equation", "shapes"), EINSUMS, ids=[e for e, _ in EINSUMS])
def test_einstein_sums_agree(equation: str, shapes: list[tuple[int, ...]]) -> None:
    check_op(
        lambda *x: lt.einsum(equation, *x),
        lambda *x: torch.einsum(equation, *x),
        shapes,
        gradgradcheck=True,
        edges=False,
    )


def test_einsum_takes_a_list_of_operands_and_empty_axes() -> None:
    a, b = lt.ones(2, 0), lt.ones(0, 3)
    assert lt.einsum("ij,jk->ik", [a, b]).tolist() == [[0.0] * 3] * 2


@given(st.integers(0, 2**31), st.integers(1, 3))
def test_random_einstein_sums_are_numpys(seed: int, operands: int) -> None:
    rng = np.random.RandomState(seed)
    sizes = dict(zip("abcde", rng.randint(1, 4, 5), strict=True))
    terms = ["".join(rng.choice(list("abcde"), rng.randint(1, 4), replace=False)) for _ in range(operands)]
    letters = sorted(set("".join(terms)))
    out = "".join(rng.permutation([c for c in letters if rng.rand() < 0.5]))
    arrays = [rng.rand(*[sizes[c] for c in t]) for t in terms]
    equation = f"{','.join(terms)}->{out}"
    np.testing.assert_allclose(
        lt.einsum(equation, *map(lt.tensor, arrays)).numpy(), np.einsum(equation, *arrays), rtol=1e-9
    )


@pytest.mark.parametrize("outputs", [1, 2, 3, 4, 5, 16])
def test_a_linear_layer_has_the_same_bits_each_time(outputs: int) -> None:
    # From the second time on its weight may be kept in another form, unless NumPy has been lent its memory.
    x, weight = lt.from_numpy(sample((50, 128))), lt.from_numpy(sample((outputs, 128), seed=1)).clone()
    results = [F.linear(x, weight).numpy().copy() for _ in range(3)]
    weight.numpy()
    results.append(F.linear(x, weight).numpy())
    assert all((result == results[0]).all() for result in results)


@pytest.mark.parametrize("lead", [(), (3,), (2, 3), (0,), (2, 0)])
@pytest.mark.parametrize("bias", [False, True])
def test_a_linear_layer_agrees(lead: tuple[int, ...], bias: bool) -> None:
    shapes = [(*lead, 4), (5, 4), *([(5,)] if bias else [])]
    check_op(F.linear, torch.nn.functional.linear, shapes, gradgradcheck=True, edges=False)


ERRORS: list[tuple[Any, type[Exception], str]] = [
    (lambda: lt.ones(2, 3) @ lt.ones(2, 3), lt.ShapeError, r"matmul.*\[2, 3\]"),
    (lambda: lt.matmul(lt.ones(2, 3), lt.ones(4)), lt.ShapeError, "matmul"),
    (lambda: lt.matmul(lt.ones(2, 2, 3), lt.ones(3, 3, 2)), lt.ShapeError, "matmul"),
    (lambda: lt.matmul(lt.ones(()), lt.ones(3)), (ValueError, RuntimeError), "matmul"),
    (lambda: lt.matmul(lt.ones(2, 2), lt.ones(2, 2, dtype=lt.float64)), TypeError, "matmul"),
    (lambda: lt.matmul(lt.ones(2, 2), lt.ones(2, 2, dtype=lt.int64)), TypeError, "matmul"),
    (lambda: lt.mm(lt.ones(2), lt.ones(2)), lt.ShapeError, "mm"),
    (lambda: lt.bmm(lt.ones(2, 2, 2), lt.ones(3, 2, 2)), lt.ShapeError, "bmm"),
    (lambda: lt.dot(lt.ones(2), lt.ones(3)), lt.ShapeError, "matmul|dot"),
    (lambda: lt.outer(lt.ones(2, 2), lt.ones(3)), lt.ShapeError, "outer"),
    (lambda: lt.einsum("ij,jk->ik", lt.ones(2, 3)), ValueError, "einsum"),
    (lambda: lt.einsum("ij,jk->ik", lt.ones(2, 3), lt.ones(4, 5)), ValueError, "einsum.*'j'"),
    (lambda: lt.einsum("ij->ik", lt.ones(2, 3)), ValueError, "einsum"),
    (lambda: lt.einsum("ij->ii", lt.ones(2, 3)), ValueError, "einsum"),
    (lambda: lt.einsum("ijk->i", lt.ones(2, 3)), ValueError, "einsum"),
    (lambda: lt.einsum("i1->i", lt.ones(2, 3)), ValueError, "einsum"),
    (lambda: lt.einsum("ii->i", lt.ones(2, 3)), ValueError, "einsum"),
    (lambda: lt.einsum("i...j...->ij", lt.ones(2, 3)), ValueError, "einsum"),
    (lambda: lt.tensordot(lt.ones(2, 3), lt.ones(4, 5), 1), lt.ShapeError, "tensordot"),
    (lambda: lt.tensordot(lt.ones(2), lt.ones(2), 2), ValueError, "tensordot"),
    (lambda: lt.tensordot(lt.ones(2, 3), lt.ones(2, 3), ([5], [0])), IndexError, "tensordot"),
    (lambda: F.linear(lt.ones(2, 3), lt.ones(5, 4)), lt.ShapeError, "linear"),
    (lambda: F.linear(lt.ones(2, 3), lt.ones(5, 3), lt.ones(4)), lt.ShapeError, "linear"),
    (lambda: F.linear(lt.ones(2, 3), lt.ones(5, 3, dtype=lt.float64)), TypeError, "linear"),
    (lambda: lt.ones(2, 2) @ 3, TypeError, "matmul: expected a Tensor, got int"),
    (lambda: lt.trace(lt.ones(2)), lt.ShapeError, "trace"),
]


@pytest.mark.parametrize("case", range(len(ERRORS)))
def test_operands_that_do_not_fit_are_an_error_that_names_the_operation(case: int) -> None:
    call, kind, text = ERRORS[case]
    with pytest.raises(kind, match=text):
        call()
