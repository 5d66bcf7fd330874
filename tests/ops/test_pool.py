"""Pooling against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lectorium as lt
import lectorium.nn.functional as F
from helpers import assert_same, check_op, require_torch, sample

torch = require_torch()
T = torch.nn.functional
WINDOWS: list[dict[str, Any]] = [
    {"kernel_size": 2}, {"kernel_size": 3, "stride": 1}, {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": (2, 3), "stride": (1, 2)}, {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 3, "stride": 3, "padding": 1, "ceil_mode": True}, {"kernel_size": 1}, {"kernel_size": (5, 1)},
]  # fmt: skip


@pytest.mark.parametrize("kwargs", WINDOWS, ids=str)
def test_max_pooling_agrees_in_values_indices_and_gradients(kwargs: dict[str, Any]) -> None:
    for extra in ({}, {"return_indices": True}, {"dilation": 2, "kernel_size": 2}):
        merged = {**kwargs, **extra}
        if extra.get("dilation") and (kwargs.get("padding") or kwargs["kernel_size"] != 2):
            continue
        check_op(
            lambda x, m=merged: F.max_pool2d(x, **m), lambda x, m=merged: T.max_pool2d(x, **m), [(2, 3, 7, 6)],
            gradcheck=False, edges=[[(0, 3, 7, 6)], [(3, 7, 6)]],
        )  # fmt: skip
    lt.autograd.gradgradcheck(
        lambda x: F.max_pool2d(x, **kwargs) ** 2,
        lt.tensor(sample((1, 1, 6, 5), "float64"), requires_grad=True),
    )


@pytest.mark.parametrize("kwargs", WINDOWS, ids=str)
@pytest.mark.parametrize("extra", [{}, {"count_include_pad": False}, {"divisor_override": 3}], ids=str)
def test_average_pooling_agrees_in_values_and_gradients(
    kwargs: dict[str, Any], extra: dict[str, Any]
) -> None:
    check_op(
        lambda x: F.avg_pool2d(x, **kwargs, **extra), lambda x: T.avg_pool2d(x, **kwargs, **extra), [(1, 2, 7, 6)],
        gradgradcheck=True, edges=[[(0, 2, 7, 6)], [(2, 7, 6)]],
    )  # fmt: skip


def test_pooling_along_one_axis_agrees() -> None:
    for kwargs in (
        {"kernel_size": 2},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    ):
        check_op(
            lambda x, k=kwargs: F.max_pool1d(x, **k),
            lambda x, k=kwargs: T.max_pool1d(x, **k),
            [(2, 3, 8)],
            edges=False,
        )
        check_op(
            lambda x, k=kwargs: F.avg_pool1d(x, **k),
            lambda x, k=kwargs: T.avg_pool1d(x, **k),
            [(2, 3, 8)],
            edges=False,
        )
        check_op(
            lambda x, k=kwargs: F.max_pool1d(x, return_indices=True, **k),
            lambda x, k=kwargs: T.max_pool1d(x, return_indices=True, **k),
            [(2, 3, 8)],
            edges=False,
            grad=False,
        )


@pytest.mark.parametrize("size", [1, 2, (3, 2), (7, 6), (None, 2), (9, 8)], ids=str)
def test_adaptive_pooling_agrees(size: Any) -> None:
    edges = [[(0, 2, 7, 6)], [(2, 7, 6)]]
    check_op(
        lambda x: F.adaptive_avg_pool2d(x, size),
        lambda x: T.adaptive_avg_pool2d(x, size),
        [(1, 2, 7, 6)],
        gradgradcheck=True,
        edges=edges,
    )
    check_op(
        lambda x: F.adaptive_max_pool2d(x, size),
        lambda x: T.adaptive_max_pool2d(x, size),
        [(1, 2, 7, 6)],
        edges=edges,
    )
    check_op(
        lambda x: F.adaptive_max_pool2d(x, size, return_indices=True), lambda x: T.adaptive_max_pool2d(x, size, return_indices=True),
        [(1, 2, 7, 6)], edges=False, grad=False,
    )  # fmt: skip
    if isinstance(size, int):
        check_op(
            lambda x: F.adaptive_avg_pool1d(x, size),
            lambda x: T.adaptive_avg_pool1d(x, size),
            [(1, 2, 7)],
            edges=False,
        )
        check_op(
            lambda x: F.adaptive_max_pool1d(x, size),
            lambda x: T.adaptive_max_pool1d(x, size),
            [(1, 2, 7)],
            edges=False,
        )


def test_max_pooling_keeps_nan_and_minus_infinity() -> None:
    a = sample((1, 1, 4, 4))
    a[0, 0, 0, 0], a[0, 0, 2:, 2:] = np.nan, -np.inf
    for kwargs in ({"kernel_size": 2}, {"kernel_size": 3, "stride": 1, "padding": 1}):
        assert_same(F.max_pool2d(lt.tensor(a), **kwargs), T.max_pool2d(torch.tensor(a), **kwargs))


def test_unpooling_puts_values_back() -> None:
    a = sample((1, 2, 4, 6))
    got, where = F.max_pool2d(lt.tensor(a), 2, return_indices=True)
    want, there = T.max_pool2d(torch.tensor(a), 2, return_indices=True)
    assert_same(F.max_unpool2d(got, where, 2), T.max_unpool2d(want, there, 2))


ERRORS: list[tuple[Any, type[Exception], str]] = [
    (lambda: F.max_pool2d(lt.ones(1, 1, 3, 3), 4), lt.ShapeError, "max_pool2d"),
    (lambda: F.avg_pool2d(lt.ones(1, 1, 3, 3), 4), lt.ShapeError, "avg_pool2d"),
    (lambda: F.max_pool2d(lt.ones(1, 1, 3, 3), 0), ValueError, "kernel_size"),
    (lambda: F.max_pool2d(lt.ones(1, 1, 3, 3), 2, stride=0), ValueError, "stride"),
    (lambda: F.max_pool2d(lt.ones(1, 1, 3, 3), 2, padding=2), (ValueError, RuntimeError), "padding"),
    (lambda: F.max_pool2d(lt.ones(1, 1, 3, 3), 2, padding=-1), ValueError, "padding"),
    (lambda: F.max_pool2d(lt.ones(1, 1, 3, 3), 2, dilation=0), ValueError, "dilation"),
    (lambda: F.max_pool2d(lt.ones(3, 3), 2), lt.ShapeError, "max_pool2d"),
    (lambda: F.avg_pool2d(lt.ones(1, 1, 3, 3), 2, divisor_override=0), (ValueError, RuntimeError), "divisor"),
    (lambda: F.avg_pool2d(lt.ones(1, 1, 3, 3, dtype=lt.int64), 2), TypeError, "avg_pool2d"),
    (lambda: F.adaptive_avg_pool2d(lt.ones(1, 1, 3, 3), -1), ValueError, "output_size"),
    (lambda: F.adaptive_avg_pool2d(lt.ones(3, 3), 1), lt.ShapeError, "adaptive_avg_pool2d"),
    (lambda: F.max_pool2d(lt.ones(1, 1, 3, 3), 2**62), ValueError, "max_pool2d: kernel .* is too large"),
    (lambda: F.max_pool1d(lt.ones(1, 1, 3), 4), lt.ShapeError, "max_pool"),
]


@pytest.mark.parametrize("case", range(len(ERRORS)))
def test_a_wrong_pooling_is_an_error_that_says_what_is_wrong(case: int) -> None:
    call, kind, text = ERRORS[case]
    with pytest.raises(kind, match=text):
        call()


def test_an_empty_batch_of_absurd_pictures_is_an_error_and_the_process_goes_on() -> None:
    with pytest.raises((MemoryError, ValueError), match="avg_pool2d"):
        F.avg_pool2d(lt.empty(0, 1, 2**50, 1), (2, 1))
    assert F.avg_pool2d(lt.empty(0, 3, 8, 8), 2).shape == (0, 3, 4, 4)


def test_max_pooling_goes_by_one_name_with_indices_and_without() -> None:
    x = lt.randn(1, 16, 8, 8, requires_grad=True)
    for indices in (False, True):
        y = F.max_pool2d(x, 2, return_indices=indices)
        assert repr((y[0] if indices else y).grad_fn) == "<MaxPool2dBackward>"
