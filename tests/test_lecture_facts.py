"""What the lectures state as facts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lectorium as lt
from lectorium import nn

PICTURE = [[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]]
FILTER = [[0, 1, 2], [2, 2, 0], [0, 1, 2]]


@pytest.mark.parametrize("dtype", [lt.float32, lt.float64])
def test_the_worked_example_of_a_convolution(dtype: Any) -> None:
    picture, weight = lt.tensor([[PICTURE]], dtype=dtype), lt.tensor([[FILTER]], dtype=dtype)
    result = nn.functional.conv2d(picture, weight)
    assert result[0, 0].tolist() == [[12, 12, 17], [10, 17, 19], [9, 6, 14]]


def test_a_convolution_slides_the_filter_without_turning_it() -> None:
    picture, weight = np.array(PICTURE, np.float32), np.array(FILTER, np.float32)
    layer = nn.Conv2d(1, 1, 3, bias=False)
    layer.load_state_dict({"weight": lt.from_numpy(weight[None, None].copy())})
    result = layer(lt.from_numpy(picture[None, None].copy()))
    for y in range(3):
        for x in range(3):
            assert result[0, 0, y, x].item() == (picture[y : y + 3, x : x + 3] * weight).sum()


def test_36_filters_of_3x3x16_make_36x3x3_of_5x5x16() -> None:
    layer = nn.Conv2d(16, 36, 3)
    assert layer.weight.shape == (36, 16, 3, 3)
    assert layer(lt.zeros(1, 16, 5, 5)).shape == (1, 36, 3, 3)


def test_a_5x5_filter_makes_28x28_of_32x32() -> None:
    assert nn.Conv2d(1, 1, 5)(lt.zeros(1, 1, 32, 32)).shape == (1, 1, 28, 28)
    assert nn.Conv2d(3, 6, 5)(lt.zeros(1, 3, 32, 32)).shape == (1, 6, 28, 28)


def test_padding_of_half_the_filter_keeps_the_size() -> None:
    for k in (1, 3, 5, 7):
        assert nn.Conv2d(1, 1, k, padding=k // 2)(lt.zeros(1, 1, 14, 14)).shape == (1, 1, 14, 14)


@pytest.mark.parametrize(("layers", "k"), [(1, 3), (2, 3), (3, 3), (5, 3), (1, 5), (2, 5), (3, 5), (2, 7)])
def test_the_receptive_field_of_l_layers_of_k_is_1_plus_l_times_k_minus_1(layers: int, k: int) -> None:
    """Measured: the input pixels that one output pixel has a gradient for."""
    net = nn.Sequential(*(nn.Conv2d(1, 1, k, padding=k // 2) for _ in range(layers)))
    for parameter in net.parameters():
        nn.init.constant_(parameter, 0.5)
    picture = lt.ones(1, 1, 41, 41, requires_grad=True)
    net(picture)[0, 0, 20, 20].backward()
    seen = picture.grad[0, 0].numpy() != 0
    field = 1 + layers * (k - 1)
    assert seen.any(axis=0).sum() == seen.any(axis=1).sum() == field
    assert seen.sum() == field * field
    assert np.flatnonzero(seen.any(axis=0))[0] == 20 - field // 2


def test_the_derivatives_of_x_squared_squared() -> None:
    x = lt.tensor([-2.0, -0.5, 0.0, 1.0, 3.0], dtype=lt.float64, requires_grad=True)
    value = (x**2) ** 2
    at = x.detach().numpy()
    for expected in (4 * at**3, 12 * at**2, 24 * at, 24 + 0 * at, 0 * at):
        (value,) = lt.autograd.grad(value.sum(), x, create_graph=True)
        np.testing.assert_allclose(value.detach().numpy(), expected, rtol=1e-12, atol=1e-12)
        if not value.requires_grad:
            break
    else:
        return
    np.testing.assert_array_equal(expected, 24 + 0 * at)  # a constant needs no graph


def test_the_closed_form_gradients_of_a_net_with_one_hidden_layer() -> None:
    """E = |sigmoid(W2 sigmoid(W1 x)) - y|²: the chain rule by hand, and backward()."""
    rng = np.random.default_rng(0)
    w1, w2 = rng.standard_normal((4, 3)), rng.standard_normal((2, 4))
    x, y = rng.standard_normal(3), rng.random(2)

    h = 1 / (1 + np.exp(-w1 @ x))
    o = 1 / (1 + np.exp(-w2 @ h))
    delta2 = 2 * (o - y) * o * (1 - o)
    delta1 = (w2.T @ delta2) * h * (1 - h)

    first, second, at = (lt.from_numpy(a.copy()).requires_grad_() for a in (w1, w2, x))
    error = ((lt.sigmoid(second @ lt.sigmoid(first @ at)) - lt.from_numpy(y)) ** 2).sum()
    error.backward()
    np.testing.assert_allclose(second.grad.numpy(), np.outer(delta2, h), rtol=1e-12)
    np.testing.assert_allclose(first.grad.numpy(), np.outer(delta1, x), rtol=1e-12)
    np.testing.assert_allclose(at.grad.numpy(), w1.T @ delta1, rtol=1e-12)


def test_those_gradients_are_also_the_slopes_that_are_measured() -> None:
    w1, w2, x = (lt.randn(*s, dtype=lt.float64, requires_grad=True) for s in ((4, 3), (2, 4), (3,)))
    y = lt.rand(2, dtype=lt.float64)

    def error(a: Any, b: Any, c: Any) -> Any:
        return ((lt.sigmoid(b @ lt.sigmoid(a @ c)) - y) ** 2).sum()

    assert lt.autograd.gradcheck(error, (w1, w2, x))
    assert lt.autograd.gradgradcheck(error, (w1, w2, x))


def _plain_rnn(scale: float, steps: int = 30, hidden: int = 8) -> tuple[nn.RNN, lt.Tensor]:
    """A tanh layer at rest whose recurrent matrix is `scale` times a rotation: all singular values are `scale`."""
    layer = nn.RNN(2, hidden, bias=False)
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(hidden, hidden)))
    layer.load_state_dict(
        {
            "weight_ih_l0": lt.zeros(hidden, 2),
            "weight_hh_l0": lt.from_numpy((scale * rotation).astype(np.float32)),
        }
    )
    return layer, lt.zeros(steps, 1, 2)


@pytest.mark.parametrize("scale", [0.8, 1.0, 1.25])
def test_gradients_vanish_below_singular_values_of_1_and_explode_above(scale: float) -> None:
    """At rest tanh' is 1: the gradient's norm changes by the singular value at each step back."""
    layer, input = _plain_rnn(scale)
    norms = lt.plot.gradient_norms(layer, input, lambda h: h[-1].sum())
    np.testing.assert_allclose(norms, norms[-1] * scale ** np.arange(29, -1, -1), rtol=1e-4)


def test_gradients_of_a_tanh_layer_vanish_at_least_as_fast_as_its_singular_values_say() -> None:
    layer, _ = _plain_rnn(0.8)
    nn.init.normal_(layer.weight_ih_l0)
    norms = lt.plot.gradient_norms(layer, lt.randn(30, 1, 2), lambda h: h[-1].sum())
    assert (norms[:-1] <= 0.8 * norms[1:] * 1.0001).all()


def test_the_gradient_of_a_loss_at_every_step_adds_up_what_comes_later() -> None:
    layer, input = _plain_rnn(0.5, steps=3, hidden=1)
    layer.load_state_dict({"weight_ih_l0": lt.zeros(1, 2), "weight_hh_l0": lt.tensor([[0.5]])})
    norms = lt.plot.gradient_norms(layer, input, lambda h: h.sum())
    np.testing.assert_allclose(norms, [1 + 0.5 + 0.25, 1 + 0.5, 1])


def test_an_open_lstm_cell_lets_gradients_through() -> None:
    """With a forget gate near 1 the cell is a sum, the constant error carousel."""
    plain, input = _plain_rnn(0.8, steps=60)
    lstm = nn.LSTM(2, 8)
    for parameter in lstm.parameters():
        nn.init.zeros_(parameter)
    for bias in (lstm.bias_ih_l0, lstm.bias_hh_l0):
        bias.data[8:16] = 5.0
    ours, theirs = (lt.plot.gradient_norms(layer, input, lambda h: h[-1].sum()) for layer in (lstm, plain))
    assert ours[0] / ours[-2] > 0.99
    assert theirs[0] / theirs[-2] < 1e-5


def test_gradient_norms_refuse_what_has_no_order_in_time() -> None:
    layer, input = _plain_rnn(1.0)
    with pytest.raises(ValueError, match="gradient_norms: expected a layer in one direction"):
        lt.plot.gradient_norms(nn.RNN(2, 3, bidirectional=True), input, lambda h: h.sum())
    with pytest.raises(ValueError, match=r"gradient_norms: expected input \[T, N, I\].* got \(30, 2\)"):
        lt.plot.gradient_norms(layer, input[:, 0], lambda h: h.sum())
    with pytest.raises(ValueError, match=r"gradient_norms: loss must give one number, got \(1, 8\)"):
        lt.plot.gradient_norms(layer, input, lambda h: h[-1])
