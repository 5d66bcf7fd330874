"""Connectionist temporal classification."""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from ..autograd.composite import composite_gradients
from ..autograd.tape import Three, op
from . import elementwise, index, join, reduce, shape, unary

# Stands for log 0 in the composite: its differences are numbers, so that derivatives are no NaN.
_NEVER = -1e30


@op
def ctc_loss(
    k: Any,
    x: Any,
    targets: Any,
    input_lengths: list[int],
    target_lengths: list[int],
    blank: int,
    zero_infinity: bool,
) -> Three:
    """The loss of each sample of log probabilities ``[T, N, C]``; then what only the gradient needs."""
    losses, alpha, shifts = k.ctc_loss(x, targets, input_lengths, target_lengths, blank)
    if zero_infinity:
        losses = k.where(k.isinf(losses), 0.0, losses)
    rest = (targets, input_lengths, target_lengths, blank, zero_infinity)
    return (losses, alpha, shifts), (x, alpha, shifts, *rest)


@ctc_loss.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    x, alpha, shifts, targets, input_lengths, target_lengths, blank, zero_infinity = saved
    lengths = (input_lengths, target_lengths)
    if k is _core:
        return (k.ctc_loss_grad(g, x, targets, *lengths, blank, zero_infinity, alpha, shifts),)
    labels = _padded(targets, target_lengths)

    def losses(x: Any) -> Any:
        return _composite(x, labels, *lengths, blank, zero_infinity)

    return composite_gradients(losses, (x,), g, need)


def _padded(targets: Any, target_lengths: list[int]) -> list[list[int]]:
    """The labels of each sample."""
    if targets.ndim == 2:
        return [row[:n] for row, n in zip(targets.tolist(), target_lengths, strict=True)]
    flat: list[int] = targets.tolist()
    labels: list[list[int]] = []
    start = 0
    for n in target_lengths:
        labels.append(flat[start : start + n])
        start += n
    return labels


def _table(rows: list[list[int]] | list[list[bool]]) -> Any:
    """Rows of whole numbers as a tensor."""
    return _core.from_numbers(tuple(v for row in rows for v in row), [len(rows), len(rows[0])], _core.int64)


def _open(rows: list[list[bool]], dtype: Any) -> Any:
    """Logarithms of 1 and 0: what is added to a way that is open or closed."""
    return _core.cast(_core.where(_core.gt(_table(rows), 0), 0.0, _NEVER), dtype)


def _composite(
    x: Any,
    labels: list[list[int]],
    input_lengths: list[int],
    target_lengths: list[int],
    blank: int,
    zero_infinity: bool,
) -> Any:
    """The losses in plain operations: the forward algorithm over all samples, step by step."""
    time, n, _ = x.shape
    states = 2 * max(target_lengths) + 1
    classes = [[c for label in row for c in (blank, label)] for row in labels]
    classes = [row + [blank] * (states - len(row)) for row in classes]
    at = _table(classes)
    skip = _open(
        [[c != blank and i > 1 and c != row[i - 2] for i, c in enumerate(row)] for row in classes], x.dtype
    )
    ends = [[2 * m, max(2 * m - 1, 0)] for m in target_lengths]
    lens = _core.from_numbers(tuple(input_lengths), [n], _core.int64)

    never = _core.full([n, 2], _NEVER, x.dtype)
    x = elementwise.clamp(x, _NEVER, None)
    state = _open([[i == 2 for i in range(states + 2)]] * n, x.dtype)
    for t in range(time):
        ways = [shape.narrow(state, 1, 2 - back, states) for back in (0, 1, 2)]
        ways[2] = elementwise.add(ways[2], skip)
        if t == 0:
            # The first step stays at the first blank, or goes on to the first label.
            ways = ways[:2]
        moved = reduce.logsumexp(join.cat([shape.unsqueeze(w, 0) for w in ways], 0), (0,))
        moved = elementwise.add(moved, index.gather(x[t], 1, at))
        going = _core.unsqueeze(_core.gt(lens, t), 1)
        state = elementwise.where(going, join.cat([never, moved], 1), state)

    last = index.gather(shape.narrow(state, 1, 2, states), 1, _table(ends))
    last = elementwise.add(last, _open([[True, m > 0] for m in target_lengths], x.dtype))
    losses = unary.neg(reduce.logsumexp(last, (1,)))
    # Softmax's part of the gradient, as the kernel has it; its value is zero.
    inside = _core.lt(_core.unsqueeze(_core.arange(0, time, 1, _core.int64), 1), lens)
    mass = reduce.sum(elementwise.where(_core.unsqueeze(inside, 2), unary.exp(x), 0.0), (0, 2))
    losses = elementwise.add(losses, elementwise.sub(mass, mass.detach()))
    # Where there is no alignment the gradient is zero, or NaN as the kernel's.
    lost = _core.gt(losses.detach(), -_NEVER / 2)
    factor = _core.where(lost, 0.0 if zero_infinity else math.nan, 1.0)
    return elementwise.mul(losses, _core.cast(factor, losses.dtype))
