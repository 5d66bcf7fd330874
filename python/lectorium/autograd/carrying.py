"""Which values of a recorded step carry gradients, as the loop over the steps would have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core import Tensor, is_grad_enabled
from .lowering import flow

if TYPE_CHECKING:
    from .steps import Step


def _at_first(step: Step, xs: list[Tensor], states: list[Tensor]) -> tuple[dict[int, bool], list[bool]]:
    """Which inputs and tensors found elsewhere carry gradients, and which first states."""
    r = step.recorder
    on = is_grad_enabled()
    wants = {n: on and x.requires_grad for n, x in enumerate(xs)}
    wants |= {n: on and r.tensors[n].requires_grad for n in r.captured}
    return wants, [on and s.requires_grad for s in states]


def _through(
    step: Step, xs: list[Tensor], first: dict[int, bool], asks: list[bool]
) -> tuple[dict[int, bool], list[bool]]:
    """Which recorded tensors and results carry gradients in a step where these of its states do."""
    now = first | dict(zip(range(len(xs), len(xs) + len(asks)), asks, strict=True))
    flow(step.recorder, now)
    results = zip(step.results, (*step.outputs, *step.new), strict=True)
    return now, [now.get(n, False) and t.requires_grad for n, t in results]


def wants_of(step: Step, xs: list[Tensor], states: list[Tensor]) -> dict[int, bool]:
    """Which of the recorded tensors carry gradients in some step."""
    first, asks = _at_first(step, xs, states)
    while True:
        now, found = _through(step, xs, first, asks)
        # A state wants gradients from the step on whose result does.
        grown = [a or f for a, f in zip(asks, found[len(step.outputs) :], strict=True)]
        if grown == asks:
            return now
        asks = grown


def carrying(step: Step, xs: list[Tensor], states: list[Tensor], steps: int) -> list[bool]:
    """Which results of so many steps carry gradients, as the loop's do."""
    (first, asks), count = _at_first(step, xs, states), len(step.outputs)
    each: list[list[bool]] = []
    begun: dict[tuple[bool, ...], int] = {}
    while len(each) < steps and tuple(asks) not in begun:
        begun[tuple(asks)] = len(each)
        each.append(_through(step, xs, first, asks)[1])
        asks = each[-1][count:]
    last = steps - 1
    if len(each) < steps:
        # From here on it is as it was.
        start = begun[tuple(asks)]
        last = start + (last - start) % (len(each) - start)
    outputs = [any(found) for found in zip(*[found[:count] for found in each], strict=True)]
    return outputs + each[last][count:]
