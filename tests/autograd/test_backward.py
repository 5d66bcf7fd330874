"""backward and grad: what flows where, what is kept, what is refused."""

from __future__ import annotations

import pytest

import lectorium as lt
from lectorium.autograd import grad


def leaf(*values: float) -> lt.Tensor:
    return lt.tensor(values, dtype=lt.float64, requires_grad=True)


def test_gradients_add_up_in_the_same_object() -> None:
    x = leaf(1, 2)
    (x * 3).sum().backward()
    first = x.grad
    (x * x).sum().backward()
    assert x.grad is first
    assert first.tolist() == [5, 7]


def test_a_chain_of_fifty_thousand_operations_runs_backward() -> None:
    x = lt.ones(2, requires_grad=True)
    y = x
    for _ in range(50_000):
        y = y * 1.0 + 0.0
    y.sum().backward()
    assert x.grad.tolist() == [1, 1]


@pytest.mark.parametrize("keeps_tensors", [False, True])
def test_a_graph_of_a_million_operations_is_dropped_without_a_crash(keeps_tensors: bool) -> None:
    x = lt.ones(1, requires_grad=True)
    y = x
    for _ in range(300_000 if keeps_tensors else 1_000_000):
        y = y * y if keeps_tensors else y + 1
    del y
    assert x.grad is None


def test_what_is_used_twice_gets_both_gradients() -> None:
    x = leaf(2)
    y = x * 3
    (y * y + y).sum().backward()
    assert x.grad.item() == 3 * (2 * 6 + 1)


def test_a_second_backward_names_the_operation_and_the_way_out() -> None:
    x = leaf(1, 2)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"saved values of mul were freed.*retain_graph=True"):
        y.backward()
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [6, 12]


def test_a_graph_that_saved_nothing_runs_backward_twice_as_in_pytorch() -> None:
    x = leaf(1, 2)
    y = (x + 1).sum()
    y.backward()
    y.backward()
    assert x.grad.tolist() == [2, 2]


def test_memory_falls_while_backward_goes() -> None:
    x = lt.ones(100_000, requires_grad=True)
    seen: list[int] = []
    y = x
    for i in range(20):
        y = (y * 1.01).sin()
        if i % 5 == 0:
            y.register_hook(lambda g: seen.append(lt.memory.stats()["in_use"]))
    y = y.sum()
    lt.memory.reset_peak()
    before = lt.memory.stats()["in_use"]
    y.backward()
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] < before - 10 * 400_000
    assert lt.memory.stats()["peak"] < before + 6 * 400_000


def test_derivatives_of_any_order() -> None:
    x = lt.tensor(1.5, dtype=lt.float64, requires_grad=True)
    y = (x**2) ** 2
    want = [4 * 1.5**3, 12 * 1.5**2, 24 * 1.5, 24.0, 0.0]
    for value in want:
        (y,) = grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(value)


def test_create_graph_lets_a_gradient_penalty_train() -> None:
    x, w = leaf(0.3, -0.2), leaf(2.0, 1.0)
    y = (x * w).tanh().sum()
    (g,) = grad(y, x, create_graph=True)
    (g * g).sum().backward()

    def penalty(x: lt.Tensor, w: lt.Tensor) -> lt.Tensor:
        (g,) = grad((x * w).tanh().sum(), x, create_graph=True)
        return (g * g).sum()

    assert lt.autograd.gradcheck(penalty, (x, w))
    assert w.grad is not None


def test_backward_with_create_graph_leaves_a_gradient_that_can_be_differentiated() -> None:
    x = leaf(3.0)
    (x**3).sum().backward(create_graph=True)
    g = x.grad
    assert g.requires_grad
    x.grad = None
    g.sum().backward()
    assert x.grad.item() == 18


def test_a_gradient_never_shares_memory_with_another_tensor() -> None:
    a, b = leaf(1, 2), leaf(3, 4)
    seed = lt.ones(2, dtype=lt.float64)
    kept: list[lt.Tensor] = []
    c = leaf(5, 6)
    c.register_hook(lambda g: kept.append(g))
    for create_graph in (False, True):
        (a + b + c).backward(seed, create_graph=create_graph)
        grads = {t.grad.data_ptr() for t in (a, b, c)}
        assert len(grads) == 3
        assert not grads & {t.data_ptr() for t in (seed, *kept)}
        a.grad = b.grad = c.grad = None
        kept.clear()


def test_a_gradient_that_a_function_kept_is_not_changed_by_the_next_backward() -> None:
    kept: list[lt.Tensor] = []

    class Keep(lt.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            made = g * 2
            kept.append(made)
            return made

    x = leaf(1)
    for _ in range(2):
        Keep.apply(x).sum().backward()
    assert [k.item() for k in kept] == [2, 2]
    assert x.grad.item() == 4


def test_an_assigned_gradient_is_checked() -> None:
    x = lt.zeros(2, requires_grad=True)
    x.grad = lt.ones(2)
    x.grad = None
    with pytest.raises(lt.ShapeError, match=r"\[2\].*\[3\]"):
        x.grad = lt.ones(3)
    with pytest.raises(TypeError, match="float32.*float64"):
        x.grad = lt.ones(2, dtype=lt.float64)
    with pytest.raises(TypeError, match="Tensor or None"):
        x.grad = 1.0
    with pytest.raises(RuntimeError, match="its own gradient"):
        x.grad = x


def test_backward_needs_a_gradient_for_more_than_one_element() -> None:
    x = leaf(1, 2)
    with pytest.raises(RuntimeError, match=r"shape \[2\].*gradient="):
        (x * 2).backward()
    with pytest.raises(lt.ShapeError, match="must be equal"):
        (x * 2).backward(lt.ones(3))
    with pytest.raises(TypeError, match="must be a Tensor"):
        (x * 2).backward([1.0, 1.0])
    (x * 2).backward(lt.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2, 20]


def test_backward_on_what_recorded_nothing_says_why() -> None:
    with pytest.raises(RuntimeError, match="does not require gradients"):
        lt.ones(1).backward()


def test_backward_reaches_only_the_inputs_asked_for() -> None:
    a, b = leaf(1, 2), leaf(3, 4)
    y = a * b
    (y * y).sum().backward(inputs=[b, y])
    assert a.grad is None
    assert b.grad.tolist() == [6, 32]
    assert y.grad.tolist() == [6, 16]
    with pytest.raises(RuntimeError, match="inputs is empty"):
        (a * 1).sum().backward(inputs=[])
    with pytest.raises(RuntimeError, match="input 0 does not require"):
        (a * 1).sum().backward(inputs=lt.ones(1))


def test_several_tensors_run_backward_at_once() -> None:
    a, b = leaf(1, 2), leaf(3, 4)
    lt.autograd.backward([(a * b).sum(), a * 5], [None, lt.tensor([1.0, 0.0])])
    assert a.grad.tolist() == [8, 4]
    with pytest.raises(ValueError, match="2 outputs but 1 gradients"):
        lt.autograd.backward([(a * b).sum(), a.sum()], [None])


def test_a_leaf_runs_backward_into_itself() -> None:
    x = lt.tensor(2.0, requires_grad=True)
    x.backward()
    assert x.grad.item() == 1


# ---------------------------------------------------------------- grad


def test_grad_leaves_dot_grad_alone_and_takes_several_outputs_and_inputs() -> None:
    a, b = leaf(1, 2), leaf(3, 4)
    middle = a * b
    ga, gm, gb = grad([middle.sum(), (middle * middle).sum()], [a, middle, b])
    assert gm.tolist() == [7, 17]
    assert ga.tolist() == [21, 68]
    assert gb.tolist() == [7, 34]
    assert a.grad is None
    assert middle.grad is None


def test_grad_takes_gradients_of_the_outputs() -> None:
    a = leaf(1, 2)
    (g,) = grad(a * a, a, lt.tensor([1.0, 0.5], dtype=lt.float64))
    assert g.tolist() == [2, 2]
    (g,) = grad(a * a, a, grad_outputs=[lt.ones(2)])
    assert g.dtype == lt.float64


def test_grad_differentiates_with_respect_to_the_gradients_of_the_outputs() -> None:
    a, v = leaf(1, 2), leaf(0.5, 3)
    (g,) = grad(a * a, a, v, create_graph=True)
    (h,) = grad(g.sum(), v)
    assert h.tolist() == [2, 4]


def test_grad_tells_unused_inputs_from_used_ones() -> None:
    a, b = leaf(1), leaf(2, 3)
    with pytest.raises(RuntimeError, match="do not depend on input 1; pass allow_unused=True"):
        grad((a * 2).sum(), [a, b])
    assert grad((a * 2).sum(), [a, b], allow_unused=True)[1] is None
    assert grad((a * 2).sum(), [a, b], materialize_grads=True)[1].tolist() == [0, 0]
    with pytest.raises(ValueError, match="contradicts"):
        grad((a * 2).sum(), [a, b], materialize_grads=True, allow_unused=False)
    with pytest.raises(RuntimeError, match="input 0 does not require gradients"):
        grad((a * 2).sum(), lt.ones(1))


def test_grad_of_a_tensor_with_respect_to_itself_is_one() -> None:
    a = leaf(1)
    y = a * 3
    assert grad(y, y)[0].item() == 1
    assert grad(a, a)[0].item() == 1


def test_grad_does_not_compute_what_nobody_asked_for() -> None:
    called: list[tuple[bool, ...]] = []

    class Watch(lt.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            called.append((True,))
            return g

    a, b = leaf(1), leaf(2)
    y = Watch.apply(a) * b
    grad(y, b)
    assert called == []


def test_only_the_path_that_was_walked_is_freed() -> None:
    a, b = leaf(2), leaf(3)
    left, right = a * a, b * b
    y = left + right
    grad(y, a)
    assert grad(y, b)[0].item() == 6
    with pytest.raises(RuntimeError, match="freed"):
        grad(y, a)


def test_one_of_several_outputs_may_stay_unused() -> None:
    x = lt.tensor([[3.0, 1.0, 2.0]], requires_grad=True)
    values, indices = x.sort(1)
    assert not indices.requires_grad
    values[0, 0].backward()
    assert x.grad.tolist() == [[0, 1, 0]]


def test_integer_tensors_cannot_require_gradients() -> None:
    with pytest.raises(RuntimeError, match="floating point"):
        lt.zeros(2, dtype=lt.int64).requires_grad_()
    with pytest.raises(RuntimeError, match="only a leaf"):
        (lt.zeros(2, requires_grad=True) * 2).requires_grad_(False)


def test_detach_shares_memory_and_stops_gradients() -> None:
    x = leaf(1, 2)
    y = x * 2
    d = y.detach()
    assert d.data_ptr() == y.data_ptr()
    assert d.is_leaf
    assert not d.requires_grad
    (y + d).sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_leaves_and_results_are_told_apart() -> None:
    x = leaf(1)
    y = x * 2
    assert x.is_leaf
    assert not y.is_leaf
    assert x.grad_fn is None
    assert y.grad_fn.name() == "MulBackward"
    assert lt.ones(1).is_leaf
    with lt.no_grad():
        assert (x * 2).is_leaf


def test_a_graph_of_mixed_dtypes_gives_each_leaf_its_own() -> None:
    a = lt.ones(2, requires_grad=True)
    b = lt.ones(2, dtype=lt.float64, requires_grad=True)
    h = lt.ones(2, dtype=lt.float16, requires_grad=True)
    (a * b + h).sum().backward()
    assert (a.grad.dtype, b.grad.dtype, h.grad.dtype) == (lt.float32, lt.float64, lt.float16)


def test_empty_tensors_run_backward() -> None:
    x = lt.zeros(0, 3, requires_grad=True)
    (x * 2).sum().backward()
    assert x.grad.shape == (0, 3)


def test_gradients_add_up_on_the_gpu() -> None:
    if not lt.gpu.is_available():
        pytest.skip("no GPU: neither a card nor a software Vulkan driver was found")
    a, b = lt.ones(3).to("gpu").requires_grad_(), lt.ones(3).to("gpu").requires_grad_()
    for _ in range(2):
        (a + b).relu().sum().backward()
    assert a.grad.to("cpu").tolist() == [2, 2, 2]
    assert b.grad.to("cpu").tolist() == [2, 2, 2]
    x = lt.ones(3, requires_grad=True)
    (x.to("gpu") * 3).sum().backward()
    assert x.grad.tolist() == [3, 3, 3]
    with pytest.raises(RuntimeError, match="no GPU kernel yet"):
        (a * 2).mul_(3)
