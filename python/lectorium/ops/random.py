"""Random operations that gradients flow through."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._core import Op, seen
from ..autograd.tape import One, op


@op
def dropout(k: Any, x: Any, p: float, seed: int, offset: int) -> One:
    """``x`` with elements zeroed with probability ``p``, the others scaled by ``1 / (1 - p)``.

    The mask is a function of (seed, offset): the way back computes it again instead of keeping it.
    """
    return k.dropout(x, p, seed, offset), (p, seed, offset)


@dropout.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.dropout(g, *saved),)


def _draws(name: str, doc: str) -> Any:
    """Draws ``name(generator, *args)``; a recorder sees it."""
    kernel = getattr(_core, name)
    made = Op(name)
    made.forward = lambda k, *args: (getattr(k, name)(*args), ())

    def call(*args: Any) -> Any:
        out = kernel(*args)
        seen(made, args, out)
        return out

    call.__name__ = call.__qualname__ = name
    call.__doc__ = doc
    return call


uniform = _draws("uniform", "Uniform numbers between two limits.")
normal = _draws("normal", "Normal numbers with a mean and a standard deviation.")
exponential = _draws("exponential", "Exponential waiting times.")
randint = _draws("randint", "Integers between two limits.")
randperm = _draws("randperm", "0 to n - 1 in random order.")
bernoulli = _draws("bernoulli", "1 with the given probabilities, else 0.")
multinomial = _draws("multinomial", "Indices drawn by weight.")
