"""Reductions and scans against PyTorch and NumPy."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import lectorium as lt
from helpers import assert_same, check_op, require_torch, sample

torch = require_torch()
INF, NAN = float("inf"), float("nan")
DIMS: list[Any] = [0, 1, -1, (0, 2), (-1, 0), (0, 1, 2)]


@pytest.mark.parametrize("name", ["sum", "mean", "logsumexp", "amax", "amin"])
@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("keepdim", [False, True])
def test_reductions_over_any_axes_agree_with_pytorch(name: str, dim: Any, keepdim: bool) -> None:
    check_op(
        lambda x: getattr(lt, name)(x, dim, keepdim), lambda x: getattr(torch, name)(x, dim, keepdim), [(2, 3, 4)],
        gradgradcheck=name in ("sum", "mean", "logsumexp"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "name", ["sum", "mean", "prod", "max", "min", "var", "std", "norm", "amax", "amin", "median"]
)
def test_reductions_of_everything_agree_with_pytorch(name: str) -> None:
    check_op(
        getattr(lt, name),
        getattr(torch, name),
        [(3, 4)],
        gradgradcheck=name in ("var", "std", "norm", "prod"),
    )
    check_op(getattr(lt, name), getattr(torch, name), [()], gradcheck=name not in ("var", "std"))


@pytest.mark.parametrize("name", ["var", "std"])
@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("correction", [0, 1, 2])
def test_variances_agree_with_pytorch(name: str, dim: Any, correction: int) -> None:
    check_op(
        lambda x: getattr(lt, name)(x, dim, correction=correction),
        lambda x: getattr(torch, name)(x, dim, correction=correction), [(3, 3, 4)], gradcheck=dim == (0, 1, 2),
        edges=[(s,) for s in ((0, 3, 4), (2, 0, 4))], strided=name == "var",
    )  # fmt: skip


def test_equal_numbers_do_not_vary_and_pass_no_gradient_on() -> None:
    x = lt.full((3, 7), 0.1, requires_grad=True)
    assert x.var(0).tolist() == [0.0] * 7
    x.std(0).sum().backward()
    assert x.grad.tolist() == [[0.0] * 7] * 3


def test_variances_take_pytorchs_older_arguments() -> None:
    a = sample((3, 4))
    x, t = lt.tensor(a), torch.tensor(a)
    assert_same(x.var(False), t.var(False))
    assert_same(x.var(1, False), t.var(1, False))
    assert_same(x.std(1, unbiased=False, keepdim=True), t.std(1, unbiased=False, keepdim=True))
    assert_same(lt.var_mean(x, 1), torch.var_mean(t, 1))
    assert_same(lt.std_mean(x, 0, keepdim=True), torch.std_mean(t, 0, keepdim=True))
    assert_same(lt.var(lt.tensor([5.0])), torch.var(torch.tensor([5.0])))


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("keepdim", [False, True])
def test_products_along_an_axis_agree_also_with_zeros(dim: int, keepdim: bool) -> None:
    check_op(lambda x: x.prod(dim, keepdim), lambda x: x.prod(dim, keepdim), [(3, 4)], gradgradcheck=True)
    a = np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 4.0], [1.0, 5.0, 6.0]])
    x, t = lt.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    x.prod(dim).sum().backward()
    t.prod(dim).sum().backward()
    assert_same(x.grad, t.grad)


@pytest.mark.parametrize("name", ["max", "min", "median", "cummax", "cummin", "sort"])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_values_come_with_indices_as_named_tuples(name: str, dim: int) -> None:
    check_op(
        lambda x: getattr(lt, name)(x, dim),
        lambda x: getattr(torch, name)(x, dim),
        [(3, 4)],
        gradgradcheck=False,
    )
    if name in ("max", "min", "median"):
        check_op(
            lambda x: getattr(lt, name)(x, dim, True), lambda x: getattr(torch, name)(x, dim, True), [(3, 4)]
        )
    result = getattr(lt, name)(lt.tensor([[3.0, 1.0]]), 1)
    assert result.values is result[0]
    assert result.indices is result[1]


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_positions_of_extremes_agree_also_in_ties(name: str) -> None:
    for dtype in ("float32", "float64", "int64", "int32", "uint8"):
        a = sample((4, 5, 6), dtype, 0, 3)
        x, t = lt.tensor(a), torch.tensor(a)
        assert_same(getattr(x, name)(), getattr(t, name)(), what=dtype)
        for dim in (0, 1, -1):
            assert_same(getattr(x, name)(dim), getattr(t, name)(dim), what=dtype)
            assert_same(getattr(x, name)(dim, keepdim=True), getattr(t, name)(dim, keepdim=True))
    a = np.array([1.0, NAN, 3.0, NAN])
    assert_same(getattr(lt, name)(lt.tensor(a)), getattr(torch, name)(torch.tensor(a)))
    with pytest.raises((ValueError, IndexError), match=name):
        getattr(lt, name)(lt.zeros(0))


@pytest.mark.parametrize(
    "name", ["sum", "prod", "any", "all", "max", "min", "amax", "amin", "count_nonzero", "cumsum", "cumprod"]
)
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool"])
def test_reductions_of_integers_and_bools_agree(name: str, dtype: str) -> None:
    if name in ("max", "min", "amax", "amin", "cumprod") and dtype == "bool":
        pytest.skip("PyTorch's own support varies")
    a = sample((3, 4), dtype, -2, 3)
    x, t = lt.tensor(a), torch.tensor(a)
    if not name.startswith("cum"):
        assert_same(getattr(lt, name)(x), getattr(torch, name)(t), what=dtype)
    assert_same(getattr(lt, name)(x, 1), getattr(torch, name)(t, 1), what=dtype)


@pytest.mark.parametrize("name", ["sum", "prod", "mean"])
def test_the_dtype_of_a_reduction_can_be_chosen(name: str) -> None:
    a = sample((3, 4), "int32", 1, 3)
    for target in ("float32", "float64", *(["int64", "int32"] if name != "mean" else [])):
        got = getattr(lt, name)(lt.tensor(a), 1, dtype=getattr(lt, target))
        assert_same(got, getattr(torch, name)(torch.tensor(a), 1, dtype=getattr(torch, target)))
    x = lt.tensor([1.0, 2.0], requires_grad=True)
    lt.sum(x, 0, dtype=lt.float64).backward()
    assert x.grad.dtype == lt.float32
    with pytest.raises(TypeError, match="mean"):
        lt.mean(lt.tensor([1, 2]))


@pytest.mark.parametrize(
    "name", ["sum", "mean", "prod", "amax", "amin", "max", "min", "logsumexp", "norm", "var", "any", "all"]
)
@pytest.mark.parametrize(
    "values", [[1.0, NAN], [NAN, INF], [INF, -INF], [INF, 1.0], [-INF, -INF], [-INF, 1.0]]
)
def test_nan_and_infinity_go_through_reductions_as_in_pytorch(name: str, values: list[float]) -> None:
    for n in (1, 9, 33):
        a = np.array(values * n, np.float32)
        args = (0,) if name == "logsumexp" else ()
        assert_same(
            getattr(lt, name)(lt.tensor(a), *args), getattr(torch, name)(torch.tensor(a), *args), what=name
        )


def test_empty_tensors_reduce_to_the_neutral_element_or_refuse() -> None:
    for name in ("sum", "prod", "mean", "any", "all", "norm", "logsumexp"):
        args = (0,) if name == "logsumexp" else ()
        assert_same(
            getattr(lt, name)(lt.zeros(0), *args), getattr(torch, name)(torch.zeros(0), *args), what=name
        )
        assert_same(
            getattr(lt, name)(lt.zeros(0, 3), *(args or (1,))),
            getattr(torch, name)(torch.zeros(0, 3), *(args or (1,))),
        )
    for name in ("max", "min", "amax", "amin", "argmax"):
        with pytest.raises((ValueError, IndexError, RuntimeError), match="empty|zero|0|no elements"):
            getattr(lt, name)(lt.zeros(0))


@pytest.mark.parametrize("p", [0, 1, 2, 3, 0.5, INF, -INF, "fro"])
def test_norms_agree_with_pytorch(p: Any) -> None:
    more = {"low": 0.2, "grad": p != 0, "edges": False}
    check_op(lambda x: lt.norm(x, p), lambda x: torch.norm(x, p), [(3, 4)], **more)
    if p != "fro":
        check_op(lambda x: lt.norm(x, p, 1), lambda x: torch.norm(x, p, 1), [(3, 4)], **more)
        check_op(
            lambda x: lt.norm(x, p, (0, 1), True), lambda x: torch.norm(x, p, (0, 1), True), [(3, 4)], **more
        )


@pytest.mark.parametrize("name", ["cumsum", "cumprod", "logcumsumexp"])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_running_totals_agree_with_pytorch(name: str, dim: int) -> None:
    check_op(
        lambda x: getattr(lt, name)(x, dim),
        lambda x: getattr(torch, name)(x, dim),
        [(3, 4)],
        gradgradcheck=True,
    )


def test_running_totals_of_numbers_without_axes_and_with_a_dtype() -> None:
    for name in ("cumsum", "cumprod", "logcumsumexp", "cummax"):
        assert_same(
            getattr(lt, name)(lt.tensor(2.0), 0), getattr(torch, name)(torch.tensor(2.0), 0), what=name
        )
    assert_same(
        lt.cumsum(lt.tensor([1, 2]), 0, dtype=lt.float32),
        torch.cumsum(torch.tensor([1, 2]), 0, dtype=torch.float32),
    )
    x, t = np.array([0.0, 2.0, 0.0, 3.0]), None
    t = torch.tensor(x, requires_grad=True)
    x = lt.tensor(x, requires_grad=True)
    x.cumprod(0).sum().backward()
    t.cumprod(0).sum().backward()
    assert_same(x.grad, t.grad)


def test_sums_of_many_small_numbers_do_not_drift() -> None:
    n = 1 << 20
    x = lt.full((n,), 0.1)
    assert abs(x.sum().item() - 0.1 * n) / (0.1 * n) < 1e-6
    assert abs(x.mean().item() - 0.1) < 1e-7
    big = lt.full((1 << 16,), 1e4) + lt.arange(1 << 16) % 2
    assert abs(big.var(correction=0).item() - 0.25) < 1e-4


def test_sums_of_int32_do_not_overflow_and_int64_wraps() -> None:
    x = lt.full((4,), 2**31 - 1, dtype=lt.int32)
    assert x.sum().item() == 4 * (2**31 - 1)
    assert x.sum().dtype == lt.int64
    assert lt.tensor([2**63 - 1, 1]).sum().item() == -(2**63)


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=4).map(tuple), st.sampled_from(["sum", "mean", "prod", "amax", "any", "var"]),
    st.booleans(), st.data(),
)  # fmt: skip
def test_any_axes_of_any_layout_reduce_as_in_numpy(shape: Any, name: str, keepdim: bool, data: Any) -> None:
    axes = data.draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True).map(tuple))
    order = data.draw(st.permutations(range(len(shape))))
    steps = [data.draw(st.sampled_from([1, -1, 2])) for _ in shape]
    a = sample(shape, "float64").transpose(order)[tuple(slice(None, None, s) for s in steps)]
    if name == "amax" and 0 in [a.shape[i] for i in axes]:
        with pytest.raises((ValueError, IndexError), match="amax"):
            lt.amax(lt.from_numpy(a), axes)
        return
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        want = getattr(np, name)(a, axis=axes, keepdims=keepdim, **({"ddof": 1} if name == "var" else {}))
    x = lt.from_numpy(a)
    got = lt.any(x, axes, keepdim) if name == "any" else getattr(lt, name)(x, axes, keepdim=keepdim)
    assert got.shape == want.shape
    if name == "var" and np.prod([a.shape[i] for i in axes]) <= 1:
        return
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-10, atol=1e-12)


def test_counts_of_nonzero_elements_agree() -> None:
    a = sample((3, 4, 5), "int64", -1, 1)
    for dim in (None, 0, (0, 2), -1):
        args = () if dim is None else (dim,)
        assert_same(lt.count_nonzero(lt.tensor(a), *args), torch.count_nonzero(torch.tensor(a), *args))
    # NaN and denormals count, both zeros do not.
    small = [NAN, 0.0, -0.0, 1e-45]
    assert lt.count_nonzero(lt.tensor(small)).item() == 2
    for tiny in (lt.tensor([1e-45]), lt.tensor([-5e-324], dtype=lt.float64)):
        many = tiny.expand(100_000).contiguous()  # also on worker threads
        assert many.any().item()
        assert many.all().item()
        assert lt.count_nonzero(many).item() == 100_000


def test_aminmax_is_a_named_pair() -> None:
    a = sample((3, 4))
    got, want = lt.aminmax(lt.tensor(a), dim=1), torch.aminmax(torch.tensor(a), dim=1)
    assert_same(got, want)
    assert_same(got.min, want.min)
    assert_same(lt.aminmax(lt.tensor(a)), torch.aminmax(torch.tensor(a)))


@pytest.mark.parametrize(
    "name", ["sum", "mean", "prod", "amax", "any", "all", "logsumexp", "argmax", "cumsum", "softmax", "max"]
)
@pytest.mark.parametrize("dim", [2, -3])
def test_an_axis_out_of_range_is_an_index_error_that_names_the_operation(name: str, dim: int) -> None:
    with pytest.raises(IndexError, match=rf"{name}.*{dim}"):
        getattr(lt, name)(lt.ones(2, 3), dim)


def test_an_axis_named_twice_is_refused() -> None:
    for name in ("sum", "mean", "amax"):
        with pytest.raises((ValueError, RuntimeError), match=name):
            getattr(lt, name)(lt.ones(2, 3), (0, -2))


def test_an_axis_that_is_no_integer_is_a_type_error() -> None:
    for bad in ("0", 0.5, [0.5]):
        with pytest.raises(TypeError):
            lt.sum(lt.ones(2, 3), bad)


@pytest.mark.parametrize("n", [1, 2, 7, 10, 16, 31, 32, 33])
def test_many_short_rows_reduce_as_one_by_one(n: int) -> None:
    data = sample((67, n), seed=n)
    data[5, n // 2] = np.nan
    data[9] = data[9, 0]
    x = lt.tensor(data)
    for name, many in (
        ("sum", np.sum),
        ("amax", np.max),
        ("argmax", np.argmax),
        ("argmin", np.argmin),
        ("prod", np.prod),
    ):
        got = getattr(lt, name)(x, 1).numpy()
        np.testing.assert_allclose(got, many(data.astype(np.float64), 1), rtol=2e-6, atol=1e-6)
        turned = getattr(lt, name)(lt.tensor(np.ascontiguousarray(data.T)).t(), 1)
        np.testing.assert_allclose(turned.numpy(), got, rtol=2e-6, atol=1e-6)
    values, places = lt.max(x, 1)
    np.testing.assert_array_equal(places.numpy(), np.argmax(data, 1))
    np.testing.assert_array_equal(values.numpy(), data.max(1))
