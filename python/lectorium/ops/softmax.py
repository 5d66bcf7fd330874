"""Softmax and its logarithm."""

from __future__ import annotations

from typing import Any

from ..autograd.tape import One, op
from . import elementwise, reduce, unary


@op
def softmax(k: Any, x: Any, dim: int) -> One:
    """``exp(x) / sum(exp(x))`` along ``dim``."""
    y = k.softmax(x, dim)
    return y, (y, dim)


@softmax.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.softmax_grad(g, *saved),)


@op
def log_softmax(k: Any, x: Any, dim: int) -> One:
    """The logarithm of softmax along ``dim``."""
    y = k.log_softmax(x, dim)
    return y, (y, dim)


@log_softmax.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.log_softmax_grad(g, *saved),)


def softmax_grad(g: Any, y: Any, dim: int) -> Any:
    """``y * (g - sum(g * y))``."""
    return elementwise.mul(y, elementwise.sub(g, reduce.sum(elementwise.mul(g, y), (dim,), True)))


def log_softmax_grad(g: Any, y: Any, dim: int) -> Any:
    """``g - exp(y) * sum(g)``."""
    return elementwise.sub(g, elementwise.mul(unary.exp(y), reduce.sum(g, (dim,), True)))
