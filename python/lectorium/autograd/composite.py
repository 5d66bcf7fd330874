"""Derivatives of any order for fused operations, by way of the same function in small operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .._core import Tensor
from .walk import run_backward


def composite_gradients(
    function: Callable[..., Tensor | Sequence[Tensor]],
    inputs: Sequence[Tensor | None],
    gradients: Tensor | Sequence[Tensor | None],
    need: Sequence[Any],
) -> tuple[Tensor | None, ...]:
    """The gradients of ``function(*inputs)`` for those of the inputs that are needed, made of operations.

    For a vjp under ``create_graph``: they can be differentiated again, with respect to the inputs and to
    ``gradients``.
    """
    from .. import ops

    # Each input under a name of its own, so that one which was computed from another is not followed.
    own = [ops.clone(x) if wanted and x is not None else x for x, wanted in zip(inputs, need, strict=False)]
    out = function(*own)
    outs = [out] if isinstance(out, Tensor) else list(out)
    seeds = [gradients] if isinstance(gradients, Tensor) or gradients is None else list(gradients)
    pairs = [(o, g) for o, g in zip(outs, seeds, strict=True) if g is not None and o.requires_grad]
    targets = [x for x, wanted in zip(own, need, strict=False) if wanted and x is not None]
    found = run_backward([o for o, _ in pairs], [g for _, g in pairs], True, True, targets)
    rest = iter(found)
    return tuple(
        next(rest) if wanted and x is not None else None for x, wanted in zip(own, need, strict=False)
    )
