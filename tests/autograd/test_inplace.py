"""In-place changes: through views, on bases, on leaves, of saved values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import lectorium as lt


def run(program: Callable[[Any, Any], Any], lib: Any) -> tuple[list[float], list[float]]:
    x = lib.arange(12, dtype=lib.float64).reshape(3, 4)
    x = (x / 7 - 0.5).requires_grad_()
    out = program(lib, x)
    (out * out).sum().backward()
    return out.tolist(), x.grad.tolist()


def nested(lib: Any, x: Any) -> Any:
    y = x * 2
    v = y[1:].t()[::2]
    v[0].mul_(3)
    v.add_(y[0, 0])
    y[2].exp_()
    return y


def base_after_view(lib: Any, x: Any) -> Any:
    y = x * 2
    v = y[:, 1:3]
    y.mul_(x)
    return v * 1.5 + v.sin()


def view_after_base_was_used(lib: Any, x: Any) -> Any:
    y = x * 2
    z = y + 1
    y[0].zero_()
    return z + y


def siblings(lib: Any, x: Any) -> Any:
    y = x * 2
    a, b, c = y[0], y.reshape(-1)[2:6], y.t()
    a.mul_(2)
    b.sin_()
    return a.sum() + b.sum() + (c * c)


def data_into_slices(lib: Any, x: Any) -> Any:
    y = lib.zeros(5, 4, dtype=lib.float64)
    y[1:4] = x
    y[0] = x[0] * x[1]
    y[4, ::2] = x[2, 1] * 3
    y[y.detach() > 1] = 0.5
    y[[0, 2]] = y[[2, 0]]
    y[1:, -1] += x[0]
    return y


def copies(lib: Any, x: Any) -> Any:
    y = x.exp().clone()
    y[1].copy_(x[0])
    y[:, 0].copy_(x[0, 0])
    y.diagonal().copy_(x[:, 1])
    y.select(0, 2)[1:3].fill_(0.25)
    return y


def scalars(lib: Any, x: Any) -> Any:
    y = x[1, 2] * 1.0
    y.mul_(3).add_(x[0, 0])
    return y.exp_()


def operators(lib: Any, x: Any) -> Any:
    y = x * 1
    y += x
    y *= y
    y -= x[0]
    y /= 3
    y **= 2
    v = y[0]
    v += 1
    return y


def broadcasting(lib: Any, x: Any) -> Any:
    w = x.sum(0)
    y = x * 1
    y.mul_(w)
    y.sub_(x[:, :1], alpha=2)
    y.addcmul_(w, w, value=0.5)
    y.lerp_(w.expand(3, 4), 0.3)
    return y


def its_own_value(lib: Any, x: Any) -> Any:
    y = x.sigmoid()
    y = y.clone().mul_(y)
    y.mul_(y)
    return y.pow_(3)


def a_tensor_that_starts_without_gradient(lib: Any, x: Any) -> Any:
    y = lib.ones(3, 4, dtype=lib.float64)
    v = y[1]
    y.mul_(x)
    assert v.grad_fn is not None  # asking brings PyTorch's view up to date
    v.mul_(2)
    return y


def under_no_grad(lib: Any, x: Any) -> Any:
    y = x * 2
    z = y + 0
    with lib.no_grad():
        y.mul_(10)
        x[0] = 3.0
    return z + y


def on_a_detached_alias(lib: Any, x: Any) -> Any:
    y = x * 2
    y.detach().zero_()
    return y + x


def infinite(lib: Any, x: Any) -> Any:
    y = x / lib.zeros(3, 4, dtype=lib.float64)
    y.zero_()
    y.add_(x)
    return y


def transposed_in_place(lib: Any, x: Any) -> Any:
    y = x * 2
    y.t_()
    y[0].mul_(3)
    v = y[1]
    v.unsqueeze_(0).mul_(2)
    return y


PROGRAMS = [
    nested, base_after_view, view_after_base_was_used, siblings, data_into_slices, copies, scalars, operators,
    broadcasting, its_own_value, a_tensor_that_starts_without_gradient, under_no_grad, on_a_detached_alias,
    infinite, transposed_in_place,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_values_and_gradients_are_pytorchs(program: Callable[[Any, Any], Any]) -> None:
    torch = pytest.importorskip("torch", reason="parity needs torch")
    ours = run(program, lt)
    # Here values that an in-place change is about to overwrite are kept; PyTorch keeps them if it is told to.
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.detach().clone(), lambda t: t):
        theirs = run(program, torch)
    flat = [lt.tensor(t, dtype=lt.float64) for t in (*ours, *theirs)]
    assert lt.allclose(flat[0], flat[2], rtol=1e-10, equal_nan=True)
    assert lt.allclose(flat[1], flat[3], rtol=1e-10, equal_nan=True)


def leaf() -> Any:
    return lt.ones(2, 3, requires_grad=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.add_(1), lambda x: x.zero_(), lambda x: x[0].mul_(2), lambda x: x.t().sin_(), lambda x: x.copy_(x.detach()),
        lambda x: x.__setitem__(0, 1.0), lambda x: x.__setitem__([0], 1.0), lambda x: x.uniform_(), lambda x: x.fill_(1),
        lambda x: x.view(-1)[1:].exp_(), lambda x: x.masked_fill_(x.detach() > 0, 0.0), lambda x: x.__iadd__(1),
        lambda x: x.t_(),
    ],
)  # fmt: skip
def test_a_leaf_that_requires_gradients_refuses_changes_outside_no_grad(change: Any) -> None:
    x = leaf()
    with pytest.raises(RuntimeError, match="leaf"):
        change(x)
    assert x.tolist() == [[1, 1, 1], [1, 1, 1]]
    with lt.no_grad():
        change(x)
    assert x.requires_grad
    assert x.is_leaf


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("mul", lambda y, x: (y * y, y.add_(1))),
        ("exp", lambda y, x: (lambda e: (e * 1, e.add_(1)))(y.exp())),
        ("sin", lambda y, x: (y.sin(), y[0].zero_())),
        ("matmul", lambda y, x: (y @ y.t(), y.t().mul_(2))),
        ("div", lambda y, x: (x / y, y.detach().add_(1))),
        ("index_get", lambda y, x: (lambda i: (y[i], i.add_(1)))(lt.tensor([0]))),
        ("index_put", lambda y, x: (lambda i: (lt.index_put(y, [i], x[0]), i.add_(1)))(lt.tensor([0]))),
        ("gather", lambda y, x: (lambda i: (y.gather(1, i), i.add_(1)))(lt.zeros(2, 1, dtype=lt.int64))),
    ],
)
def test_a_saved_value_that_changed_is_an_error_that_names_the_operation(name: str, program: Any) -> None:
    x = leaf()
    out, _ = program(x * 2, x)
    with pytest.raises(
        RuntimeError, match=f"a tensor that {name} needs for its gradient was changed by an in-place"
    ):
        out.sum().backward()


def test_a_change_under_no_grad_counts_too() -> None:
    x = leaf()
    y = x * 2
    z = y.square()
    with lt.no_grad():
        y.mul_(2)
    with pytest.raises(RuntimeError, match="square"):
        z.sum().backward()


def test_a_value_that_no_gradient_needs_may_change() -> None:
    x = leaf()
    y = x * 2
    z = y + 1
    y.zero_()
    (z * 3).sum().backward()
    assert x.grad.tolist() == [[6] * 3] * 2


def test_an_optimizer_step_between_forward_and_backward_is_noticed() -> None:
    w = leaf()
    loss = (w * w).sum()
    with lt.no_grad():
        w.sub_(0.1)
    with pytest.raises(RuntimeError, match="mul"):
        loss.backward()


def test_an_expanded_view_refuses_to_be_written() -> None:
    y = (leaf() * 1)[:1].expand(4, 3)
    with pytest.raises(RuntimeError, match="share one memory location"):
        y.mul_(2)


def test_the_result_must_fit_in_shape_and_dtype() -> None:
    x = leaf()
    y = x * 1
    with pytest.raises(lt.ShapeError, match=r"\[4, 2, 3\]"):
        y.add_(lt.ones(4, 1, 1))
    with pytest.raises(TypeError):
        lt.ones(2, dtype=lt.int64).mul_(0.5)
    with pytest.raises(TypeError):
        lt.ones(2, 3, dtype=lt.int64).mul_(x)
    y.add_(lt.ones(2, 3, dtype=lt.float64, requires_grad=True))
    assert y.dtype == lt.float32


def test_gradients_reach_a_double_precision_source_of_a_single_precision_target() -> None:
    a = lt.ones(3, dtype=lt.float64, requires_grad=True)
    y = leaf() * 1
    y[0] = a
    y[1].mul_(a)
    y.sum().backward()
    assert a.grad.dtype == lt.float64
    assert a.grad.tolist() == [2, 2, 2]


def test_changed_tensors_can_be_differentiated_twice() -> None:
    def f(x: Any) -> Any:
        y = x * 1
        y[0].mul_(x[1])
        y[:, 1] = x[:, 0] ** 2
        return y.exp_()

    assert lt.autograd.gradgradcheck(f, (lt.randn(2, 3, dtype=lt.float64).requires_grad_(),))


def test_swapping_data_leaves_the_graph_alone() -> None:
    x = leaf()
    y = (x * 2).sum()
    x.data = lt.zeros(2, 3)
    y.backward()
    assert x.grad.tolist() == [[2] * 3] * 2
    assert x.requires_grad
    with pytest.raises(TypeError, match="data: expected a Tensor"):
        x.data = 3
