"""gradcheck and gradgradcheck must fail for wrong gradients, and pass for right ones."""

from __future__ import annotations

from typing import Any

import pytest

import lectorium as lt
from lectorium.autograd import Function, GradcheckError, gradcheck, gradgradcheck


def wrong(slope: Any) -> Any:
    class Square(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return slope(g, ctx.saved_tensors[0])

    return Square.apply


def inputs(*shape: int) -> Any:
    return lt.randn(*shape, dtype=lt.float64).requires_grad_()


@pytest.mark.parametrize(
    "slope",
    [
        lambda g, x: g * x * 2.01,
        lambda g, x: g * x * -2,
        lambda g, x: None,
        lambda g, x: g * x.flip(0) * 2,
        lambda g, x: g * 2 * x * float("nan"),
    ],
)
def test_a_wrong_gradient_fails(slope: Any) -> None:
    x = inputs(2, 3)
    with pytest.raises(GradcheckError, match="the tape says.*central differences say"):
        gradcheck(wrong(slope), (x,))
    assert gradcheck(wrong(slope), (x,), raise_exception=False) is False


def test_the_right_gradient_passes() -> None:
    assert gradcheck(wrong(lambda g, x: g * x * 2), (inputs(2, 3),))
    assert gradgradcheck(wrong(lambda g, x: g * x * 2), (inputs(2, 3),))


@pytest.mark.parametrize(
    "slope",
    [
        lambda g, x: g * x.detach() * 2,
        lambda g, x: (g * x * 2).detach(),
        lambda g, x: g * x * x / x.detach() * 2,
    ],
)
def test_a_gradient_that_is_right_but_not_differentiable_fails_the_second_check(slope: Any) -> None:
    x = inputs(2, 3)
    assert gradcheck(wrong(slope), (x,))
    with pytest.raises((GradcheckError, ValueError)):
        gradgradcheck(wrong(slope), (x,))


def test_several_inputs_and_outputs_are_checked_each() -> None:
    a, b = inputs(2), inputs(2)
    assert gradcheck(lambda a, n, b: (a * b, (a * n).exp()), (a, 3, b))

    class Half(Function):
        @staticmethod
        def forward(ctx: Any, a: Any, b: Any) -> Any:
            return a + b

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g, g * 0.5

    with pytest.raises(GradcheckError, match="output 0 with respect to input 1"):
        gradcheck(Half.apply, (a, b))


def test_a_gradient_taken_within_the_function_can_be_checked() -> None:
    def slope(x: Any) -> Any:
        return lt.autograd.grad((x**3).sum(), x, create_graph=True)[0]

    assert gradcheck(slope, (inputs(3),))


def test_what_cannot_be_checked_is_refused() -> None:
    with pytest.raises(ValueError, match="float32; finite differences need float64"):
        gradcheck(lt.exp, (lt.ones(2, requires_grad=True),))
    with pytest.raises(ValueError, match="none of the inputs requires gradients"):
        gradcheck(lt.exp, (lt.ones(2, dtype=lt.float64),))
    with pytest.raises(ValueError, match="no output"):
        gradcheck(lambda x: x.detach(), (inputs(2),))


def test_the_inputs_stay_as_they_are() -> None:
    x = inputs(3)
    before = x.tolist()
    gradcheck(lt.exp, (x,))
    gradgradcheck(lt.exp, (x,))
    assert x.tolist() == before
    assert x.grad is None
