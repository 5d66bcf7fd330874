"""Recorded steps as operations on the tape: the composite of a program, for derivatives of any order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import _core
from .._core import Tensor, note, set_grad_enabled
from ..random import Generator
from .recording import Entry, fill

if TYPE_CHECKING:
    from .steps import Call

_TWO_TO_64 = 1 << 64


def later(dice: list[int], blocks: int) -> list[int]:
    """Where the generator is after so many draws."""
    return [dice[0], (dice[1] + blocks) % _TWO_TO_64]


def again(call: Call, own: Sequence[Tensor]) -> list[Tensor]:
    """Outputs and last states of a call, from ``own`` inputs, states and tensors found elsewhere."""
    from ..functions.join import select, stack

    step = call.step
    r = step.recorder
    n, m = len(own) - len(r.captured) - len(step.new), len(step.new)
    xs, state, captured = own[:n], list(own[n : n + m]), own[n + m :]
    outputs: list[list[Tensor]] = []
    on = set_grad_enabled(True)
    try:
        for t in range(call.steps):
            values: dict[int, Tensor] = dict(zip(r.captured, captured, strict=True))
            values |= dict(enumerate([*[select(x, 0, t) for x in xs], *state]))
            for entry in r.entries:
                set_grad_enabled(any(entry.need))
                args = fill(entry.args, values.__getitem__)
                args = tuple([_cut(a, need) for a, need in zip(args, entry.need, strict=True)])
                out = _once_more(entry, args, t, call)
                made = (out,) if isinstance(out, Tensor) else out
                values |= {i: v for i, v in zip(entry.outs, made, strict=True) if i is not None}
            set_grad_enabled(True)
            ended = [
                _cut(values[i], seen.requires_grad)
                for i, seen in zip(step.results, (*step.outputs, *step.new), strict=True)
            ]
            outputs.append(ended[: len(step.outputs)])
            state = ended[len(step.outputs) :]
        return [*[stack(list(parts)) for parts in zip(*outputs, strict=True)], *state]
    finally:
        set_grad_enabled(on)


def _once_more(entry: Entry, args: tuple[Any, ...], t: int, call: Call) -> Any:
    """A recorded call at step ``t``, drawing the numbers that the program drew."""
    if entry.offset is not None:
        at = later(call.dice, t * call.step.recorder.draws + entry.offset)
        if entry.op.name == "dropout":
            args = (*args[:2], *at)
        else:
            other = Generator()
            other._set_state(at)
            args = (other, *args[1:])
    forward: Any = entry.op.forward
    out, saved = forward(_core, *args)
    if entry.op.vjp is not None:
        note(entry.op, args, out, saved)
    return out


def _cut(value: Any, carries: bool) -> Any:
    """What the cell detached shares its number with what it was detached from."""
    return value if carries or not isinstance(value, Tensor) else value.detach()
