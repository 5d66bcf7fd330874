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


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.sub_(x[:, :, :1, :1]),
        lambda x: x.add_(x.transpose(2, 3)),
        lambda x: x.div_(x[0, 0, 0, 0]),
        lambda x: x.mul_(x[:, :1]),
        lambda x: x.add_(x.flip(0)),
    ],
)
def test_a_change_in_place_by_a_view_of_the_same_memory_is_seen(change) -> None:
    plain, last = pictures(2, 3, 4, 4)
    change(plain)
    change(last)
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


# Operations between convolutions.

F = lt.nn.functional
CHANNELS = [1, 3, 6, 16, 17, 33, 64, 70]


def close(a: lt.Tensor, b: lt.Tensor, tolerance: float = 2e-6) -> None:
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=tolerance, atol=tolerance)


def both_orders(function, *shape: int, passed_on: bool = True, seed: int = 0) -> None:
    """Values and gradients of ``function(x)`` are the same in either order, which it passes on."""
    plain, last = (x.requires_grad_() for x in pictures(*shape, seed=seed))
    a, b = function(plain), function(last)
    assert a.shape == b.shape
    assert b.is_contiguous()
    if passed_on:
        assert not _core.is_channels_last(a)
        assert _core.is_channels_last(b)
    if passed_on:
        weights, weights_last = pictures(*a.shape, seed=7)
        a.backward(weights)
        b.backward(weights_last)
        assert _core.is_channels_last(last.grad)
    else:
        (a * a).sum().backward()
        (b * b).sum().backward()
    close(last.grad, plain.grad, 2e-5)
    close(b.detach(), a.detach())


@pytest.mark.parametrize("c", CHANNELS[1:])
@pytest.mark.parametrize("relu", [False, True])
def test_batch_norm(c: int, relu: bool) -> None:
    gradients = []
    for x in pictures(5, c, 7, 6):
        x = (x * 2.0 + lt.arange(0.0, c).reshape(c, 1, 1)).requires_grad_()
        w, b = (lt.linspace(0.5, 1.5, c).requires_grad_(), lt.linspace(-1.0, 1.0, c).requires_grad_())
        mean, var = lt.zeros(c), lt.ones(c)
        function = F.batch_norm_relu if relu else F.batch_norm
        y = function(x, mean, var, w, b, training=True)
        assert _core.is_channels_last(y) == _core.is_channels_last(x)
        (y * y * y).sum().backward()
        assert _core.is_channels_last(x.grad) == _core.is_channels_last(y)
        z = function(x.detach(), mean, var, w.detach(), b.detach())
        assert _core.is_channels_last(z) == _core.is_channels_last(x)
        gradients.append([y.detach(), x.grad, w.grad, b.grad, mean, var, z])
    for a, b in zip(*gradients, strict=True):
        # Sums of gradients cancel: what matters is their size before.
        close(a, b, 1e-5 * max(1.0, a.abs().max().item()))


@pytest.mark.parametrize("shape", [(4, 6), (3, 4, 5), (2, 5, 3, 4)])
def test_batch_norm_relu_is_batch_norm_and_relu(shape: tuple[int, ...]) -> None:
    def run(function, dtype, order):
        x = order(lt.from_numpy(np.random.default_rng(3).standard_normal(shape)).to(dtype)).requires_grad_()
        c = shape[1]
        w, b = lt.linspace(-1.0, 1.5, c).to(dtype), lt.linspace(-0.5, 0.5, c).to(dtype)
        w.requires_grad_(), b.requires_grad_()
        y = function(x, w, b)
        (first,) = lt.autograd.grad((y * y).sum(), [x], create_graph=True)
        (first * first).sum().backward()
        return [y.detach(), first.detach(), x.grad, w.grad, b.grad]

    def parts(x, w, b):
        return F.batch_norm(x, None, None, w, b, training=True).relu()

    def fused(x, w, b):
        return F.batch_norm_relu(x, None, None, w, b, training=True)

    for order in (lambda x: x, _core.channels_last):
        for a, b in zip(run(fused, lt.float64, order), run(parts, lt.float64, order), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-9)
        for a, b in zip(run(fused, lt.float32, order), run(parts, lt.float32, order), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-3, atol=1e-3)
    mean, var = lt.linspace(-0.5, 0.5, shape[1]), lt.linspace(0.5, 1.5, shape[1])
    x = lt.from_numpy(np.random.default_rng(4).standard_normal(shape, dtype=np.float32))
    grads = []
    for function in (F.batch_norm_relu, lambda *a: F.batch_norm(*a).relu()):
        leaf = x.clone().requires_grad_()
        y = function(leaf, mean, var, None, None)
        (y * y).sum().backward()
        grads.append((y.detach(), leaf.grad))
    for a, b in zip(*grads, strict=True):
        close(a, b)


def test_batch_norm_is_accurate_far_from_zero() -> None:
    x = np.random.default_rng(0).standard_normal((8, 20, 30, 30)) + 1000.0 * np.arange(20).reshape(20, 1, 1)
    x[0, :, 0, 0] = -5e4  # an outlier as the first value
    last = _core.channels_last(lt.from_numpy(x.astype(np.float32)))
    x = last.double().numpy()
    want = (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5)
    y = F.batch_norm(last, None, None, training=True)
    assert _core.is_channels_last(y)
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-4, atol=1e-4)


def test_batch_norm_of_one_channel_that_is_not_a_number_leaves_the_others() -> None:
    for bad in (np.nan, np.inf):
        plain, _ = pictures(2, 17, 3, 3)
        plain[1, 4, 2, 2] = bad
        last = _core.channels_last(plain)
        a, b = (F.batch_norm(x, None, None, training=True).numpy() for x in (plain, last))
        assert np.isnan(b[:, 4]).all()
        assert not np.isnan(np.delete(b, 4, 1)).any()
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_batch_without_pictures() -> None:
    x = lt.zeros(0, 4, 3, 3).requires_grad_()
    F.batch_norm_relu(x, None, None, training=True).sum().backward()
    assert x.grad.shape == (0, 4, 3, 3)
    for pool in (lambda x: F.max_pool2d(x, 2), lambda x: F.adaptive_avg_pool2d(x, 1)):
        x = lt.zeros(0, 64, 4, 4).requires_grad_()
        pool(x).sum().backward()
        assert x.grad.shape == (0, 64, 4, 4)


POOLS = [
    lambda x: F.max_pool2d(x, 2),
    lambda x: F.max_pool2d(x, 3, 2, 1),
    lambda x: F.max_pool2d(x, 3, 1, 1),
    lambda x: F.max_pool2d(x, (2, 3), (3, 2), (1, 0), (2, 1), ceil_mode=True),
    lambda x: F.avg_pool2d(x, 2),
    lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
    lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
    lambda x: F.avg_pool2d(x, (2, 3), divisor_override=5),
    lambda x: F.adaptive_avg_pool2d(x, (3, 2)),
    lambda x: F.adaptive_avg_pool2d(x, (11, 4)),
]


@pytest.mark.parametrize("c", CHANNELS[1:])
@pytest.mark.parametrize("pool", POOLS)
def test_pooling(pool, c: int) -> None:
    both_orders(pool, 2, c, 9, 8)


@pytest.mark.parametrize("c", [3, 16, 33])
@pytest.mark.parametrize(
    "pool",
    [
        lambda x: F.adaptive_avg_pool2d(x, 1),
        lambda x: F.avg_pool2d(x, (9, 8)),
        lambda x: F.max_pool2d(x, (9, 8)),
    ],
)
def test_pooling_to_one_position(pool, c: int) -> None:
    both_orders(pool, 2, c, 9, 8, passed_on=False)
    _, last = pictures(2, c, 9, 8)
    last.requires_grad_()
    pool(last).sum().backward()
    assert _core.is_channels_last(last.grad) == (c >= 16)


def test_maxima_that_are_equal_infinite_or_not_a_number() -> None:
    x = np.zeros((1, 5, 6, 6), np.float32)
    x[0, 1], x[0, 2, 1, 1], x[0, 3, ::2], x[0, 4, 2:4] = -np.inf, np.nan, np.inf, np.nan
    plain = lt.from_numpy(x)
    for args in [(2,), (3, 2, 1), (3, 1, 1)]:
        want, indices = F.max_pool2d(plain, *args, return_indices=True)
        g = lt.arange(1.0, want.numel() + 1).reshape(want.shape)
        expected = _core.max_pool2d_grad(g, indices, _core.meta(plain))
        for order in (lambda x: x.clone(), _core.channels_last):
            leaf = order(plain).requires_grad_()
            y = F.max_pool2d(leaf, *args)
            y.backward(g)
            same(y.detach(), want)
            same(leaf.grad, expected)


def test_gradients_of_gradients_of_pooling() -> None:
    for pool in POOLS:
        found = []
        for x in pictures(2, 5, 9, 8):
            x.requires_grad_()
            y = pool(x)
            (first,) = lt.autograd.grad((y * y * y).sum(), [x], create_graph=True)
            (first * first).sum().backward()
            found.append(x.grad)
        close(*found, 1e-4)


def test_windows_with_more_taps_than_a_byte_counts() -> None:
    both_orders(lambda x: F.max_pool2d(x, 17, 3), 1, 4, 20, 20, passed_on=False)
    both_orders(lambda x: F.max_pool2d(x, (15, 17), 3), 1, 4, 20, 20)


@pytest.mark.parametrize("sizes", [(12, 12, 12), (1, 2, 5), (64, 3), (16,), (0, 4, 20), (600, 3)])
def test_cat_and_its_gradient(sizes: tuple[int, ...]) -> None:
    grads, values = [], []
    for order in (lambda x: x.clone(), _core.channels_last):
        parts = [
            order(lt.randn(2, c, 3, 4, generator=lt.Generator().manual_seed(c))).requires_grad_()
            for c in sizes
        ]
        y = lt.cat(parts, 1)
        weights = order(pictures(*y.shape, seed=1)[0])
        y.backward(weights)
        assert _core.is_channels_last(y) == _core.is_channels_last(weights)
        for p in parts:
            assert _core.is_channels_last(p.grad) == _core.is_channels_last(p)
        values.append(y.detach())
        grads.append([p.grad for p in parts])
    same(*values)
    for a, b in zip(*grads, strict=True):
        same(a, b)


def test_cat_of_parts_in_both_orders() -> None:
    plain, last = pictures(2, 8, 3, 4)
    small, small_last = pictures(2, 3, 3, 4, seed=1)
    want = lt.cat([plain, small], 1)
    for a, b in [(last, small), (plain, small_last), (last, small_last)]:
        y = lt.cat([a, b], 1)
        assert _core.is_channels_last(y)
        same(y, want)
    same(lt.cat([last, last], 0), lt.cat([plain, plain], 0))
    same(lt.cat([last, small_last.double()], 1), lt.cat([plain, small.double()], 1))


def test_cat_twice_differentiated() -> None:
    found = []
    for x in pictures(2, 5, 3, 4):
        x.requires_grad_()
        y = lt.cat([x, x * x, x], 1)
        (first,) = lt.autograd.grad((y * y * y).sum(), [x], create_graph=True)
        (first * first).sum().backward()
        found.append(x.grad)
    close(*found, 1e-4)


@pytest.mark.parametrize(
    "axes", [(0, 2, 3), (2, 3), (-1, -2), (1, 2, 3), (0, 1, 2, 3), None, (1,), (0,), (3,)]
)
@pytest.mark.parametrize("keepdim", [False, True])
def test_sums_and_means(axes, keepdim: bool) -> None:
    plain, last = pictures(3, 17, 5, 4)
    for name in ("sum", "mean"):
        arguments = () if axes is None else (axes, keepdim)
        a, b = getattr(plain, name)(*arguments), getattr(last, name)(*arguments)
        assert a.shape == b.shape
        close(a, b)


def test_sums_over_positions_move_no_memory() -> None:
    _, last = pictures(3, 17, 5, 4)
    last.sum((0, 2, 3)), last.mean((2, 3)), last.sum()
    assert _core.is_channels_last(last)


@pytest.mark.parametrize("pads", [(1, 2, 0, 3), (-1, 1, 1, -2), (0, 0, 0, 0, 2, 3), (0, 0, 0, 0, -1, 5)])
def test_constant_padding(pads: tuple[int, ...]) -> None:
    both_orders(lambda x: F.pad(x, pads), 2, 5, 4, 3)
    both_orders(lambda x: F.pad(x, pads, value=1.5), 2, 33, 4, 3)


def test_clones_and_sums_of_gradients_keep_the_order() -> None:
    plain, last = pictures(2, 17, 4, 5)
    copy = last.clone()
    assert _core.is_channels_last(copy)
    copy.add_(1.0)
    same(last, plain)
    last.requires_grad_()
    for _ in range(2):
        y = last * 1.0
        (y.relu() + y * y).backward(_core.channels_last(plain))
        assert _core.is_channels_last(last.grad)


def test_results_have_the_same_bits_for_any_number_of_threads() -> None:
    _, last = pictures(6, 20, 40, 41)
    weights = _core.channels_last(pictures(6, 20, 40, 41, seed=1)[0])
    before = lt.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 7):
            lt.set_num_threads(threads)
            x = last.clone().requires_grad_()
            w, b = lt.linspace(0.5, 1.5, 20).requires_grad_(), lt.linspace(-0.5, 0.5, 20).requires_grad_()
            y = F.batch_norm_relu(x, None, None, w, b, training=True)
            pooled = F.max_pool2d(y, 3, 2, 1) + F.avg_pool2d(y, 3, 2, 1)
            both = lt.cat([y, y * weights], 1)
            (pooled.sum() + both.mean((2, 3)).exp().sum()).backward()
            found.append([t.detach().numpy().copy() for t in (y, pooled, both, x.grad, w.grad, b.grad)])
    finally:
        lt.set_num_threads(before)
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
