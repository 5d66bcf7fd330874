"""Clipping gradients, and parameters as one vector."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from helpers import sample
from lectorium import nn


def pair(scale: float = 1.0) -> tuple[list[Any], list[Any]]:
    torch = pytest.importorskip("torch", reason="parity needs torch")
    ours, theirs = [], []
    for i, shape in enumerate([(3, 4), (5,), ()]):
        g = sample(shape, "float64", seed=i) * scale
        p, q = (
            nn.Parameter(lt.zeros(*shape, dtype=lt.float64)),
            torch.nn.Parameter(torch.zeros(shape).double()),
        )
        p.grad, q.grad = lt.tensor(g), torch.tensor(g)
        ours.append(p)
        theirs.append(q)
    ours.append(nn.Parameter(lt.zeros(2)))
    theirs.append(torch.nn.Parameter(torch.zeros(2)))
    return ours, theirs


@pytest.mark.parametrize("norm", [2.0, 1.0, math.inf, 3.5])
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_clip_grad_norm_scales_as_torch_does(norm: float, scale: float) -> None:
    torch = pytest.importorskip("torch", reason="parity needs torch")
    ours, theirs = pair(scale)
    got = nn.utils.clip_grad_norm_(ours, 0.7, norm)
    want = torch.nn.utils.clip_grad_norm_(theirs, 0.7, norm)
    assert got.item() == pytest.approx(want.item(), rel=1e-12)
    for p, q in zip(ours[:3], theirs[:3], strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-12)
    assert ours[3].grad is None


def test_clip_grad_value_clamps_as_torch_does() -> None:
    torch = pytest.importorskip("torch", reason="parity needs torch")
    ours, theirs = pair()
    nn.utils.clip_grad_value_(ours, 0.5)
    torch.nn.utils.clip_grad_value_(theirs, 0.5)
    for p, q in zip(ours[:3], theirs[:3], strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy())


def test_clipping_takes_one_tensor_an_iterator_or_nothing() -> None:
    p = nn.Parameter(lt.zeros(2))
    p.grad = lt.tensor([3.0, 4.0])
    assert nn.utils.clip_grad_norm_(p, 10.0).item() == 5.0
    assert p.grad.tolist() == [3.0, 4.0]
    assert nn.utils.clip_grad_norm_(iter([p]), 1.0).item() == 5.0
    assert nn.utils.clip_grad_norm_([], 1.0).item() == 0.0


def test_a_norm_that_is_no_number_can_be_an_error() -> None:
    p = nn.Parameter(lt.zeros(2))
    p.grad = lt.tensor([math.nan, 1.0])
    with pytest.raises(RuntimeError, match="is non-finite"):
        nn.utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
    assert math.isnan(nn.utils.clip_grad_norm_([p], 1.0).item())


def test_parameters_become_a_vector_and_come_back() -> None:
    layer = nn.Linear(3, 2)
    vector = nn.utils.parameters_to_vector(layer.parameters())
    assert vector.shape == (8,)
    assert vector.requires_grad
    nn.utils.vector_to_parameters(lt.arange(8.0), layer.parameters())
    assert layer.weight.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert layer.bias.tolist() == [6.0, 7.0]
    with pytest.raises(
        ValueError, match=r"expected a vector of 8 elements for 2 parameters, got shape \[7\]"
    ):
        nn.utils.vector_to_parameters(lt.zeros(7), layer.parameters())
    with pytest.raises(TypeError, match="expected a Tensor, got list"):
        nn.utils.vector_to_parameters([1.0], layer.parameters())


def test_a_limit_below_zero_would_turn_the_gradients_round() -> None:
    p = lt.nn.Parameter(lt.ones(2))
    p.grad = lt.ones(2)
    for limit in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="clip_grad_norm_: max_norm must be 0 or more, got"):
            lt.nn.utils.clip_grad_norm_([p], limit)
        with pytest.raises(ValueError, match="clip_grad_value_: clip_value must be 0 or more"):
            lt.nn.utils.clip_grad_value_([p], limit)
    assert p.grad.tolist() == [1.0, 1.0]
