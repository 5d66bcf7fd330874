"""Random operations that gradients flow through."""

from __future__ import annotations

from typing import Any

from ..autograd.tape import One, op, plain


@op
def dropout(k: Any, x: Any, p: float, seed: int, offset: int) -> One:
    """``x`` with elements zeroed with probability ``p``, the others scaled by ``1 / (1 - p)``.

    Which ones is a function of (seed, offset). A bit an element is kept for the way back: making the numbers
    again costs more.
    """
    y, mask = k.dropout(x, p, seed, offset)
    return y, (mask, p)


@dropout.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    return (k.dropout_grad(g, *saved),)


@op
def dropout_grad(k: Any, g: Any, mask: Any, p: float) -> One:
    """``g`` where ``dropout`` let its input through, scaled as there."""
    return k.dropout_grad(g, mask, p), (mask, p)


@dropout_grad.vjp
def _(k: Any, gg: Any, saved: Any, need: Any) -> Any:
    return (k.dropout_grad(gg, *saved),)


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
