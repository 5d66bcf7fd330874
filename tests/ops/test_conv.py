"""Convolutions and their transposes against PyTorch, through the choice of every algorithm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lectorium as lt
import lectorium.nn.functional as F
from helpers import assert_same, check_op, require_torch, sample

torch = require_torch()
T = torch.nn.functional

SMALL: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((2, 3, 5, 6), (4, 3, 3, 3), {}),
    ((2, 3, 5, 6), (4, 3, 3, 3), {"padding": 1}),
    ((1, 1, 5, 5), (1, 1, 3, 3), {}),
    ((2, 3, 7, 6), (4, 3, 3, 2), {"stride": 2, "padding": (1, 0)}),
    ((2, 3, 7, 8), (4, 3, 3, 3), {"dilation": 2, "padding": 2}),
    ((2, 4, 5, 5), (6, 2, 3, 3), {"groups": 2, "padding": 1}),
    ((2, 4, 5, 5), (4, 1, 3, 3), {"groups": 4, "padding": 1, "stride": (2, 1)}),
    ((2, 4, 5, 5), (8, 1, 3, 3), {"groups": 4}),
    ((2, 3, 4, 4), (5, 3, 1, 1), {}),
    ((2, 3, 5, 5), (5, 3, 1, 1), {"stride": 2}),
    ((2, 3, 4, 4), (5, 3, 4, 4), {}),
    ((2, 2, 5, 5), (3, 2, 3, 3), {"padding": "same", "dilation": 2}),
    ((2, 2, 5, 5), (3, 2, 2, 4), {"padding": "same"}),
    ((2, 2, 5, 5), (3, 2, 3, 3), {"padding": "valid"}),
    ((1, 2, 3, 3), (2, 2, 3, 3), {"padding": 4}),
    ((3, 5, 5), (4, 3, 3, 3), {}),
    ((2, 2, 9, 1), (2, 2, 5, 1), {"stride": (3, 1)}),
]
LARGE: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((4, 1, 28, 28), (20, 1, 5, 5), {"padding": 2}),
    ((4, 20, 14, 14), (50, 20, 5, 5), {"padding": 2}),
    ((2, 3, 32, 32), (6, 3, 5, 5), {}),
    ((2, 16, 20, 20), (32, 16, 3, 3), {"padding": 1}),
    ((2, 64, 14, 14), (64, 64, 3, 3), {"padding": 1}),
    ((2, 32, 15, 15), (64, 32, 3, 3), {"padding": 1, "stride": 2}),
    ((2, 64, 12, 12), (128, 64, 1, 1), {}),
    ((2, 48, 17, 17), (48, 1, 3, 3), {"padding": 1, "groups": 48}),
    ((1, 3, 40, 40), (16, 3, 7, 7), {"padding": 3, "stride": 2}),
    ((2, 24, 13, 13), (36, 8, 3, 3), {"padding": 1, "groups": 3}),
]


def _id(case: Any) -> str:
    return "x".join(map(str, case[0])) + " * " + "x".join(map(str, case[1])) + " " + str(case[2])


@pytest.mark.parametrize("case", SMALL, ids=_id)
def test_convolutions_agree_in_value_and_two_derivatives(case: Any) -> None:
    x, w, kwargs = case
    second = int(np.prod(x)) < 200
    check_op(
        lambda *a: F.conv2d(*a, **kwargs), lambda *a: T.conv2d(*a, **kwargs), [x, w, (w[0],)],
        gradcheck=int(np.prod(x)) < 300, gradgradcheck=second, edges=False, rtol=1e-4, atol=2e-5,
    )  # fmt: skip


@pytest.mark.parametrize("case", LARGE, ids=_id)
def test_convolutions_of_the_lectures_sizes_agree(case: Any) -> None:
    x, w, kwargs = case
    check_op(
        lambda *a: F.conv2d(*a, **kwargs), lambda *a: T.conv2d(*a, **kwargs), [x, w, (w[0],)], low=-1, high=1,
        dtypes=("float32",), gradcheck=False, strided=False, edges=False, rtol=1e-3, atol=1e-3,
    )  # fmt: skip


@pytest.mark.parametrize(
    "kwargs",
    [{}, {"padding": 1}, {"stride": 2, "dilation": 2, "padding": 2}, {"groups": 2}, {"padding": "same"}],
)
def test_convolutions_along_one_axis_agree(kwargs: dict[str, Any]) -> None:
    groups = kwargs.get("groups", 1)
    check_op(
        lambda *a: F.conv1d(*a, **kwargs), lambda *a: T.conv1d(*a, **kwargs), [(2, 4, 9), (6, 4 // groups, 3), (6,)],
        gradgradcheck=True, edges=False, rtol=1e-4, atol=1e-5,
    )  # fmt: skip


TRANSPOSED: list[dict[str, Any]] = [
    {}, {"stride": 2}, {"stride": 2, "padding": 1, "output_padding": 1}, {"padding": 1}, {"dilation": 2}, {"groups": 2},
    {"stride": (2, 1), "padding": (1, 0), "output_padding": (1, 0)},
]  # fmt: skip


@pytest.mark.parametrize("kwargs", TRANSPOSED, ids=str)
def test_transposed_convolutions_agree(kwargs: dict[str, Any]) -> None:
    groups = kwargs.get("groups", 1)
    check_op(
        lambda *a: F.conv_transpose2d(*a, **kwargs), lambda *a: T.conv_transpose2d(*a, **kwargs),
        [(2, 4, 3, 4), (4, 6 // groups, 3, 3), (6,)], gradcheck=groups == 1, edges=False, rtol=1e-4, atol=2e-5,
    )  # fmt: skip
    if all(isinstance(v, int) for v in kwargs.values()):
        check_op(
            lambda *a: F.conv_transpose1d(*a, **kwargs), lambda *a: T.conv_transpose1d(*a, **kwargs),
            [(2, 4, 5), (4, 6 // groups, 3), (6,)], edges=False, rtol=1e-4, atol=2e-5,
        )  # fmt: skip


def test_an_empty_batch_convolves_to_an_empty_batch_with_zero_gradients() -> None:
    for kwargs in ({}, {"padding": 1, "stride": 2}, {"groups": 2}):
        w_shape = (4, 4 // kwargs.get("groups", 1), 3, 3)
        check_op(
            lambda *a, k=kwargs: F.conv2d(*a, **k), lambda *a, k=kwargs: T.conv2d(*a, **k), [(0, 4, 5, 5), w_shape, (4,)],
            gradcheck=False, strided=False, edges=False,
        )  # fmt: skip


def test_nan_and_infinity_stay_in_their_windows() -> None:
    a = sample((1, 2, 6, 6))
    a[0, 0, 2, 2], a[0, 1, 5, 5] = np.nan, np.inf
    w = sample((3, 2, 3, 3), seed=1)
    got = F.conv2d(lt.tensor(a), lt.tensor(w), padding=1)
    assert_same(got, T.conv2d(torch.tensor(a), torch.tensor(w), padding=1), rtol=1e-4, atol=1e-5)


X, W = (2, 4, 5, 5), (6, 4, 3, 3)
ERRORS: list[tuple[Any, type[Exception], str]] = [
    (lambda: F.conv2d(lt.ones(2, 3, 5, 5), lt.ones(*W)), lt.ShapeError, "conv2d.*3 channels.*4"),
    (lambda: F.conv2d(lt.ones(*X), lt.ones(6, 4, 9, 3)), lt.ShapeError, "conv2d"),
    (lambda: F.conv2d(lt.ones(*X), lt.ones(*W), lt.ones(5)), lt.ShapeError, "conv2d.*bias"),
    (lambda: F.conv2d(lt.ones(*X), lt.ones(*W), groups=3), (ValueError, RuntimeError), "conv2d.*groups"),
    (lambda: F.conv2d(lt.ones(*X), lt.ones(*W), groups=0), ValueError, "groups"),
    (lambda: F.conv2d(lt.ones(*X), lt.ones(*W), stride=0), ValueError, "stride"),
    (lambda: F.conv2d(lt.ones(*X), lt.ones(*W), stride=-1), ValueError, "stride"),
    (lambda: F.conv2d(lt.ones(*X), lt.ones(*W), padding=-1), ValueError, "padding"),
    (lambda: F.conv2d(lt.ones(*X), lt.ones(*W), dilation=0), ValueError, "dilation"),
    (lambda: F.conv2d(lt.ones(*X), lt.ones(*W), padding="half"), ValueError, "padding"),
    (
        lambda: F.conv2d(lt.ones(*X), lt.ones(*W), padding="same", stride=2),
        (ValueError, RuntimeError),
        "same",
    ),
    (lambda: F.conv2d(lt.ones(*X), lt.ones(*W, dtype=lt.float64)), TypeError, "conv2d"),
    (lambda: F.conv2d(lt.ones(*X, dtype=lt.int64), lt.ones(*W, dtype=lt.int64)), TypeError, "conv2d"),
    (lambda: F.conv2d(lt.ones(4, 4), lt.ones(*W)), lt.ShapeError, "conv2d"),
    (lambda: F.conv2d(lt.ones(*X), lt.ones(6, 4, 3)), lt.ShapeError, "conv2d"),
    (lambda: F.conv2d(lt.ones(*X), lt.ones(*W), stride=(1, 1, 1)), (ValueError, TypeError), "stride"),
    (
        lambda: F.conv2d(lt.ones(*X), lt.ones(*W), padding=2**62),
        (ValueError, RuntimeError, MemoryError, OverflowError),
        "",
    ),
    (
        lambda: F.conv2d(lt.ones(*X), lt.ones(*W), dilation=2**62),
        (ValueError, RuntimeError, OverflowError),
        "",
    ),
    (lambda: F.conv2d(lt.ones(2, 4, 0, 5), lt.ones(*W)), lt.ShapeError, "conv2d"),
    (lambda: F.conv1d(lt.ones(2, 3, 5), lt.ones(6, 4, 3)), lt.ShapeError, "conv1d.*3 channels.*4"),
    (lambda: F.conv_transpose2d(lt.ones(2, 3, 5, 5), lt.ones(*X)), lt.ShapeError, "conv_transpose2d"),
    (
        lambda: F.conv_transpose2d(lt.ones(2, 4, 3, 3), lt.ones(4, 2, 3, 3), output_padding=1),
        (ValueError, RuntimeError),
        "output_padding",
    ),
]


@pytest.mark.parametrize("case", range(len(ERRORS)))
def test_a_wrong_convolution_is_an_error_that_says_what_is_wrong(case: int) -> None:
    call, kind, text = ERRORS[case]
    with pytest.raises(kind, match=text):
        call()


@pytest.mark.parametrize(
    ("x", "w", "options"),
    [
        ((1, 32, 1, 1), (32, 32, 1, 1), {"padding": 1, "stride": 2}),
        ((0, 32, 4, 4), (32, 32, 3, 3), {"padding": 1}),
    ],
)
def test_pictures_that_padding_alone_fills_have_gradients_too(x: Any, w: Any, options: Any) -> None:
    torch = require_torch()
    results = []
    for lib in (lt, torch):
        a, b = (lib.ones(shape, requires_grad=True) for shape in (x, w))
        out = lib.nn.functional.conv2d(a, b, **options)
        out.sum().backward()
        results.append([out, a.grad, b.grad])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours.detach().numpy(), theirs.detach().numpy())


@pytest.mark.parametrize("channels", [3, 32])
def test_a_picture_without_rows_gives_zeros_where_padding_makes_room(channels: int) -> None:
    x, w = lt.ones(1, channels, 0, 4, requires_grad=True), lt.ones(16, channels, 3, 3, requires_grad=True)
    out = F.conv2d(x, w, padding=2)
    out.sum().backward()
    assert out.shape == (1, 16, 2, 6)
    assert x.grad.shape == x.shape
    assert w.grad.shape == w.shape
    assert not out.any()
    assert not w.grad.any()


def test_a_transposed_convolution_may_reach_no_pixel() -> None:
    torch = require_torch()
    x, w = np.ones((1, 8, 2, 2), np.float32), np.ones((8, 32, 1, 1), np.float32)
    results = [
        lib.nn.functional.conv_transpose2d(lib.from_numpy(x), lib.from_numpy(w), stride=2, padding=1)
        for lib in (lt, torch)
    ]
    np.testing.assert_array_equal(results[0].numpy(), results[1].numpy())


KEPT = [
    ((2, 40, 9, 9), (48, 40, 3, 3), {"padding": 1}),
    ((2, 256, 2, 2), (128, 256, 3, 3), {"padding": 1}),
    ((1, 40, 9, 8), (64, 40, 3, 3), {"stride": 2, "dilation": 2, "padding": 2}),
    ((2, 64, 8, 8), (64, 16, 3, 3), {"groups": 4}),
    ((2, 3, 21, 20), (32, 3, 7, 7), {"stride": 2, "padding": 3}),
    ((2, 32, 5, 5), (48, 32, 1, 1), {}),
]


@pytest.mark.parametrize(("x", "w", "options"), KEPT, ids=str)
def test_a_weight_used_again_gives_the_same_and_a_changed_one_something_else(
    x: tuple[int, ...], w: tuple[int, ...], options: dict
) -> None:
    """From the second use on a packed form is kept; another spec has another form."""
    input, weight = lt.randn(*x), lt.randn(*w)

    def all_ways(weight: lt.Tensor) -> list:
        forward = F.conv2d(input, weight, **options)
        back = F.conv_transpose2d(forward, weight, **options)
        wider = F.conv_transpose2d(forward, weight, **{**options, "stride": 3})
        return [t.tolist() for t in (forward, back, wider)]

    for _ in range(2):
        fresh = all_ways(weight.clone())
        for _ in range(4):
            assert all_ways(weight) == fresh
        weight.mul_(-0.5)
