"""Random operations that gradients flow through."""

from __future__ import annotations

from typing import Any

from ..autograd.tape import One, op, plain


@op
def dropout(k: Any, x: Any, p: float, seed: int, offset: int) -> One:
    """``x`` with elements zeroed with probability ``p``, the others scaled by ``1 / (1 - p)``.

    The mask is a function of (seed, offset): the way back computes it again instead of keeping it.
    """
    return k.dropout(x, p, seed, offset), (p, seed, offset)


@dropout.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.dropout(g, *saved),)


# Draws, ``name(generator, *args)``.
uniform, normal, exponential, randint, randperm, bernoulli, multinomial = (
    plain("uniform"),
    plain("normal"),
    plain("exponential"),
    plain("randint"),
    plain("randperm"),
    plain("bernoulli"),
    plain("multinomial"),
)
