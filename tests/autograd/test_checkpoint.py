"""Checkpoints: less memory, the same gradients."""

from __future__ import annotations

import gc
from typing import Any

import pytest

import lectorium as lt
from lectorium.autograd import grad, gradcheck, gradgradcheck
from lectorium.utils.checkpoint import checkpoint, checkpoint_sequential


def block() -> Any:
    return lt.nn.Sequential(lt.nn.Linear(4, 8), lt.nn.Tanh(), lt.nn.Dropout(0.4), lt.nn.Linear(8, 4))


def gradients(net: Any, x: Any, run: Any) -> list[list[float]]:
    net.zero_grad()
    x.grad = None
    lt.manual_seed(5)
    run(x).square().sum().backward()
    return [p.grad.tolist() for p in net.parameters()] + ([x.grad.tolist()] if x.requires_grad else [])


@pytest.mark.parametrize("of_input", [True, False])
@pytest.mark.parametrize("use_reentrant", [None, True, False])
def test_gradients_are_the_same_with_dropout_and_parameters_inside(
    of_input: bool, use_reentrant: Any
) -> None:
    net = block()
    x = lt.randn(3, 4, requires_grad=of_input)
    plain = gradients(net, x, net)
    assert gradients(net, x, lambda t: checkpoint(net, t, use_reentrant=use_reentrant)) == plain


def test_random_numbers_after_backward_are_those_without_checkpoint() -> None:
    net = block()
    x = lt.randn(3, 4)
    gradients(net, x, net)
    after = lt.rand(3).tolist()
    gradients(net, x, lambda t: checkpoint(net, t))
    assert lt.rand(3).tolist() == after


def test_checkpoints_nest_and_chain() -> None:
    net = lt.nn.Sequential(*[block() for _ in range(4)])
    x = lt.randn(3, 4, requires_grad=True)
    plain = gradients(net, x, net)

    def nested(t: Any) -> Any:
        return checkpoint(lambda u: net[3](checkpoint(lambda v: checkpoint(net[2], net[1](v)), net[0](u))), t)

    assert gradients(net, x, nested) == plain
    assert gradients(net, x, lambda t: checkpoint_sequential(list(net), 2, t)) == plain
    with pytest.raises(ValueError, match="segments must be 1 to 4"):
        checkpoint_sequential(list(net), 5, x)


def test_a_checkpoint_can_be_differentiated_twice() -> None:
    w = lt.randn(3, dtype=lt.float64, requires_grad=True)
    x = lt.randn(3, dtype=lt.float64, requires_grad=True)

    def f(x: Any, w: Any) -> Any:
        return checkpoint(lambda t: checkpoint(lambda u: (u * w).exp(), t.sin()) * t, x)

    assert gradcheck(f, (x, w))
    assert gradgradcheck(f, (x, w))


def test_grad_reaches_parameters_and_backward_may_run_twice() -> None:
    w = lt.tensor([2.0, 3.0], requires_grad=True)
    y = checkpoint(lambda t: (t * w).exp(), lt.ones(2)).sum()
    (first,) = grad(y, w, retain_graph=True)
    (second,) = grad(y, w)
    assert first.tolist() == second.tolist()
    assert w.grad is None
    with pytest.raises(RuntimeError, match="freed"):
        grad(y, w)


def test_several_and_nested_inputs_and_outputs_go_through() -> None:
    a, b = lt.tensor([1.0], requires_grad=True), lt.tensor([2.0], requires_grad=True)

    def f(x: Any, many: dict[str, Any], *, scale: float) -> Any:
        return x * many["b"] * scale, "text", many["b"].exp()

    p, text, q = checkpoint(f, a, {"b": b}, scale=3.0)
    assert text == "text"
    (p + q).sum().backward()
    assert a.grad.item() == 6
    assert b.grad.item() == pytest.approx(3 + 2.718281828**2, rel=1e-6)


def test_memory_is_lower() -> None:
    def layer(t: Any) -> Any:
        for _ in range(6):
            t = (t * 1.1).sin()
        return t

    def peak(run: Any) -> int:
        x = lt.ones(50_000, requires_grad=True)
        gc.collect()
        lt.memory.reset_peak()
        start = lt.memory.stats()["in_use"]
        y = x
        for _ in range(6):
            y = run(y)
        y.sum().backward()
        return lt.memory.stats()["peak"] - start

    assert peak(lambda t: checkpoint(layer, t)) < 0.5 * peak(layer)
    # Nested: the inputs of the inner ones are not held either.
    outer = peak(lambda t: checkpoint(lambda u: checkpoint(layer, checkpoint(layer, u)), t))
    assert outer < 0.5 * peak(lambda t: layer(layer(t)))


def test_nothing_is_run_again_without_gradients() -> None:
    calls: list[int] = []

    def f(t: Any) -> Any:
        calls.append(1)
        return t * t

    with lt.no_grad():
        assert not checkpoint(f, lt.ones(1, requires_grad=True)).requires_grad
    checkpoint(f, lt.ones(1))
    x = lt.ones(1, requires_grad=True)
    checkpoint(f, x).backward()
    assert len(calls) == 4


def test_a_function_that_does_something_else_the_second_time_is_an_error() -> None:
    times: list[int] = []

    def fickle(t: Any) -> Any:
        times.append(1)
        return (t * t).sin() if len(times) % 2 else (t * t).cos()

    x = lt.ones(1, requires_grad=True)
    with pytest.raises(
        RuntimeError, match=r"checkpoint: the second run .* recorded cos where the first had sin"
    ):
        checkpoint(fickle, x).backward()

    def shorter(t: Any) -> Any:
        times.append(1)
        return (t * t).sin() if len(times) % 2 else t * t

    times.clear()
    with pytest.raises(RuntimeError, match="1 operations instead of 2"):
        checkpoint(shorter, x).backward()


def test_an_input_changed_in_place_since_is_an_error() -> None:
    x = lt.ones(2, requires_grad=True)
    h = x * 2
    y = checkpoint(lambda t: t.sin() * t, h)
    h.add_(1)
    with pytest.raises(RuntimeError, match="an input of the function was changed in place"):
        y.sum().backward()


def test_an_error_within_leaves_nothing_behind() -> None:
    def fail(t: Any) -> Any:
        raise KeyError("inside")

    x = lt.ones(2, requires_grad=True)
    with pytest.raises(KeyError):
        checkpoint(fail, x)
    y = x.exp()
    y.sum().backward()
    assert x.grad is not None


def test_a_thousand_checkpoints_leave_memory_flat_without_the_collector() -> None:
    net = block()
    x = lt.randn(3, 4)
    gradients(net, x, lambda t: checkpoint(net, t))
    gc.collect()
    gc.disable()
    try:
        start = lt.memory.stats()["in_use"]
        for _ in range(1000):
            gradients(net, x, lambda t: checkpoint(net, t))
        assert lt.memory.stats()["in_use"] == start
    finally:
        gc.enable()
