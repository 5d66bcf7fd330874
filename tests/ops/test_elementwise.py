"""Elementwise operations against PyTorch: values, gradients, special values, integers."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import lectorium as lt
from helpers import assert_same, check_op, require_torch, sample

torch = require_torch()
INF, NAN = float("inf"), float("nan")

# name: range of the values, away from the function's poles and kinks.
UNARY: dict[str, tuple[float, float]] = {
    "neg": (-2, 2), "abs": (0.1, 2), "sign": (0.1, 2), "exp": (-3, 3), "exp2": (-3, 3), "expm1": (-3, 3),
    "log": (0.1, 5), "log2": (0.1, 5), "log10": (0.1, 5), "log1p": (-0.8, 5), "sqrt": (0.1, 5), "rsqrt": (0.1, 5),
    "reciprocal": (0.3, 2), "square": (-2, 2), "sin": (-4, 4), "cos": (-4, 4), "tan": (-1.3, 1.3),
    "asin": (-0.9, 0.9), "acos": (-0.9, 0.9), "atan": (-3, 3), "sinh": (-2, 2), "cosh": (-2, 2), "tanh": (-3, 3),
    "asinh": (-3, 3), "acosh": (1.2, 4), "atanh": (-0.9, 0.9), "sigmoid": (-4, 4), "relu": (0.1, 2),
    "erf": (-2, 2), "erfc": (-2, 2), "erfinv": (-0.9, 0.9), "lgamma": (0.5, 5), "logit": (0.1, 0.9),
    "floor": (0.1, 0.9), "ceil": (0.1, 0.9), "round": (0.6, 1.4), "trunc": (0.1, 0.9), "frac": (0.1, 0.9),
}  # fmt: skip
TWICE = set(UNARY) - {"sign", "floor", "ceil", "round", "trunc", "frac", "lgamma", "relu", "neg", "abs"}
BINARY: dict[str, tuple[float, float]] = {
    "add": (-2, 2), "sub": (-2, 2), "mul": (-2, 2), "div": (0.5, 2), "pow": (0.3, 2), "maximum": (-2, 2),
    "minimum": (-2, 2), "fmax": (-2, 2), "fmin": (-2, 2), "atan2": (0.3, 2), "logaddexp": (-3, 3),
    "hypot": (0.3, 2), "remainder": (0.5, 2), "fmod": (0.5, 2), "copysign": (0.3, 2), "xlogy": (0.3, 2),
}  # fmt: skip
SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    -2.5,
    3.0,
    80.0,
    -80.0,
    1e-37,
    1e30,
    -1e30,
    INF,
    -INF,
    NAN,
]


@pytest.mark.parametrize("name", UNARY)
def test_a_function_of_one_tensor_agrees_with_pytorch(name: str) -> None:
    low, high = UNARY[name]
    check_op(
        getattr(lt, name), getattr(torch, name), [(3, 5)], low=low, high=high, gradgradcheck=name in TWICE
    )


def test_digamma_agrees_and_its_derivative_is_better_than_pytorchs() -> None:
    # PyTorch's trigamma has nine digits in float64: pi**2 / 2 at one half is the judge there.
    check_op(lt.digamma, torch.digamma, [(3, 5)], low=0.5, high=5, dtypes=("float32",), gradgradcheck=True)
    x = lt.tensor(0.5, dtype=lt.float64, requires_grad=True)
    lt.digamma(x).backward()
    assert abs(x.grad.item() - np.pi**2 / 2) < 1e-11


@pytest.mark.parametrize("name", BINARY)
def test_a_function_of_two_tensors_agrees_with_pytorch(name: str) -> None:
    low, high = BINARY[name]
    second = name not in ("maximum", "minimum", "fmax", "fmin", "remainder", "fmod", "copysign")
    check_op(
        getattr(lt, name), getattr(torch, name), [(3, 4), (3, 4)], low=low, high=high, gradgradcheck=second
    )


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("shapes", [[(3, 1), (1, 4)], [(4,), (2, 3, 4)], [(2, 3), ()], [(0, 3), (1, 3)]])
def test_operands_broadcast_as_in_pytorch(name: str, shapes: list[tuple[int, ...]]) -> None:
    low, high = BINARY[name]
    check_op(
        getattr(lt, name), getattr(torch, name), shapes, low=low, high=high, gradcheck=False, strided=False
    )


@pytest.mark.parametrize("name", [*UNARY, "digamma", "isnan", "isinf", "isfinite", "signbit"])
def test_special_values_give_what_pytorch_gives(name: str) -> None:
    for dtype in ("float32", "float64"):
        # An odd length, and enough for full vectors: SIMD bodies and tails see every value.
        a = np.array(SPECIAL * 3 + SPECIAL[:1], dtype)
        if name in ("sin", "cos", "tan"):
            a[np.abs(a) > 1e6] = 1.0
        with np.errstate(all="ignore"):
            ours, theirs = getattr(lt, name)(lt.tensor(a)), getattr(torch, name)(torch.tensor(a))
        if ours.dtype.is_floating_point and not np.isfinite(theirs.numpy()).all():
            assert (np.isnan(ours.numpy()) == np.isnan(theirs.numpy())).all(), f"{name}: NaN {ours} {theirs}"
        assert_same(ours, theirs, rtol=3e-5 if dtype == "float32" else 1e-10, atol=1e-30, what=name)


@pytest.mark.parametrize("name", [*BINARY, "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "floor_divide"])
def test_pairs_of_special_values_give_what_pytorch_gives(name: str) -> None:
    values = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 1e30, INF, -INF, NAN]
    x, y = (np.array(v) for v in zip(*itertools.product(values, values), strict=True))
    for dtype in ("float32", "float64"):
        a, b = x.astype(dtype), y.astype(dtype)
        ours, theirs = (
            getattr(lt, name)(lt.tensor(a), lt.tensor(b)),
            getattr(torch, name)(torch.tensor(a), torch.tensor(b)),
        )
        assert_same(ours, theirs, what=name)


@pytest.mark.parametrize("name", ["floor_divide", "remainder", "fmod", "maximum", "minimum", "mul", "pow"])
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_integers_divide_round_and_wrap_as_in_pytorch(name: str, dtype: str) -> None:
    values = [v for v in (-7, -3, -2, -1, 0, 1, 2, 3, 7, 100) if v >= 0 or dtype != "uint8"]
    seconds = [v for v in values if v > 0 or (v < 0 and name != "pow")]
    x, y = (np.array(v, dtype) for v in zip(*itertools.product(values, seconds), strict=True))
    assert_same(
        getattr(lt, name)(lt.tensor(x), lt.tensor(y)),
        getattr(torch, name)(torch.tensor(x), torch.tensor(y)),
        what=name,
    )


@pytest.mark.parametrize("mode", [None, "trunc", "floor"])
@pytest.mark.parametrize("dtype", ["int64", "int32", "float32"])
def test_division_rounds_as_asked(mode: str | None, dtype: str) -> None:
    x, y = np.array([-7, -7, 7, 7, 6, 0], dtype), np.array([2, -2, 2, -2, 3, 5], dtype)
    assert_same(
        lt.div(lt.tensor(x), lt.tensor(y), rounding_mode=mode),
        torch.div(torch.tensor(x), torch.tensor(y), rounding_mode=mode),
    )


@pytest.mark.parametrize("name", ["floor_divide", "remainder", "fmod"])
def test_an_integer_divided_by_zero_is_an_error_that_names_the_operation(name: str) -> None:
    for dtype in (lt.int64, lt.int32, lt.uint8):
        with pytest.raises((RuntimeError, ValueError, ZeroDivisionError), match=name):
            getattr(lt, name)(lt.tensor([1, 2], dtype=dtype), lt.tensor([1, 0], dtype=dtype))


def test_the_smallest_integer_divided_by_minus_one_wraps_and_does_not_crash() -> None:
    low = -(2**63)
    assert lt.floor_divide(lt.tensor([low]), lt.tensor([-1])).item() in (low, 2**63 - 1)
    assert lt.remainder(lt.tensor([low]), lt.tensor([-1])).item() == 0
    assert lt.fmod(lt.tensor([low]), lt.tensor([-1])).item() == 0
    assert lt.abs(lt.tensor([low])).item() == low
    assert lt.neg(lt.tensor([low])).item() == low


@pytest.mark.parametrize("name", ["abs", "neg", "sign", "square", "floor", "ceil", "round", "trunc", "relu"])
def test_integers_stay_integers(name: str) -> None:
    for dtype in ("int64", "int32"):
        a = np.array([-3, 0, 5], dtype)
        assert_same(getattr(lt, name)(lt.tensor(a)), getattr(torch, name)(torch.tensor(a)), what=name)


@pytest.mark.parametrize(
    "name", ["exp", "sqrt", "sin", "sigmoid", "tanh", "log1p", "reciprocal", "erf", "rsqrt", "atan"]
)
def test_float_functions_of_integers_give_the_default_float(name: str) -> None:
    for dtype in ("int64", "int32", "uint8", "bool"):
        a = np.array([1, 2, 5]).astype(dtype)
        assert_same(
            getattr(lt, name)(lt.tensor(a)), getattr(torch, name)(torch.tensor(a)), what=f"{name} {dtype}"
        )


@pytest.mark.parametrize(
    "name", ["bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift"]
)
def test_bits_agree_with_pytorch(name: str) -> None:
    for dtype in ("int64", "int32", "uint8"):
        x, y = np.array([5, 12, 255 if dtype == "uint8" else -1, 7], dtype), np.array([3, 2, 1, 0], dtype)
        assert_same(
            getattr(lt, name)(lt.tensor(x), lt.tensor(y)),
            getattr(torch, name)(torch.tensor(x), torch.tensor(y)),
        )
    if "shift" not in name:
        x, y = np.array([True, True, False]), np.array([True, False, False])
        assert_same(
            getattr(lt, name)(lt.tensor(x), lt.tensor(y)),
            getattr(torch, name)(torch.tensor(x), torch.tensor(y)),
        )
    with pytest.raises(TypeError, match=name):
        getattr(lt, name)(lt.ones(2), lt.ones(2))


def test_not_of_bools_and_of_integers() -> None:
    for a in (np.array([True, False]), np.array([0, 1, -5]), np.array([0, 255], np.uint8)):
        assert_same(lt.bitwise_not(lt.tensor(a)), torch.bitwise_not(torch.tensor(a)))
        assert_same(lt.logical_not(lt.tensor(a)), torch.logical_not(torch.tensor(a)))
    with pytest.raises(TypeError, match="bitwise_not"):
        ~lt.ones(2)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, -2, 0.5, 2.5, -0.5, 0.0])
def test_powers_with_a_number_agree_in_value_and_gradient(exponent: float) -> None:
    check_op(
        lambda x: x**exponent, lambda x: x**exponent, [(3, 4)], low=0.3, high=2, gradgradcheck=exponent != 0
    )
    if isinstance(exponent, int):
        check_op(lambda x: x**exponent, lambda x: x**exponent, [(3, 4)], low=-2, high=-0.3)


@pytest.mark.parametrize("base", [2, 2.0, 0.5, 1])
def test_a_number_to_the_power_of_a_tensor_agrees(base: float) -> None:
    check_op(lambda x: base**x, lambda x: base**x, [(3, 4)], gradgradcheck=True)


def test_gradients_of_powers_at_zero_are_pytorchs() -> None:
    for y in (0.0, 1.0, 2.0, 3.0):
        ours = lt.tensor([0.0, 2.0], requires_grad=True), lt.full((2,), y, requires_grad=True)
        theirs = torch.tensor([0.0, 2.0], requires_grad=True), torch.full((2,), y, requires_grad=True)
        lt.pow(*ours).sum().backward()
        torch.pow(*theirs).sum().backward()
        for a, b in zip(ours, theirs, strict=True):
            assert_same(a.grad, b.grad, what=f"0 ** {y}")


@pytest.mark.parametrize("name", ["maximum", "minimum", "amax", "amin"])
def test_ties_share_the_gradient(name: str) -> None:
    if name.startswith("a"):
        x, y = lt.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], requires_grad=True), None
        tx = torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], requires_grad=True)
        getattr(lt, name)(x, 1).sum().backward()
        getattr(torch, name)(tx, 1).sum().backward()
    else:
        x, y = lt.tensor([1.0, 2.0], requires_grad=True), lt.tensor([1.0, 3.0], requires_grad=True)
        tx, ty = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([1.0, 3.0], requires_grad=True)
        getattr(lt, name)(x, y).sum().backward()
        getattr(torch, name)(tx, ty).sum().backward()
        assert_same(y.grad, ty.grad)
    assert_same(x.grad, tx.grad)


CLAMPS: list[tuple[Any, Any]] = [(-0.5, 0.5), (None, 0.5), (-0.5, None), (0.5, -0.5), (0, 1)]


@pytest.mark.parametrize(("low", "high"), CLAMPS)
def test_clamp_agrees_with_pytorch(low: Any, high: Any) -> None:
    check_op(lambda x: lt.clamp(x, low, high), lambda x: torch.clamp(x, low, high), [(4, 5)])
    assert_same(lt.tensor([-3, 0, 3]).clamp(low, high), torch.tensor([-3, 0, 3]).clamp(low, high))


def test_clamp_takes_tensors_as_limits() -> None:
    check_op(
        lambda x, a, b: lt.clamp(x, a, b + 2),
        lambda x, a, b: torch.clamp(x, a, b + 2),
        [(3, 4), (4,), (3, 1)],
    )
    check_op(lambda x, a: lt.clamp(x, max=a), lambda x, a: torch.clamp(x, max=a), [(3, 4), (3, 4)])
    with pytest.raises(ValueError, match="clamp"):
        lt.clamp(lt.ones(2))


def test_clamp_keeps_nan() -> None:
    assert_same(
        lt.clamp(lt.tensor([NAN, INF, -INF]), -1, 1), torch.clamp(torch.tensor([NAN, INF, -INF]), -1, 1)
    )


def test_where_agrees_in_values_and_gradients() -> None:
    mask = sample((3, 4), "bool")
    m, tm = lt.tensor(mask), torch.tensor(mask)
    check_op(
        lambda x, y: lt.where(m, x, y), lambda x, y: torch.where(tm, x, y), [(3, 4), (3, 4)], edges=False
    )
    check_op(lambda x, y: lt.where(m, x, y), lambda x, y: torch.where(tm, x, y), [(4,), (3, 1)], edges=False)
    check_op(lambda x: lt.where(m, x, 1.5), lambda x: torch.where(tm, x, 1.5), [(3, 4)], edges=False)
    check_op(lambda x: lt.where(m, 2, x), lambda x: torch.where(tm, 2, x), [(3, 4)], edges=False)
    check_op(lambda x: x.where(m, -x), lambda x: x.where(tm, -x), [(3, 4)], edges=False)
    with pytest.raises(TypeError, match="where"):
        lt.where(lt.ones(2), lt.ones(2), lt.ones(2))


def test_a_condition_stops_the_gradient_of_a_nan_branch() -> None:
    x = lt.tensor([0.0, 1.0], requires_grad=True)
    lt.where(x > 0, x, lt.zeros(2)).sum().backward()
    assert x.grad.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("value", [1, 0.5, -2])
def test_fused_products_agree_with_pytorch(value: float) -> None:
    shapes = [(3, 4), (3, 4), (4,)]
    check_op(
        lambda x, a, b: lt.addcmul(x, a, b, value=value),
        lambda x, a, b: torch.addcmul(x, a, b, value=value),
        shapes,
    )
    check_op(
        lambda x, a, b: lt.addcdiv(x, a, b, value=value), lambda x, a, b: torch.addcdiv(x, a, b, value=value),
        shapes, low=0.5,
    )  # fmt: skip
    check_op(lambda x, y: lt.add(x, y, alpha=value), lambda x, y: torch.add(x, y, alpha=value), shapes[:2])
    check_op(lambda x, y: lt.sub(x, y, alpha=value), lambda x, y: torch.sub(x, y, alpha=value), shapes[:2])
    check_op(lambda x, y: lt.lerp(x, y, value), lambda x, y: torch.lerp(x, y, value), shapes[:2])
    check_op(lt.lerp, torch.lerp, shapes)


def test_the_rest_of_the_pointwise_functions_agree() -> None:
    a = np.array([0.0, NAN, INF, -INF, 2.0], np.float32)
    b = np.array([0.0, NAN, INF, INF, 2.0 + 1e-6], np.float32)
    t = lt.tensor(a), lt.tensor(b), torch.tensor(a), torch.tensor(b)
    assert_same(lt.nan_to_num(t[0]), torch.nan_to_num(t[2]))
    assert_same(lt.nan_to_num(t[0], 1.0, 5.0, -5.0), torch.nan_to_num(t[2], 1.0, 5.0, -5.0))
    for equal_nan in (False, True):
        assert_same(lt.isclose(*t[:2], equal_nan=equal_nan), torch.isclose(*t[2:], equal_nan=equal_nan))
    assert lt.allclose(t[0], t[0], equal_nan=True)
    assert not lt.allclose(t[0], t[0])
    assert lt.equal(lt.ones(3), lt.ones(3))
    assert not lt.equal(t[0], t[0])
    assert_same(lt.float_power(lt.tensor([1, 2]), 3), torch.float_power(torch.tensor([1, 2]), 3))
    zero = np.array([0.0, 0.0, 1.0, 0.0], np.float32), np.array([0.0, NAN, 0.0, 1.0], np.float32)
    assert_same(lt.xlogy(*map(lt.tensor, zero)), torch.xlogy(*map(torch.tensor, zero)))


OPERATORS = {
    "add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y, "div": lambda x, y: x / y,
    "floordiv": lambda x, y: x // y, "mod": lambda x, y: x % y, "pow": lambda x, y: x**y, "eq": lambda x, y: x == y,
    "ne": lambda x, y: x != y, "lt": lambda x, y: x < y, "le": lambda x, y: x <= y, "gt": lambda x, y: x > y,
    "ge": lambda x, y: x >= y,
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("number", [2, 2.5, 3])
def test_operators_take_numbers_on_both_sides(name: str, number: float) -> None:
    f = OPERATORS[name]
    for dtype in ("float32", "float64", "int64", "int32"):
        a = sample((3, 4), dtype, 1, 5)
        assert_same(f(lt.tensor(a), number), f(torch.tensor(a), number), what=f"{name} {dtype} right")
        assert_same(f(number, lt.tensor(a)), f(number, torch.tensor(a)), what=f"{name} {dtype} left")


@st.composite
def _broadcastable(draw: st.DrawFn) -> tuple[list[tuple[int, ...]], int]:
    full = draw(st.lists(st.integers(0, 4), max_size=4))
    shapes = []
    for _ in range(2):
        keep = draw(st.integers(0, len(full)))
        shapes.append(tuple(1 if draw(st.booleans()) else d for d in full[len(full) - keep :]))
    return shapes, draw(st.integers(0, 2**31))


def _strided(a: np.ndarray, code: int) -> np.ndarray:
    """The same values in a memory layout chosen by the bits of ``code``."""
    axes = np.random.RandomState(code % 2**31).permutation(a.ndim)
    steps = [[1, -1, 2, -2, 3][(code >> (3 * axis)) % 5] for axis in range(a.ndim)]
    big = np.zeros([a.shape[i] * abs(steps[i]) for i in axes], a.dtype).transpose(np.argsort(axes))
    view = big[(*(slice(None, None, s) for s in steps), ...)][(*(slice(0, d) for d in a.shape), ...)]
    view[...] = a
    return view


@given(
    _broadcastable(),
    st.sampled_from(["add", "mul", "maximum", "lt", "where", "pow"]),
    st.sampled_from(["float32", "float64", "int64"]),
)
def test_any_broadcast_of_any_strides_is_numpys(case: Any, name: str, dtype: str) -> None:
    (first, second), code = case
    x, y = (
        _strided(sample(first, dtype, 0, 3, code), code),
        _strided(sample(second, dtype, 0, 3, code + 1), code >> 5),
    )
    a, b = lt.from_numpy(x), lt.from_numpy(y)
    want = {
        "add": lambda: x + y, "mul": lambda: x * y, "maximum": lambda: np.maximum(x, y), "lt": lambda: x < y,
        "where": lambda: np.where(x > 1, x, y), "pow": lambda: x**y,
    }[name]()  # fmt: skip
    got = lt.where(a > 1, a, b) if name == "where" else getattr(lt, name)(a, b)
    assert got.shape == want.shape
    np.testing.assert_allclose(got.numpy(), want, rtol=3e-5)


@pytest.mark.parametrize("name", ["add", "mul", "div", "maximum", "atan2", "eq", "logical_and"])
def test_shapes_that_do_not_broadcast_are_an_error_that_names_the_operation(name: str) -> None:
    with pytest.raises(lt.ShapeError, match=rf"{name}.*\[2, 3\].*\[2, 4\]"):
        getattr(lt, name)(lt.ones(2, 3), lt.ones(2, 4))


@pytest.mark.parametrize("bad", ["text", None, [1.0], object(), 1j])
@pytest.mark.parametrize("name", ["add", "mul", "pow", "maximum", "lt"])
def test_operands_of_other_types_are_a_type_error(name: str, bad: object) -> None:
    with pytest.raises(TypeError):
        getattr(lt, name)(lt.ones(2), bad)


def test_integers_too_large_for_int64_are_refused() -> None:
    with pytest.raises(OverflowError, match="int64"):
        lt.ones(2) + 2**70


def test_addcmul_keeps_only_the_factors_that_a_gradient_needs() -> None:
    x, a, b = lt.ones(3, requires_grad=True), lt.ones(3), lt.ones(3)
    y = lt.addcmul(x, a, b)
    a.add_(1.0)
    b.add_(1.0)
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 1.0]


def test_lerp_and_addcmul_name_the_argument_that_is_no_tensor() -> None:
    x: Any = lt.ones(2)
    with pytest.raises(TypeError, match="lerp: end must be a Tensor, got float"):
        lt.lerp(x, 2.0, 0.5)
    with pytest.raises(TypeError, match="lerp: input must be a Tensor, got ndarray"):
        lt.lerp(np.ones(2, np.float32), x, 0.5)
    with pytest.raises(TypeError, match="addcmul: tensor2 must be a Tensor, got float"):
        lt.addcmul(x, x, 2.0)
