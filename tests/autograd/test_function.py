"""Operations that users write: what forward leaves for backward, and what comes of mistakes."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

import lectorium as lt
from lectorium.autograd import Function, grad, gradcheck, gradgradcheck


class Cube(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * 3 * x * x


class Exp(Function):
    """Saves its output."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (y,) = ctx.saved_tensors
        return g * y


def leaf(*values: float) -> Any:
    return lt.tensor(values, dtype=lt.float64, requires_grad=True)


@pytest.mark.parametrize("function", [Cube, Exp])
def test_a_function_is_differentiable_any_number_of_times(function: Any) -> None:
    x = leaf(0.3, -0.5)
    assert gradcheck(function.apply, (x,))
    assert gradgradcheck(function.apply, (x,))
    y = function.apply(x).sum()
    assert y.grad_fn is not None
    for _ in range(3):
        (g,) = grad(y, x, create_graph=True)
        y = g.sum()
    want = 6.0 if function is Cube else x.exp()
    assert lt.allclose(g, lt.zeros_like(x) + want)


def test_the_node_has_the_name_of_the_function() -> None:
    assert "Cube" in repr(Cube.apply(leaf(1)).grad_fn)


def test_forward_records_nothing_and_may_use_any_library() -> None:
    class Numpy(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, scale: float, *, label: str = "") -> Any:
            assert not lt.is_grad_enabled()
            ctx.scale = scale
            return lt.from_numpy(x.detach().numpy() * scale)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * ctx.scale, None

    x = leaf(1, 2)
    Numpy.apply(x, 3.0).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_needs_input_grad_tells_what_is_asked_for() -> None:
    seen: list[tuple[bool, ...]] = []

    class Product(Function):
        @staticmethod
        def forward(ctx: Any, a: Any, n: int, b: Any) -> Any:
            seen.append(ctx.needs_input_grad)
            ctx.save_for_backward(a, b)
            return a * b * n

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            _, b = ctx.saved_tensors
            return g * b * 2, None, None

    a, b = leaf(1, 2), lt.tensor([3.0, 4.0], dtype=lt.float64)
    Product.apply(a, 2, b).sum().backward()
    with lt.no_grad():
        assert not Product.apply(a, 2, b).requires_grad
    assert seen == [(True, False, False), (False, False, False)]
    assert a.grad.tolist() == [6, 8]


def test_outputs_that_nobody_used_get_zeros_or_none() -> None:
    got: list[Any] = []

    class Two(Function):
        materialize = True

        @staticmethod
        def forward(ctx: Any, x: Any, materialize: bool) -> Any:
            ctx.set_materialize_grads(materialize)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx: Any, a: Any, b: Any) -> Any:
            got.append(b)
            return a * 2, None

    x = leaf(1, 2)
    Two.apply(x, True)[0].sum().backward()
    Two.apply(x, False)[0].sum().backward()
    assert got[0].tolist() == [0, 0]
    assert got[1] is None
    assert x.grad.tolist() == [4, 4]


def test_outputs_can_be_marked_as_not_differentiable() -> None:
    class Sort(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            values, order = x.sort()
            flags = values > 0
            half = values * 0.5
            ctx.mark_non_differentiable(order, half)
            ctx.save_for_backward(order)
            return values, order, flags, half, "text"

        @staticmethod
        def backward(ctx: Any, g: Any, *rest: Any) -> Any:
            (order,) = ctx.saved_tensors
            return lt.zeros_like(g).scatter(0, order, g)

    x = leaf(2, -1)
    values, order, flags, half, text = Sort.apply(x)
    assert [t.requires_grad for t in (values, order, flags, half)] == [True, False, False, False]
    assert text == "text"
    (values * lt.tensor([1.0, 10.0])).sum().backward()
    assert x.grad.tolist() == [10, 1]


def test_an_input_handed_through_becomes_an_output_of_its_own() -> None:
    class Reverse(Function):
        """The gradient reversal layer (Ganin and Lempitsky 2015)."""

        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return -g

    x = leaf(1, 2)
    y = Reverse.apply(x)
    assert y is not x
    assert y.data_ptr() == x.data_ptr()
    y.sum().backward()
    assert x.grad.tolist() == [-1, -1]
    z = x * 1
    y = Reverse.apply(z)
    with pytest.raises(RuntimeError, match="a view that the Function Reverse gave out"):
        y.mul_(2)
    z.mul_(2)
    with pytest.raises(RuntimeError, match="Reverse: the Function gave out a view"):
        y.sum().backward()


def test_setup_context_may_stand_apart_from_forward() -> None:
    class Square(Function):
        @staticmethod
        def forward(x: Any) -> Any:
            return x * x

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return 2 * g * ctx.saved_tensors[0]

    assert gradgradcheck(Square.apply, (leaf(1, 2),))


@pytest.mark.parametrize("of_view", [False, True])
def test_an_input_changed_in_place_is_marked_dirty(of_view: bool) -> None:
    class Double(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.mark_dirty(x)
            return x.mul_(2)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    x = leaf(1, 2)
    whole = x * 3
    part = whole[1:] if of_view else whole
    out = Double.apply(part)
    assert out is part
    (whole * whole).sum().backward()
    assert x.grad.tolist() == ([18, 144] if of_view else [72, 144])
    with pytest.raises(RuntimeError, match="leaf"):
        Double.apply(leaf(1))


def test_saved_tensors_that_changed_are_an_error() -> None:
    x = leaf(1, 2)
    z = x * 1
    y = Cube.apply(z)
    z.add_(1)
    with pytest.raises(RuntimeError, match="a tensor that Cube needs for its gradient was changed"):
        y.sum().backward()


def test_a_gradient_is_summed_and_cast_to_its_argument() -> None:
    class Add(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            return x + y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g, g

    x, y = leaf(1, 2), lt.ones(3, 2, requires_grad=True)
    Add.apply(x, y).sum().backward()
    assert x.grad.tolist() == [3, 3]
    assert y.grad.dtype == lt.float32


def returning(value: Any) -> Any:
    class Bad(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, n: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return value(g)

    return Bad


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (lambda g: g, RuntimeError, "Bad.backward returned 1 gradients, expected 2"),
        (lambda g: (g, None, g), RuntimeError, "returned 3 gradients, expected 2"),
        (lambda g: (g, g), RuntimeError, "argument 1 is no tensor"),
        (
            lambda g: (g[:1].expand(5), None),
            lt.ShapeError,
            r"gradient 0 has shape \[5\], the argument has \[2\]",
        ),
        (lambda g: (g[0], None), lt.ShapeError, r"gradient 0 has shape \[\]"),
        (lambda g: (1.0, None), TypeError, "must be a Tensor or None, got float"),
    ],
)
def test_a_wrong_backward_says_what_is_wrong(value: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        returning(value).apply(leaf(1, 2), 5).sum().backward()


def test_extra_gradients_of_none_are_allowed() -> None:
    x = leaf(1)
    returning(lambda g: (g, None, None)).apply(x, 5).sum().backward()
    assert x.grad.item() == 1


def test_an_error_in_backward_names_the_function() -> None:
    def fail(g: Any) -> Any:
        raise KeyError("lost")

    with pytest.raises(KeyError) as caught:
        returning(fail).apply(leaf(1), 5).sum().backward()
    assert "in the backward pass of Bad" in "".join(caught.value.__notes__)


def test_a_function_without_its_methods_says_which_is_missing() -> None:
    class Empty(Function):
        pass

    with pytest.raises(NotImplementedError, match="forward"):
        Empty.apply(leaf(1))
    with pytest.raises(TypeError, match="save_for_backward: expected tensors or None, got int"):
        lt.autograd.FunctionCtx().save_for_backward(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("walk", [True, False])
def test_a_function_that_saves_its_output_does_not_leak(walk: bool) -> None:
    gc.collect()
    gc.disable()
    try:
        x = leaf(1, 2)
        y = Exp.apply(x)
        seen = weakref.ref(y)
        node = weakref.ref(y.grad_fn)
        if walk:
            y.sum().backward()
        del y
        assert seen() is None
        assert node() is None
    finally:
        gc.enable()
