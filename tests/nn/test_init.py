"""nn.init: bounds, spreads and shapes; the gains are PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from lectorium.nn import init


def drawn(function: Any, shape: tuple[int, ...] = (200, 300), **options: Any) -> np.ndarray:
    lt.manual_seed(0)
    w = lt.nn.Parameter(lt.empty(*shape))
    assert function(w, **options) is w
    assert w.requires_grad
    assert w.is_leaf
    return w.detach().numpy()


def test_constants_and_identities() -> None:
    assert (drawn(init.constant_, val=2.5) == 2.5).all()
    assert (drawn(init.ones_) == 1).all()
    assert (drawn(init.zeros_) == 0).all()
    assert (drawn(init.eye_, (3, 4)) == np.eye(3, 4)).all()


def test_dirac_passes_channels_through() -> None:
    torch = pytest.importorskip("torch", reason="parity needs torch")
    for shape, groups in (((4, 3, 3), 1), ((6, 3, 3, 5), 2), ((2, 4, 1, 1), 1)):
        want = torch.nn.init.dirac_(torch.empty(*shape), groups)
        assert drawn(init.dirac_, shape, groups=groups).tolist() == want.tolist()


def test_uniform_and_normal_numbers_have_their_spread() -> None:
    w = drawn(init.uniform_, a=-2.0, b=4.0)
    assert w.min() >= -2
    assert w.max() <= 4
    assert w.mean() == pytest.approx(1.0, abs=0.05)
    w = drawn(init.normal_, mean=1.0, std=3.0)
    assert w.mean() == pytest.approx(1.0, abs=0.1)
    assert w.std() == pytest.approx(3.0, rel=0.02)
    w = drawn(init.trunc_normal_, std=1.0, a=-1.0, b=1.0)
    assert np.abs(w).max() <= 1
    assert w.std() == pytest.approx(0.5396, rel=0.02)


@pytest.mark.parametrize(
    ("function", "options", "std"),
    [
        (init.xavier_uniform_, {}, math.sqrt(2 / 500)),
        (init.xavier_normal_, {"gain": 2.0}, 2 * math.sqrt(2 / 500)),
        (init.kaiming_uniform_, {}, math.sqrt(2 / 300)),
        (init.kaiming_uniform_, {"a": math.sqrt(5)}, math.sqrt(2 / 6 / 300)),
        (init.kaiming_normal_, {"mode": "fan_out", "nonlinearity": "relu"}, math.sqrt(2 / 200)),
    ],
)
def test_the_variance_follows_the_fans(function: Any, options: dict[str, Any], std: float) -> None:
    w = drawn(function, **options)
    assert w.std() == pytest.approx(std, rel=0.02)
    assert abs(w.mean()) < std / 50


def test_the_fans_of_a_convolution_count_its_field() -> None:
    w = drawn(init.kaiming_normal_, (64, 16, 3, 3))
    assert w.std() == pytest.approx(math.sqrt(2 / 144), rel=0.03)


@pytest.mark.parametrize("shape", [(5, 5), (3, 6), (6, 2, 2)])
def test_orthogonal_rows_or_columns_are_orthonormal(shape: tuple[int, ...]) -> None:
    w = drawn(init.orthogonal_, shape, gain=2.0).reshape(shape[0], -1) / 2
    product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-5)


def test_sparse_columns_have_their_share_of_zeros() -> None:
    w = drawn(init.sparse_, (20, 7), sparsity=0.3)
    assert ((w == 0).sum(0) == 6).all()


def test_the_gains_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch", reason="parity needs torch")
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "selu", "leaky_relu"):
        assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    assert init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)


def test_a_generator_of_ones_own_gives_the_same_numbers_again() -> None:
    g = lt.Generator().manual_seed(4)
    a = init.normal_(lt.empty(5), generator=g)
    assert init.normal_(lt.empty(5), generator=g.manual_seed(4)).tolist() == a.tolist()


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="fewer than 2 dimensions"):
        init.xavier_uniform_(lt.empty(3))
    with pytest.raises(ValueError, match="mode 'fan' not supported"):
        init.kaiming_normal_(lt.empty(3, 3), mode="fan")
    with pytest.raises(ValueError, match="unsupported nonlinearity 'swish'; expected one of"):
        init.calculate_gain("swish")
    with pytest.raises(ValueError, match="eye_: only tensors with 2 dimensions"):
        init.eye_(lt.empty(3))
    with pytest.raises(ValueError, match="dirac_: dim 0 must be divisible by groups"):
        init.dirac_(lt.empty(3, 1, 3), groups=2)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: init.normal_(lt.zeros(2, dtype=lt.int64)),
            TypeError,
            "normal_: expected a tensor of floats",
        ),
        (lambda: init.uniform_([1.0]), TypeError, "uniform_: expected a Tensor, got list"),  # pyright: ignore[reportArgumentType]
        (
            lambda: init.trunc_normal_(lt.zeros(2), std=0.0),
            ValueError,
            "std above 0 and a below b, got std 0",
        ),
        (lambda: init.trunc_normal_(lt.zeros(2), a=2.0, b=-2.0), ValueError, "a 2.0, b -2.0"),
        (lambda: init.sparse_(lt.zeros(4, 2), 1.5), ValueError, "sparse_: sparsity is the share of zeros"),
        (lambda: init.sparse_(lt.zeros(4, 2), -0.5), ValueError, "0 to 1, got -0.5"),
        (lambda: init.dirac_(lt.zeros(4, 2, 3), 0), ValueError, "divisible by groups, got 4 and 0"),
    ],
)
def test_what_no_weights_can_be_drawn_from_is_an_error(
    call: Callable[[], Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        call()


def test_xavier_leaves_an_empty_tensor_as_it_is() -> None:
    for function in (init.xavier_uniform_, init.xavier_normal_):
        with pytest.warns(UserWarning, match="no-op"):
            assert function(lt.empty(0, 0)).numel() == 0
