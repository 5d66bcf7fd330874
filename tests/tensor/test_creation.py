"""Functions that make tensors, against PyTorch's; what they refuse."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from helpers import assert_same, require_torch

torch = require_torch()

CALLS: dict[str, Any] = {
    "zeros": lambda m: m.zeros(2, 3), "zeros of a tuple": lambda m: m.zeros((2, 3)), "zeros without axes": lambda m: m.zeros(()),
    "ones": lambda m: m.ones(2, 0, 3), "full": lambda m: m.full((2,), 3.5), "full of ints": lambda m: m.full((2,), 3),
    "full of bools": lambda m: m.full((2,), True), "arange": lambda m: m.arange(5), "arange of floats": lambda m: m.arange(0, 1, 0.25),
    "arange down": lambda m: m.arange(5, 0, -2), "arange of nothing": lambda m: m.arange(3, 3), "linspace": lambda m: m.linspace(-1, 1, 7),
    "linspace of one": lambda m: m.linspace(2, 5, 1), "linspace of none": lambda m: m.linspace(2, 5, 0), "logspace": lambda m: m.logspace(-1, 2, 4),
    "logspace base 2": lambda m: m.logspace(0, 3, 4, 2.0), "eye": lambda m: m.eye(3), "eye wide": lambda m: m.eye(2, 4), "eye of none": lambda m: m.eye(0),
    "zeros_like": lambda m: m.zeros_like(m.ones(2, 3, dtype=m.int32)), "ones_like": lambda m: m.ones_like(m.zeros(2)),
    "full_like": lambda m: m.full_like(m.zeros(2), 7), "tensor": lambda m: m.tensor([[1, 2], [3, 4]]), "tensor of floats": lambda m: m.tensor([1, 2.5]),
    "tensor of bools": lambda m: m.tensor([True, False]), "tensor of a number": lambda m: m.tensor(3), "tensor of nothing": lambda m: m.tensor([]),
    "tensor of empty rows": lambda m: m.tensor([[], []]), "bools and ints": lambda m: m.tensor([True, 2]), "tuples": lambda m: m.tensor(((1, 2), (3, 4))),
    "numpy": lambda m: m.tensor(np.arange(3, dtype=np.int16)), "numpy scalar": lambda m: m.tensor(np.float64(2.5)), "list of numpy": lambda m: m.tensor([np.float32(1), np.float32(2)]),
    "list of arrays": lambda m: m.tensor(np.array([np.arange(2), np.arange(2)])), "as_tensor": lambda m: m.as_tensor([1, 2]), "new_zeros": lambda m: m.ones(2, dtype=m.float64).new_zeros(3),
    "new_ones": lambda m: m.ones(2, dtype=m.int64).new_ones((2, 2)), "new_full": lambda m: m.ones(2).new_full((2,), 5), "new_tensor": lambda m: m.ones(2, dtype=m.float64).new_tensor([1, 2]),
    "large ints": lambda m: m.tensor([2**62, -(2**63)]), "list of tensors": lambda m: m.tensor([m.tensor(1), m.tensor(2)]),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_created_tensor_is_pytorchs(name: str) -> None:
    assert_same(CALLS[name](lt), CALLS[name](torch), rtol=1e-6, atol=1e-7, what=name)


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "int64", "int32", "uint8", "bool", "float16", "bfloat16", "int8", "int16"]
)
def test_every_creation_function_takes_dtype_device_and_requires_grad(dtype: str) -> None:
    d, t = getattr(lt, dtype), getattr(torch, dtype)
    calls = [
        lambda m, **k: m.zeros(2, **k), lambda m, **k: m.ones(2, **k), lambda m, **k: m.full((2,), 1, **k), lambda m, **k: m.tensor([1, 0], **k),
        lambda m, **k: m.zeros_like(m.ones(2), **k), lambda m, **k: m.ones_like(m.zeros(2), **k), lambda m, **k: m.full_like(m.zeros(2), 1, **k),
    ]  # fmt: skip
    if dtype != "bool":
        calls += [lambda m, **k: m.arange(3, **k), lambda m, **k: m.eye(2, **k)]
    for f in calls:
        assert_same(f(lt, dtype=d, device="cpu"), f(torch, dtype=t, device="cpu"))
        if d.is_floating_point:
            made = f(lt, dtype=d, requires_grad=True)
            assert made.requires_grad
            assert made.is_leaf
        else:
            with pytest.raises(RuntimeError, match="requires_grad"):
                f(lt, dtype=d, requires_grad=True)
    for f in (lt.empty, lt.rand, lt.randn):
        if f is lt.empty or d in (lt.float32, lt.float64):
            assert f(2, 3, dtype=d, device=lt.device("cpu")).dtype == d


def test_tensor_copies_and_as_tensor_shares() -> None:
    a = np.zeros(3, np.float32)
    copied, shared = lt.tensor(a), lt.as_tensor(a)
    a[0] = 5
    assert copied[0].item() == 0
    assert shared[0].item() == 5
    t = lt.ones(2, requires_grad=True)
    assert lt.as_tensor(t) is t
    again = lt.tensor(t)
    assert not again.requires_grad
    assert again.data_ptr() != t.data_ptr()


ERRORS: list[tuple[Any, type[Exception], str]] = [
    (lambda: lt.tensor([[1, 2], [3]]), lt.ShapeError, "tensor.*length"),
    (lambda: lt.tensor([1, [2]]), lt.ShapeError, "tensor"),
    (lambda: lt.tensor("abc"), TypeError, "tensor.*str"),
    (lambda: lt.tensor(["a"]), TypeError, "tensor.*str"),
    (lambda: lt.tensor([None]), TypeError, "tensor.*None"),
    (lambda: lt.tensor({1, 2}), TypeError, "tensor.*set"),
    (lambda: lt.tensor(1 + 2j), TypeError, "tensor.*complex"),
    (lambda: lt.tensor([2**63]), OverflowError, "int64"),
    (lambda: lt.tensor(2**63), OverflowError, "int64"),
    (lambda: lt.tensor([1, 2], dtype="float32"), TypeError, "dtype"),
    (lambda: lt.tensor([1, 2], device="cuda"), RuntimeError, "cuda"),
    (lambda: lt.tensor([1, 2], device="tpu"), RuntimeError, "tpu"),
    (lambda: lt.tensor([1, 2], device=3), TypeError, "device"),
    (lambda: lt.tensor([1, 2], requires_grad=True), RuntimeError, "requires_grad"),
    (lambda: lt.tensor(np.array(["a"])), TypeError, "from_numpy|tensor"),
    (lambda: lt.tensor(np.array([1j])), TypeError, "from_numpy|tensor"),
    (lambda: lt.zeros(-1), ValueError, "zeros.*-1"),
    (lambda: lt.ones(2, -3), ValueError, "-3"),
    (lambda: lt.empty(-2), ValueError, "empty.*-2"),
    (lambda: lt.full((-2,), 0), ValueError, "full.*-2"),
    (lambda: lt.rand(-2), ValueError, "-2"),
    (lambda: lt.randn(-2), ValueError, "-2"),
    (lambda: lt.zeros(2.5), TypeError, "zeros"),
    (lambda: lt.zeros("2"), TypeError, "zeros"),
    (lambda: lt.zeros(2, None), TypeError, "zeros"),
    (lambda: lt.zeros(2**62, 2**62), (MemoryError, ValueError, RuntimeError), "zeros"),
    (lambda: lt.empty(2**61), (MemoryError, ValueError, RuntimeError), "empty"),
    (lambda: lt.ones(2**45), MemoryError, "could not allocate"),
    (lambda: lt.zeros(2**64), (OverflowError, ValueError, MemoryError), ""),
    (lambda: lt.full((2,), "a"), TypeError, "number"),
    (lambda: lt.full((2,), 2**70), OverflowError, "int64"),
    (lambda: lt.arange(0, 5, 0), ValueError, "arange.*step"),
    (lambda: lt.arange(0, 5, -1), ValueError, "arange"),
    (lambda: lt.arange(0, float("inf")), ValueError, "arange"),
    (lambda: lt.arange(0, float("nan")), ValueError, "arange"),
    (lambda: lt.arange(0, 2**62), (ValueError, MemoryError, RuntimeError), "arange"),
    (lambda: lt.arange(0, 1e30), (ValueError, MemoryError, RuntimeError), "arange"),
    (lambda: lt.arange("5"), TypeError, "number"),
    (lambda: lt.linspace(0, 1, -1), ValueError, "linspace.*-1"),
    (lambda: lt.linspace(0, 1, 2**62), (ValueError, MemoryError, RuntimeError), "linspace"),
    (lambda: lt.logspace(0, 1, -1), ValueError, "-1"),
    (lambda: lt.eye(-1), ValueError, "eye.*-1"),
    (lambda: lt.eye(2**40), (ValueError, MemoryError, RuntimeError), "eye"),
    (lambda: lt.randint(5, 5, (2,)), ValueError, "randint"),
    (lambda: lt.randint(5, 2, (2,)), ValueError, "randint"),
    (lambda: lt.randint(0, 300, (2,), dtype=lt.uint8), (ValueError, RuntimeError), "randint"),
    (lambda: lt.randperm(-1), ValueError, "randperm"),
    (lambda: lt.rand(2, dtype=lt.int64), TypeError, "rand|uniform"),
    (lambda: lt.randn(2, dtype=lt.int64), TypeError, "randn|normal"),
    (lambda: lt.normal(0.0, -1.0, (2,)), ValueError, "normal"),
    (lambda: lt.bernoulli(lt.tensor([1.5])), ValueError, "bernoulli"),
    (lambda: lt.bernoulli(lt.tensor([float("nan")])), ValueError, "bernoulli"),
    (lambda: lt.multinomial(lt.ones(3), 4), (ValueError, RuntimeError), "multinomial"),
    (lambda: lt.multinomial(lt.zeros(3), 1), (ValueError, RuntimeError), "multinomial"),
    (lambda: lt.multinomial(lt.tensor([-1.0, 2.0]), 1), (ValueError, RuntimeError), "multinomial"),
    (lambda: lt.multinomial(lt.ones(3), 0), (ValueError, RuntimeError), "multinomial"),
    (lambda: lt.from_numpy([1, 2]), TypeError, "from_numpy.*list"),
    (lambda: lt.Generator("cuda"), RuntimeError, "cuda"),
    (lambda: lt.manual_seed("a"), TypeError, "manual_seed"),
    (lambda: lt.manual_seed(1.5), TypeError, "manual_seed"),
    (lambda: lt.set_rng_state(lt.ones(3)), ValueError, "state"),
    (lambda: lt.set_num_threads(0), ValueError, "set_num_threads"),
    (lambda: lt.set_num_threads(10**6), ValueError, "set_num_threads"),
    (lambda: lt.set_printoptions(precision=-1), ValueError, "precision"),
    (lambda: lt.dtype("float31"), TypeError, "float31"),
    (lambda: lt.memory.trim(-1), ValueError, "trim"),
]


@pytest.mark.parametrize("case", range(len(ERRORS)))
def test_what_cannot_be_made_is_a_clear_error(case: int) -> None:
    call, kind, text = ERRORS[case]
    with pytest.raises(kind, match=text):
        call()


def test_python_types_are_dtypes_too() -> None:
    # As in PyTorch, Python's own float is float64 whatever the default is.
    for kind, want in ((float, lt.float64), (int, lt.int64), (bool, lt.bool)):
        assert lt.zeros(1, dtype=kind).dtype == want


def test_constructors_of_the_class_itself_are_pytorchs_old_ones() -> None:
    assert lt.Tensor(2, 3).shape == (2, 3)
    assert lt.Tensor([1, 2]).dtype == lt.float32
    assert lt.Tensor([1, 2]).tolist() == [1.0, 2.0]


def test_dtypes_know_their_name_size_and_kind() -> None:
    for name, size, floating in (
        ("float64", 8, True),
        ("bfloat16", 2, True),
        ("uint8", 1, False),
        ("bool", 1, False),
    ):
        d = getattr(lt, name)
        assert (d.itemsize, d.is_floating_point, repr(d)) == (size, floating, f"lectorium.{name}")
    assert (lt.float, lt.double, lt.half, lt.long, lt.int, lt.short) == (
        lt.float32,
        lt.float64,
        lt.float16,
        lt.int64,
        lt.int32,
        lt.int16,
    )


def test_devices_compare_print_and_hash() -> None:
    assert lt.device("cpu") == lt.device("cpu:0") == lt.device(lt.device("cpu"))
    assert lt.device("cpu") != lt.device("gpu")
    assert str(lt.device("gpu:0")) == "gpu"
    assert len({lt.device("cpu"), lt.device("cpu")}) == 1
    for bad in ("cpu:1", "gpu:x", "", "mps"):
        with pytest.raises(RuntimeError, match="device"):
            lt.device(bad)


def test_zero_sizes_are_fine_everywhere() -> None:
    for shape in itertools.product((0, 2), repeat=2):
        for f in (lt.zeros, lt.ones, lt.empty, lt.rand, lt.randn):
            assert f(*shape).shape == shape
        x = lt.ones(*shape)
        for g in (
            lt.exp,
            lt.neg,
            lambda t: t + t,
            lambda t: t.T,
            lambda t: t.clone(),
            lambda t: t.double(),
            lambda t: t.flatten(),
        ):
            assert g(x).numel() == x.numel()
        assert x.tolist() == np.ones(shape).tolist()
