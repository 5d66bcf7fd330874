"""Hooks on tensors and retained gradients."""

from __future__ import annotations

import gc
import weakref

import pytest

import lectorium as lt


def test_a_hook_on_a_leaf_sees_the_whole_gradient_once_and_may_change_it() -> None:
    x = lt.ones(2, requires_grad=True)
    seen = []
    x.register_hook(lambda g: seen.append(g.tolist()))
    x.register_hook(lambda g: g * 10)
    (x * 2 + x * 3).sum().backward()
    assert seen == [[5, 5]]
    assert x.grad.tolist() == [50, 50]


def test_a_hook_on_a_result_changes_what_flows_on() -> None:
    x = lt.ones(2, requires_grad=True)
    y = x * 2
    y.register_hook(lambda g: g + 1)
    y.sum().backward()
    assert x.grad.tolist() == [4, 4]


def test_hooks_run_in_order_each_on_what_the_one_before_left() -> None:
    x = lt.ones(1, requires_grad=True)
    y = x * 1
    y.register_hook(lambda g: g + 1)
    y.register_hook(lambda g: g * 10)
    y.sum().backward()
    assert x.grad.item() == 20


@pytest.mark.parametrize("of_leaf", [True, False])
def test_a_removed_hook_is_not_called(of_leaf: bool) -> None:
    x = lt.ones(1, requires_grad=True)
    y = x if of_leaf else x * 1
    handle = y.register_hook(lambda g: g * 100)
    other = y.register_hook(lambda g: g * 2)
    handle.remove()
    handle.remove()
    (y * 1).sum().backward()
    assert x.grad.item() == 2
    other.remove()


def test_a_hook_that_keeps_its_gradient_keeps_it_unchanged() -> None:
    x = lt.ones(1, requires_grad=True)
    y = x * 1
    kept = []
    for t in (x, y):
        t.register_hook(kept.append)
    y.retain_grad()
    for _ in range(2):
        (y * 3).sum().backward(retain_graph=True)
    assert [k.item() for k in kept] == [3, 3, 3, 3]
    assert x.grad.item() == 6
    assert y.grad.item() == 6


def test_wrong_hooks_are_named() -> None:
    x = lt.ones(2, requires_grad=True)
    h = x.register_hook(lambda g: 3)
    with pytest.raises(TypeError, match="Tensor or None from a hook, got int"):
        (x * 1).sum().backward()
    h.remove()
    x.register_hook(lambda g: g[0])
    with pytest.raises(lt.ShapeError, match=r"\[2\].*\[\]"):
        (x * 1).sum().backward()
    with pytest.raises(RuntimeError, match="does not require gradients"):
        lt.ones(1).register_hook(lambda g: g)


def test_a_hook_can_be_differentiated_under_create_graph() -> None:
    x = lt.tensor(2.0, requires_grad=True)
    y = x * x
    y.register_hook(lambda g: g * x)
    (g,) = lt.autograd.grad(y, x, create_graph=True)  # 2 x²
    assert lt.autograd.grad(g, x)[0].item() == 8


def test_a_result_keeps_its_gradient_when_asked() -> None:
    x = lt.ones(2, requires_grad=True)
    y = x * 2
    assert not y.retains_grad
    y.retain_grad()
    assert y.retains_grad
    (y * y).sum().backward()
    assert y.grad.tolist() == [4, 4]
    x.retain_grad()
    assert not x.retains_grad
    with pytest.raises(RuntimeError, match="does not require"):
        lt.ones(1).retain_grad()


def test_a_retained_gradient_is_that_of_the_tensor_as_it_is_at_the_end() -> None:
    x = lt.ones(2, requires_grad=True)
    y = x * 2
    y.retain_grad()
    y.mul_(5)
    (y * 3).sum().backward()
    assert y.grad.tolist() == [3, 3]
    assert x.grad.tolist() == [30, 30]


def test_retaining_a_gradient_does_not_keep_the_tensor_alive() -> None:
    gc.disable()
    try:
        x = lt.ones(2, requires_grad=True)
        y = x * 2
        y.retain_grad()
        z = (y + 1).sum()
        seen = weakref.ref(y)
        del y
        assert seen() is None
        z.backward()
    finally:
        gc.enable()


def test_hooks_on_several_outputs_stay_apart() -> None:
    class Two(lt.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, a, b):
            return a * 2 + b * 3

    x = lt.ones(1, requires_grad=True)
    a, b = Two.apply(x)
    b.register_hook(lambda g: g * 10)
    (a + b).sum().backward()
    assert x.grad.item() == 32


def test_a_hook_of_a_tensor_can_last_for_a_with_block() -> None:
    x = lt.ones(1, requires_grad=True)
    with x.register_hook(lambda g: g * 10):
        x.sum().backward()
    x.sum().backward()
    assert x.grad.item() == 11
