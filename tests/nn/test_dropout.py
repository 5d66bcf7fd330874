"""Dropout: shares, scales, whole channels, seeds, and what eval does."""

from __future__ import annotations

import numpy as np
import pytest

import lectorium as lt
from lectorium import nn

F = nn.functional


def test_dropout_drops_its_share_and_scales_the_rest() -> None:
    lt.manual_seed(0)
    y = nn.Dropout(0.3)(lt.ones(100_000)).numpy()
    assert set(np.round(np.unique(y), 4)) == {0.0, np.round(np.float32(1 / 0.7), 4)}
    assert (y == 0).mean() == pytest.approx(0.3, abs=0.01)


def test_eval_and_probability_zero_change_nothing_and_one_drops_all() -> None:
    x = lt.randn(10)
    assert nn.Dropout(0.5).eval()(x) is x
    assert F.dropout(x, 0.0) is x
    assert F.dropout(x, 1.0).tolist() == [0.0] * 10


def test_the_gradient_passes_where_the_value_did() -> None:
    x = lt.ones(1000, requires_grad=True)
    y = F.dropout(x, 0.4)
    y.sum().backward()
    assert x.grad.tolist() == y.tolist()


def test_the_same_seed_drops_the_same_elements_and_each_call_others() -> None:
    lt.manual_seed(5)
    a, b = F.dropout(lt.ones(100)), F.dropout(lt.ones(100))
    assert a.tolist() != b.tolist()
    lt.manual_seed(5)
    assert F.dropout(lt.ones(100)).tolist() == a.tolist()


def test_in_place_dropout_changes_its_input() -> None:
    x = lt.ones(100, requires_grad=True)
    y = x * 1
    assert F.dropout(y, 0.5, inplace=True) is y
    y.sum().backward()
    assert x.grad.tolist() == y.tolist()


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Dropout1d, (5, 40, 3)),
        (nn.Dropout1d, (40, 3)),
        (nn.Dropout2d, (5, 40, 3, 2)),
        (nn.Dropout3d, (2, 40, 2, 2, 2)),
    ],
)
def test_channel_dropout_drops_whole_channels(layer: type[nn.Module], shape: tuple[int, ...]) -> None:
    lt.manual_seed(1)
    y = layer(0.5)(lt.ones(*shape)).numpy()
    channels = y.reshape(-1, *y.shape[1:]) if len(shape) > 2 else y[None]
    flat = channels.reshape(channels.shape[0] * channels.shape[1], -1)
    assert ((flat == flat[:, :1]).all(1)).all()
    assert 0 < (flat[:, 0] == 0).sum() < len(flat)
    assert set(np.unique(y)) == {0.0, 2.0}


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    lt.manual_seed(2)
    y = nn.AlphaDropout(0.3)(lt.randn(200_000)).numpy()
    assert y.mean() == pytest.approx(0.0, abs=0.02)
    assert y.std() == pytest.approx(1.0, abs=0.02)
    assert nn.AlphaDropout(0.3).eval()(lt.ones(3)).tolist() == [1.0, 1.0, 1.0]


def test_a_probability_outside_zero_to_one_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"Dropout: dropout probability has to be between 0 and 1, but got 1\.5"
    ):
        nn.Dropout(1.5)
    with pytest.raises(ValueError, match="dropout: dropout probability"):
        F.dropout(lt.ones(1), -0.1)
    with pytest.raises(lt.ShapeError, match="dropout3d: expected an input of 4 or 5 axes"):
        F.dropout3d(lt.ones(2, 3))
