"""Activations against PyTorch: values, first and second derivatives, special values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lectorium as lt
import lectorium.nn.functional as F
from helpers import assert_same, check_op, require_torch

torch = require_torch()
T = torch.nn.functional
# Without arguments and with, as PyTorch names them.
CASES: dict[str, list[dict[str, Any]]] = {
    "relu": [{}], "relu6": [{}], "leaky_relu": [{}, {"negative_slope": 0.3}, {"negative_slope": -0.5}],
    "elu": [{}, {"alpha": 0.4}], "celu": [{}, {"alpha": 0.5}], "selu": [{}], "gelu": [{}, {"approximate": "tanh"}],
    "silu": [{}], "mish": [{}], "softplus": [{}, {"beta": 2.0, "threshold": 1.5}], "hardtanh": [{}, {"min_val": -0.2, "max_val": 1.7}],
    "hardswish": [{}], "hardsigmoid": [{}], "softsign": [{}], "tanhshrink": [{}], "softshrink": [{}, {"lambd": 0.1}],
    "hardshrink": [{}, {"lambd": 0.1}], "logsigmoid": [{}], "threshold": [{"threshold": 0.5, "value": -3.0}], "glu": [{"dim": 0}, {"dim": 1}],
    "sigmoid": [{}], "tanh": [{}], "softmin": [{"dim": 1}], "softmax": [{"dim": 0}, {"dim": -1}], "log_softmax": [{"dim": 0}, {"dim": -1}],
}  # fmt: skip
ALL = [(name, kwargs) for name, many in CASES.items() for kwargs in many]


@pytest.mark.parametrize(("name", "kwargs"), ALL)
def test_an_activation_agrees_with_pytorch_in_value_and_two_derivatives(
    name: str, kwargs: dict[str, Any]
) -> None:
    ours, theirs = getattr(F, name), getattr(T, name)
    # PyTorch's sixth in hardsigmoid is a float32, also in float64.
    dtypes = ("float32",) if name == "hardsigmoid" else ("float32", "float64")
    check_op(
        lambda x: ours(x, **kwargs), lambda x: theirs(x, **kwargs), [(4, 6)], low=-4, high=4, dtypes=dtypes,
        gradgradcheck=True,
    )  # fmt: skip


@pytest.mark.parametrize(("name", "kwargs"), [case for case in ALL if case[0] != "glu"])
def test_an_activation_takes_large_values_infinities_and_nan_as_pytorch(
    name: str, kwargs: dict[str, Any]
) -> None:
    inf = float("inf")
    values = [
        0.0,
        1e-6,
        -1e-6,
        20.0,
        -20.0,
        90.0,
        -90.0,
        1e4,
        -1e4,
        inf,
        -inf,
        float("nan"),
        3.0,
        -3.0,
        0.5,
        -0.5,
        1.5,
    ]
    if name in ("softmin", "softmax", "log_softmax"):
        rows = np.array(
            [
                [1.0, 2.0, 1e4],
                [-inf, 1.0, 2.0],
                [inf, 1.0, 2.0],
                [-inf, -inf, -inf],
                [float("nan"), 1.0, 2.0],
            ],
            np.float32,
        )
        a = np.ascontiguousarray(rows.T) if kwargs["dim"] == 0 else rows
        assert_same(
            getattr(F, name)(lt.tensor(a), **kwargs), getattr(T, name)(torch.tensor(a), **kwargs), what=name
        )
        return
    for dtype in ("float32", "float64"):
        a = np.array(values, dtype)
        if name == "gelu":
            a = a[~np.isinf(a)]  # PyTorch has NaN at infinity
        x, t = lt.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
        got, want = getattr(F, name)(x, **kwargs), getattr(T, name)(t, **kwargs)
        if name in (
            "tanhshrink",
            "softplus",
            "mish",
        ):  # cancellation: relative accuracy near 0 is not PyTorch's
            assert_same(got, want, atol=1e-6, rtol=1e-5, what=name)
        else:
            assert_same(got, want, rtol=3e-5 if dtype == "float32" else 1e-9, what=name)
        finite = np.isfinite(a)
        got.sum().backward()
        want.sum().backward()
        np.testing.assert_allclose(
            x.grad.numpy()[finite], t.grad.numpy()[finite], rtol=1e-4, atol=1e-6, err_msg=f"{name} gradient"
        )


def test_prelu_agrees_for_one_weight_and_one_for_each_channel() -> None:
    for weight in ((1,), (3,)):
        check_op(F.prelu, T.prelu, [(2, 3, 4), weight], gradgradcheck=True)
    check_op(F.prelu, T.prelu, [(5,), (1,)])
    with pytest.raises((ValueError, RuntimeError), match="prelu"):
        F.prelu(lt.ones(2, 3), lt.ones(2))


def test_softmax_rows_sum_to_one_and_do_not_overflow() -> None:
    x = lt.randn(7, 1001) * 50
    np.testing.assert_allclose(lt.softmax(x, 1).sum(1).numpy(), np.ones(7), rtol=1e-5)
    check_op(lambda x: lt.softmax(x, 1), lambda x: torch.softmax(x, 1), [(3, 5, 7)], low=-30, high=30)
    check_op(lambda x: lt.log_softmax(x, 0), lambda x: torch.log_softmax(x, 0), [(3, 5, 7)], low=-30, high=30)
    assert_same(lt.softmax(lt.tensor(3.0), 0), torch.softmax(torch.tensor(3.0), 0))
    assert_same(lt.softmax(lt.zeros(0, 3), 1), torch.softmax(torch.zeros(0, 3), 1))
    assert_same(
        lt.softmax(lt.tensor([1, 2]), 0, dtype=lt.float64),
        torch.softmax(torch.tensor([1, 2]), 0, dtype=torch.float64),
    )


def test_dropout_keeps_the_mean_and_uses_one_mask_both_ways() -> None:
    x = lt.ones(200, 200, requires_grad=True)
    for p in (0.1, 0.5, 0.9):
        x.grad = None
        y = F.dropout(x, p)
        kept = (y != 0).float().mean().item()
        assert abs(kept - (1 - p)) < 0.02
        assert abs(y.mean().item() - 1) < 0.05
        y.sum().backward()
        assert lt.equal(x.grad, y.detach())
    assert F.dropout(x, 0.5, training=False) is x or lt.equal(F.dropout(x, 0.5, training=False), x)
    assert (F.dropout(x, 1.0) == 0).all()
    assert lt.equal(F.dropout(x, 0.0), x)
    for p in (-0.1, 1.1):
        with pytest.raises(ValueError, match="dropout"):
            F.dropout(x, p)


@pytest.mark.parametrize("name", ["gelu", "elu", "softplus", "hardswish", "silu"])
def test_activations_of_integers_are_a_type_error(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        getattr(F, name)(lt.tensor([1, 2]))


def test_softmax_of_integers_names_itself() -> None:
    with pytest.raises(TypeError, match="softmax"):
        lt.softmax(lt.tensor([1, 2]), 0)
