"""The table of dtypes: what two operands compute in, as PyTorch's."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from helpers import dtype_name, require_torch, to_numpy

torch = require_torch()
COMPUTE = ["float32", "float64", "int64", "int32", "uint8", "bool"]
STORED = ["float16", "bfloat16", "int8", "int16"]
ALL = [*COMPUTE, *STORED]
OPERATIONS = ["add", "mul", "div", "pow", "eq", "lt", "where", "maximum", "floor_divide", "remainder", "sub"]
NUMBERS: list[Any] = [True, 2, 2.5]


def _pair(kind: str, dtype: str) -> tuple[Any, Any]:
    values = [1, 2, 1] if kind == "tensor" else 2
    return lt.tensor(values, dtype=getattr(lt, dtype)), torch.tensor(values, dtype=getattr(torch, dtype))


def _call(library: Any, name: str, x: Any, y: Any) -> Any:
    if name == "where":
        return library.where(library.tensor([True, False, True]), x, y)
    return getattr(library, name)(x, y)


def _check(name: str, ours: tuple[Any, Any], theirs: tuple[Any, Any]) -> None:
    try:
        want = _call(torch, name, *theirs)
    except (RuntimeError, TypeError):
        with pytest.raises((RuntimeError, TypeError), match=name):
            _call(lt, name, *ours)
        return
    got = _call(lt, name, *ours)
    assert dtype_name(got) == dtype_name(want), f"{name}{theirs}: {got.dtype} instead of {want.dtype}"
    np.testing.assert_allclose(to_numpy(got).astype("float64"), to_numpy(want).astype("float64"), rtol=1e-6)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(("first", "second"), itertools.product(COMPUTE, COMPUTE))
def test_two_tensors_compute_in_pytorchs_dtype(name: str, first: str, second: str) -> None:
    if name == "sub" and "bool" in (first, second) and first != second:
        pytest.skip("PyTorch refuses to subtract bools; here a bool counts as 0 or 1")
    for kinds in itertools.product(("tensor", "0-dim"), repeat=2):
        a, b = _pair(kinds[0], first), _pair(kinds[1], second)
        _check(name, (a[0], b[0]), (a[1], b[1]))


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "maximum"])
@pytest.mark.parametrize("dtype", COMPUTE)
def test_a_tensor_and_a_number_compute_in_pytorchs_dtype(name: str, dtype: str) -> None:
    for kind, number in itertools.product(("tensor", "0-dim"), NUMBERS):
        if (name == "sub" and (number is True or dtype == "bool")) or (
            name == "pow" and (number is True and dtype == "bool")
        ):
            continue  # PyTorch refuses to subtract bools; we refuse powers of bools
        ours, theirs = _pair(kind, dtype)
        _check(name, (ours, number), (theirs, number))
        if name not in ("floor_divide", "maximum", "eq", "lt", "add", "sub", "mul", "div"):
            _check(name, (number, ours), (number, theirs))


@pytest.mark.parametrize(("first", "second"), itertools.product(ALL, ALL))
def test_promote_types_and_result_type_are_pytorchs(first: str, second: str) -> None:
    want = str(torch.promote_types(getattr(torch, first), getattr(torch, second))).removeprefix("torch.")
    assert lt.promote_types(getattr(lt, first), getattr(lt, second)).name == want
    for kinds in itertools.product(("tensor", "0-dim"), repeat=2):
        a, b = _pair(kinds[0], first), _pair(kinds[1], second)
        assert lt.result_type(a[0], b[0]).name == dtype_name_of(torch.result_type(a[1], b[1]))
    for kind, number in itertools.product(("tensor", "0-dim"), NUMBERS):
        ours, theirs = _pair(kind, first)
        assert lt.result_type(ours, number).name == dtype_name_of(torch.result_type(theirs, number))
        assert lt.result_type(number, ours).name == dtype_name_of(torch.result_type(number, theirs))


def dtype_name_of(d: Any) -> str:
    return str(d).removeprefix("torch.")


@pytest.mark.parametrize("dtype", STORED)
@pytest.mark.parametrize(
    "name", ["add", "mul", "exp", "sum", "matmul", "maximum", "sort", "cumsum", "softmax"]
)
def test_storage_types_compute_rightly_or_say_to_cast_first(dtype: str, name: str) -> None:
    x = lt.tensor([[1, 2], [3, 4]], dtype=getattr(lt, dtype))
    t = torch.tensor([[1, 2], [3, 4]], dtype=getattr(torch, dtype))
    more = {"add": 1, "mul": 1, "matmul": 1, "maximum": 1}.get(name, 0)
    tail = (1,) if name in ("cumsum", "softmax") else ()
    got, said = None, ""
    try:
        got = getattr(lt, name)(x, *[x] * more, *tail)
    except TypeError as error:
        said = str(error)
    if said:
        assert name in said
        assert dtype in said
    else:
        want = getattr(torch, name)(t, *[t] * more, *tail)
        for a, b in zip(
            got if isinstance(got, tuple) else [got], want if isinstance(want, tuple) else [want], strict=True
        ):
            assert dtype_name(a) == dtype_name(b)
            np.testing.assert_allclose(
                to_numpy(a).astype("float64"), to_numpy(b).astype("float64"), rtol=2e-2
            )


@pytest.mark.parametrize(("source", "target"), itertools.product(ALL, ALL))
def test_every_cast_gives_pytorchs_values(source: str, target: str) -> None:
    values = (
        [0.0, 1.0, -1.0, 1.5, -2.75, 100.25, 127.0, 200.0]
        if source not in ("uint8", "bool")
        else [0, 1, 2, 255]
    )
    if target == "uint8":  # negative floats to unsigned are undefined in C; PyTorch differs between builds
        values = [v for v in values if v >= 0]
    if target == "int8" or source == "int8":
        values = [v for v in values if -128 <= v <= 127]
    theirs = torch.tensor(values, dtype=torch.float64).to(getattr(torch, source))
    ours = lt.tensor(values, dtype=lt.float64).to(getattr(lt, source))
    np.testing.assert_array_equal(
        to_numpy(ours.to(getattr(lt, target))), to_numpy(theirs.to(getattr(torch, target)))
    )


def test_casts_round_halves_to_even_keep_nan_and_overflow_to_infinity() -> None:
    values = [
        1.0 + 2**-11,
        1.0 + 3 * 2**-11,
        65519.0,
        65520.0,
        1e30,
        -1e30,
        float("nan"),
        float("inf"),
        6e-8,
        1e-9,
        -0.0,
    ]
    for name in ("float16", "bfloat16"):
        for source in ("float32", "float64"):
            ours = lt.tensor(values, dtype=getattr(lt, source)).to(getattr(lt, name))
            theirs = torch.tensor(values, dtype=getattr(torch, source)).to(getattr(torch, name))
            np.testing.assert_array_equal(to_numpy(ours), to_numpy(theirs), err_msg=f"{source} to {name}")


def test_all_sixteen_bit_patterns_survive_the_way_through_float32() -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    half = lt.from_numpy(bits.view(np.float16))
    back = half.float().half().numpy()
    same = (back.view(np.uint16) == bits) | (np.isnan(back) & np.isnan(bits.view(np.float16)))
    assert same.all()
    np.testing.assert_array_equal(half.float().numpy(), bits.view(np.float16).astype(np.float32))


def test_the_default_dtype_decides_what_floats_become() -> None:
    lt.set_default_dtype(lt.float64)
    assert lt.tensor(1.5).dtype == lt.float64
    assert lt.zeros(1).dtype == lt.float64
    assert (lt.tensor([1]) / 2).dtype == lt.float64
    lt.set_default_dtype(lt.float32)
    assert (lt.tensor([1]) * 2.5).dtype == lt.float32
    with pytest.raises(TypeError, match="set_default_dtype"):
        lt.set_default_dtype(lt.int64)


def test_an_in_place_result_keeps_the_dtype_or_is_refused() -> None:
    x = lt.ones(2)
    x += lt.ones(2, dtype=lt.float64)
    assert x.dtype == lt.float32
    i = lt.tensor([1, 2])
    i += 2
    assert i.tolist() == [3, 4]
    with pytest.raises((TypeError, RuntimeError), match="add"):
        i += 0.5
    with pytest.raises((TypeError, RuntimeError), match="div"):
        i /= 2
