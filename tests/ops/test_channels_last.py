"""Memory with the channels last is invisible: same values, strides and views, and it is passed on."""

from __future__ import annotations

import numpy as np
import pytest

import lectorium as lt
from lectorium import _core


def pictures(*shape: int, seed: int = 0) -> tuple[lt.Tensor, lt.Tensor]:
    """The same values row-major and with the channels last."""
    plain = lt.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)).clone()
    last = _core.channels_last(plain)
    assert _core.is_channels_last(last)
    return plain, last


def same(a: lt.Tensor, b: lt.Tensor) -> None:
    np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_strides_contiguity_and_views_answer_as_for_row_major_memory() -> None:
    plain, last = pictures(2, 3, 4, 5)
    assert last.stride() == plain.stride()
    assert last.is_contiguous()
    assert _core.is_channels_last(last)
    same(last.view(2, -1), plain.view(2, -1))
    assert not _core.is_channels_last(last)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.relu(),
        lambda x: x.exp() * 2 - 1,
        lambda x: lt.nn.functional.gelu(x),
        lambda x: x.clamp(-0.5, 0.5),
        lambda x: x + x * x,
        lambda x: x * lt.arange(1.0, x.shape[1] + 1).reshape(1, -1, 1, 1),
        lambda x: x - lt.arange(0.0, x.shape[1]).reshape(-1, 1, 1),
        lambda x: x * lt.arange(0.0, x.shape[0] * x.shape[1]).reshape(x.shape[0], -1, 1, 1),
        lambda x: x + lt.tensor(2.0),
        lambda x: x > 0,
        lambda x: x.double(),
        lambda x: lt.where(x > 0, x, 0.1 * x),
    ],
)
def test_elementwise_operations_give_the_same_bits_in_either_order(function) -> None:
    plain, last = pictures(2, 3, 4, 5)
    same(function(last), function(plain))


def test_elementwise_results_stay_in_the_order_of_their_operands() -> None:
    plain, last = pictures(2, 3, 4, 5)
    assert _core.is_channels_last(last.relu())
    assert _core.is_channels_last(last + plain)
    assert _core.is_channels_last(plain * last)
    assert _core.is_channels_last(last * lt.ones(1, 3, 1, 1))
    assert not _core.is_channels_last(plain + plain)


def test_an_operand_that_differs_between_positions_is_right_too() -> None:
    plain, last = pictures(2, 3, 4, 5)
    for shape in [(5,), (4, 5), (1, 1, 4, 5), (2, 1, 4, 1), (7, 2, 3, 4, 5)]:
        other = lt.from_numpy(np.random.default_rng(1).standard_normal(shape, dtype=np.float32))
        same(last + other, plain + other)


def test_changes_in_place_keep_the_order_and_are_seen_by_views() -> None:
    plain, last = pictures(2, 3, 4, 5)
    for x in (plain, last):
        x.relu_()
        x.add_(1.0)
        x.mul_(x)
    assert _core.is_channels_last(last)
    row = last[1]
    for x in (plain, last):
        x.sub_(3.0)
    same(row, plain[1])
    assert not _core.is_channels_last(last)
    same(last, plain)


def test_a_view_taken_first_shares_memory_with_what_is_written_later() -> None:
    _, last = pictures(2, 3, 4, 5)
    flat = last.view(-1)
    last.relu_()
    last[0, 0, 0, 0] = 5.0
    assert flat[0].item() == 5.0
    assert flat.min().item() >= 0.0


def test_export_to_numpy_sees_later_changes() -> None:
    plain, last = pictures(2, 3, 4, 5)
    array = last.numpy()
    last.add_(1.0)
    np.testing.assert_array_equal(array, (plain + 1.0).numpy())


def test_pictures_of_one_position_or_one_channel_need_no_other_order() -> None:
    assert not _core.is_channels_last(_core.channels_last(lt.ones(2, 3, 1, 1)))
    assert not _core.is_channels_last(_core.channels_last(lt.ones(2, 1, 3, 3)))


def test_gradients_flow_through_either_order() -> None:
    plain, last = pictures(2, 3, 4, 5)
    for x in (plain, last):
        x.requires_grad_()
        ((x.relu() * x).exp() * lt.ones(3, 1, 1)).sum().backward()
    same(last.grad, plain.grad)


def test_a_tensor_without_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"channels_last: expected \[N, C, ...\], got shape \[3\]"):
        _core.channels_last(lt.ones(3))
