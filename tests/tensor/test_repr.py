"""A printed tensor looks as PyTorch's, letter by letter."""

from __future__ import annotations

from typing import Any

import pytest

import lectorium as lt
from helpers import require_torch

torch = require_torch()
NAN, INF = float("nan"), float("inf")

CASES: list[Any] = [
    lambda m: m.tensor(3), lambda m: m.tensor(2.5), lambda m: m.tensor(3.0), lambda m: m.tensor(True), lambda m: m.tensor(1e-8), lambda m: m.tensor(1e10),
    lambda m: m.tensor([1, 2, 3]), lambda m: m.tensor([1.0, 2.0]), lambda m: m.tensor([1.5, 2.0]), lambda m: m.tensor([0.1, 100.0]), lambda m: m.tensor([0.0001, 1.0]),
    lambda m: m.tensor([1e-5, 1.0]), lambda m: m.tensor([1e5, 1.5]), lambda m: m.tensor([1e9, 1.0]), lambda m: m.tensor([123456.0, 1.0]), lambda m: m.tensor([-1.5, 2.0]),
    lambda m: m.tensor([NAN, 1.0]), lambda m: m.tensor([INF, -INF]), lambda m: m.tensor([NAN, 1.5, INF]), lambda m: m.tensor([NAN, NAN]), lambda m: m.tensor([0.0, -0.0]),
    lambda m: m.tensor([True, False]), lambda m: m.tensor([[True], [False]]), lambda m: m.tensor([]), lambda m: m.zeros(0, 3), lambda m: m.zeros(0, dtype=m.int64), lambda m: m.zeros(2, 0, dtype=m.float64),
    lambda m: m.zeros(2, 3), lambda m: m.arange(24).reshape(2, 3, 4), lambda m: m.arange(24.0).reshape(2, 3, 4) / 7, lambda m: m.arange(16).reshape(2, 2, 2, 2),
    lambda m: m.arange(2000), lambda m: m.arange(2000.0).reshape(40, 50), lambda m: m.arange(3000).reshape(10, 3, 100), lambda m: m.arange(1001) / 3, lambda m: m.zeros(1000), lambda m: m.zeros(1001),
    lambda m: m.arange(30), lambda m: m.arange(30.0) / 3, lambda m: m.arange(40).reshape(1, 40), lambda m: -m.arange(100), lambda m: m.arange(100.0).reshape(2, 50),
    lambda m: m.ones(2, dtype=m.float64), lambda m: m.ones(2, dtype=m.int32), lambda m: m.ones(2, dtype=m.uint8), lambda m: m.ones(2, dtype=m.float16), lambda m: m.tensor([1.5], dtype=m.bfloat16),
    lambda m: m.ones(2, dtype=m.int8), lambda m: m.ones(2, 2, dtype=m.int16), lambda m: m.ones(2, requires_grad=True), lambda m: m.ones(2, dtype=m.float64, requires_grad=True), lambda m: m.ones((), requires_grad=True),
    lambda m: m.arange(12)[::3], lambda m: m.arange(12).reshape(3, 4).T, lambda m: m.ones(3, 1).expand(3, 4), lambda m: m.tensor([1e-40, 1.0], dtype=m.float64), lambda m: m.tensor([[1e-10, 1.0], [2.0, 3e10]]),
    lambda m: m.tensor([2**62, -(2**63)]), lambda m: m.zeros(20, 20), lambda m: m.zeros(100, 100), lambda m: m.zeros(5, 300), lambda m: m.zeros(300, 5), lambda m: m.arange(1200).reshape(2, 2, 300),
    lambda m: m.ones(11, dtype=m.float64, requires_grad=True), lambda m: m.tensor([0.5, 1e-7, 3.0]), lambda m: m.tensor([99999.0, 0.5]), lambda m: m.tensor([1e8, 2e8]), lambda m: m.tensor([1.1e8, 2e8]),
    lambda m: m.zeros(1, 1, 1), lambda m: m.tensor([[[]]]), lambda m: m.tensor([3.14159265, 2.71828]), lambda m: m.tensor(3.14159265, dtype=m.float64), lambda m: m.tensor(NAN), lambda m: m.tensor(-INF),
    lambda m: m.tensor([1.0, 1000.0]), lambda m: m.tensor([1.0, 1001.5]), lambda m: m.full((3,), 1e-4), lambda m: m.full((3,), 9e-5), lambda m: m.tensor([1.00004, 2.0]), lambda m: m.zeros(2, 3, 0),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(CASES)))
def test_a_tensor_prints_as_in_pytorch(case: int) -> None:
    make = CASES[case]
    want = repr(make(torch)).replace("torch.", "lectorium.")
    assert repr(make(lt)) == want
    assert str(make(lt)) == want


def test_the_size_of_an_empty_tensor_is_said_as_in_pytorch() -> None:
    assert repr(lt.zeros(0, 3)) == "tensor([], size=(0, 3))"


@pytest.mark.parametrize(
    "make",
    [
        lambda m, x: x * 2, lambda m, x: x.sum(), lambda m, x: m.exp(x), lambda m, x: x @ x, lambda m, x: x.view(-1), lambda m, x: x.relu(),
    ],
)  # fmt: skip
def test_a_result_names_the_operation_that_made_it(make: Any) -> None:
    text = repr(make(lt, lt.ones(2, 2, requires_grad=True)))
    assert "grad_fn=<" in text
    assert "Backward" in text


@pytest.mark.parametrize(
    "options", [{"precision": 2}, {"precision": 8}, {"threshold": 5}, {"threshold": 5, "edgeitems": 1}, {"linewidth": 40}, {"sci_mode": True}, {"sci_mode": False}, {"precision": 0}],
    ids=str,
)  # fmt: skip
def test_print_options_work_as_in_pytorch(options: dict[str, Any]) -> None:
    default = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}
    try:
        lt.set_printoptions(**options)
        torch.set_printoptions(**options)
        for make in (
            lambda m: m.arange(12) / 7,
            lambda m: m.arange(40).reshape(4, 10),
            lambda m: m.tensor([1e-7, 1.0]),
            lambda m: m.tensor(2.0),
        ):
            assert repr(make(lt)) == repr(make(torch)).replace("torch.", "lectorium.")
    finally:
        lt.set_printoptions(**default)
        torch.set_printoptions(profile="default")


def test_format_works_on_numbers_and_falls_back_to_the_text() -> None:
    for make in (lambda m: m.tensor(3.14159), lambda m: m.tensor(7)):
        for spec in (".2f", "8.3f", "", "g"):
            assert format(make(lt), spec) == format(make(torch), spec)
    assert f"{lt.tensor([1, 2])}" == f"{torch.tensor([1, 2])}"
    with pytest.raises(TypeError):
        format(lt.ones(2), ".2f")
    assert f"{lt.tensor(5):d}" == "5"
