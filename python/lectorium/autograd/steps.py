"""A function of (inputs, states) run over a sequence as one operation: recorded, kept, differentiated."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, cast

from .. import _core
from .._core import Op, Program, Run, Tensor, is_grad_enabled, note
from ..random import Generator, default_generator
from .carrying import carrying, wants_of
from .checkpoint import aside
from .composite import composite_gradients
from .lowering import Unsupported, program
from .recording import Recorder, Unrecorded
from .replay import again, later

Flat = Callable[[Sequence[Tensor], Sequence[Tensor]], tuple[list[Tensor], list[Tensor]]]


class Step:
    """The function, recorded on one step."""

    def __init__(self, cell: Flat, xs: list[Tensor], states: list[Tensor]) -> None:
        self.recorder = Recorder((*xs, *states))
        self.given = (*xs, *states)
        self.outputs: list[Tensor] = []
        self.new: list[Tensor] = []
        self.results: list[int] = []

        def watched() -> None:
            self.outputs, self.new = cell(xs, states)
            both = (*self.outputs, *self.new)
            self.results = [self.recorder.number(t, "its result") for t in both]

        try:
            self.recorder.run(watched)
        except Unrecorded as e:
            self.why: str | None = str(e)
            return
        self.why = self.recorder.trouble or self._changes(states)

    def _changes(self, states: list[Tensor]) -> str | None:
        for t, s in zip(self.new, states, strict=True):
            if t.shape != s.shape:
                return f"its state changes from shape {list(s.shape)} to {list(t.shape)}"
            if t.dtype is not s.dtype:
                return f"its state changes from {s.dtype!r} to {t.dtype!r}"
        for t in (*self.outputs, *self.new, *self.recorder.tensors):
            node = t._node
            if node is not None and (node.hooks or node.retained):
                return "it hangs hooks on its tensors"
        return None

    def key(self) -> Any:
        """All that a program depends on."""
        r = self.recorder
        found = [r.tensors[n] for n in r.captured]
        tensors = tuple([(t.shape, t.dtype, t.requires_grad) for t in (*self.given, *found)])
        flags = tuple([t.requires_grad for t in (*self.outputs, *self.new)])
        return tensors, tuple(r.marks), tuple(r.captured), tuple(self.results), flags, r.draws


class _Made:
    """A program, and by numbers of steps which results carry gradients."""

    def __init__(self, made: Program) -> None:
        self.program = made
        self.forms: dict[int, _Form] = {}

    def form(self, step: Step, xs: list[Tensor], states: list[Tensor], steps: int) -> _Form:
        form = self.forms.get(steps)
        if form is None:
            form = self.forms[steps] = _Form(carrying(step, xs, states, steps))
            if len(self.forms) > _KEPT:
                self.forms.pop(next(iter(self.forms)))
        return form


class _Form:
    """Results in the order of the operation: those that carry gradients come first."""

    def __init__(self, carries: list[bool]) -> None:
        self.order = [i for i, c in enumerate(carries) if c] + [i for i, c in enumerate(carries) if not c]
        self.carrying = sum(carries)


class Call:
    """A call of a program: what its derivatives need beside tensors."""

    def __init__(
        self, made: _Made, form: _Form, step: Step, steps: int, dice: list[int], kept: Run | None
    ) -> None:
        self.made = made
        self.form = form
        self.step = step
        self.steps = steps
        self.dice = dice
        self.kept = kept


# Programs by what was recorded, or a reason where there can be none; the youngest last.
_programs: OrderedDict[Any, _Made | str] = OrderedDict()
_KEPT = 64


def run(
    cell: Flat, code: Any, xs: list[Tensor], states: list[Tensor], steps: int
) -> tuple[list[Tensor], list[Tensor]] | str:
    """Outputs for all steps and last states of ``cell``; or why it cannot be recorded.

    ``code`` stands for the function: another one is held against its own steps, even if it looks the same
    on the first.
    """
    dice = default_generator._state()
    try:
        with aside():
            step = Step(cell, *_start(xs, 0, states))
            made = step.why or _made(cell, code, step, xs, states, dice)
    finally:
        default_generator._set_state(dice)
    if isinstance(made, str):
        return made
    results = _run(made, step, xs, states, steps, dice)
    default_generator._set_state(later(dice, steps * step.recorder.draws))
    return results[: len(step.outputs)], results[len(step.outputs) :]


def _start(xs: Sequence[Tensor], t: int, states: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """The inputs of a step and states before it, as leaves with memory of their own."""
    parts: list[Tensor] = []
    for x in xs:
        part = _core.clone(_at(x, t))
        part.requires_grad = x.requires_grad
        parts.append(part)
    held: list[Tensor] = []
    for s in states:
        part = _core.clone(s.detach())
        # Later states may carry gradients where the first one does not.
        part.requires_grad = is_grad_enabled() and s.dtype.is_floating_point
        held.append(part)
    return parts, held


def _at(x: Tensor, t: int) -> Tensor:
    return _core.reshape(_core.narrow(x, 0, t, 1), list(x.shape[1:])).detach()


def _made(
    cell: Flat, code: Any, step: Step, xs: list[Tensor], states: list[Tensor], dice: list[int]
) -> _Made | str:
    """The program of a recorded step, new or kept."""
    key = step.key(), tuple([s.requires_grad for s in states]), is_grad_enabled(), code
    try:
        have = _programs.get(key)
    except TypeError:
        return "an operation has an argument that cannot be recorded"
    if have is None:
        have = _make(cell, step, xs, states, dice)
        _programs[key] = have
        if len(_programs) > _KEPT:
            _programs.popitem(last=False)
    else:
        _programs.move_to_end(key)
    return have


def _make(cell: Flat, step: Step, xs: list[Tensor], states: list[Tensor], dice: list[int]) -> _Made | str:
    wants = wants_of(step, xs, states)
    numbers = range(len(xs), len(xs) + len(states))
    try:
        made = program(step.recorder, range(len(xs)), numbers, step.outputs, step.new, wants)
    except Unsupported as e:
        return f"there is no instruction for {e}"
    except RuntimeError as e:
        return f"there is no instruction for {str(e).removeprefix('scan: ')}"
    found = _Made(made)
    return _differs(cell, step, made, xs, dice) or _derivative_differs(step, found, xs, states, dice) or found


def _differs(cell: Flat, step: Step, made: Program, xs: list[Tensor], dice: list[int]) -> str | None:
    """Holds the program against two plain steps."""
    default_generator._set_state(later(dice, step.recorder.draws))
    second = Step(cell, *_start(xs, 1, step.new))
    if second.why is not None:
        return second.why
    mine, others = step.recorder.elsewhere, second.recorder.elsewhere
    changed = len(mine) != len(others) or any(a is not b for a, b in zip(mine, others, strict=True))
    if changed or second.key() != step.key():
        return "it does something else at its second step than at its first"
    captured = [step.recorder.tensors[n].detach() for n in step.recorder.captured]
    both = [_core.narrow(x, 0, 0, 2) for x in xs]
    first = [t.detach() for t in step.given[len(xs) :]]
    outs, ends, _ = made.forward(both, first, captured, 2, (dice[0], dice[1]), False)
    pairs = list(zip(ends, second.new, strict=True))
    for out, a, b in zip(outs, step.outputs, second.outputs, strict=True):
        pairs += [(_at(out, 0), a), (_at(out, 1), b)]
    if not all(_close(a, b.detach()) for a, b in pairs):
        return "the recording does not compute what the cell does"
    return None


def _derivative_differs(
    step: Step, made: _Made, xs: list[Tensor], states: list[Tensor], dice: list[int]
) -> str | None:
    """Holds the program's derivative over two steps against that of the recorded operations."""
    from ..functions.random import randn

    captured = [step.recorder.tensors[n] for n in step.recorder.captured]
    need = [is_grad_enabled() and t.requires_grad for t in (*xs, *states, *captured)]
    form = made.form(step, xs, states, 2)
    if not form.carrying or not any(need):
        return None
    values = [*[_core.narrow(x, 0, 0, 2) for x in xs], *states, *captured]
    own = [t.detach() for t in values]
    for t, wanted in zip(own, need, strict=True):
        t.requires_grad = wanted
    n, m = len(xs), len(states)
    outs, ends, kept = made.program.forward(
        own[:n], own[n : n + m], own[n + m :], 2, (dice[0], dice[1]), True
    )
    call = Call(made, form, step, 2, dice, kept)
    seeds: list[Tensor | None] = [None] * len(form.order)
    source, results = Generator().manual_seed(0), [*outs, *ends]
    for i in form.order[: form.carrying]:
        seeds[i] = randn(results[i].shape, dtype=results[i].dtype, generator=source)
    mine = _vjp(_core, tuple([seeds[i] for i in form.order[: form.carrying]]), (call, *own), need)
    others = composite_gradients(lambda *given: again(call, given), own, seeds, need)
    for a, b in zip(mine, others, strict=True):
        if a is not None and b is not None and _core.isfinite(b).all().item():
            scale = _core.abs(b).max().item() if b.numel() else 0.0
            if not _core.le(_core.abs(_core.sub(a, b)), 1e-2 * scale + 1e-5).all().item():
                return "the recording's derivative is not the cell's"
    return None


def _close(a: Tensor, b: Tensor) -> bool:
    same = _core.eq(a, b)
    if a.dtype.is_floating_point:
        near = _core.le(_core.abs(_core.sub(a, b)), _core.add(_core.mul(_core.abs(b), 1e-3), 1e-5))
        nans = _core.logical_and(_core.isnan(a), _core.isnan(b))
        same = _core.logical_or(_core.logical_or(near, same), nans)
    return bool(_core.all(same).item())


def _run(
    made: _Made, step: Step, xs: list[Tensor], states: list[Tensor], steps: int, dice: list[int]
) -> list[Tensor]:
    """The operation: outputs, then last states."""
    captured = [step.recorder.tensors[n] for n in step.recorder.captured]
    args = (*xs, *states, *captured)
    form = made.form(step, xs, states, steps)
    keep = form.carrying > 0 and _core.needs_grad(args)
    outs, ends, kept = made.program.forward(xs, states, captured, steps, (dice[0], dice[1]), keep)
    results = [*outs, *ends]
    if keep:
        op = Op("scan", form.carrying)
        op.vjp = _vjp
        ordered = [results[i] for i in form.order]
        call = Call(made, form, step, steps, dice, kept)
        note(op, args, tuple(ordered) if len(ordered) > 1 else ordered[0], (call, *args))
    return results


def _vjp(k: Any, g: Any, saved: Any, need: Any) -> Any:
    call: Call = saved[0]
    args: list[Tensor] = list(saved[1:])
    flowing = cast("Sequence[Tensor | None]", g if isinstance(g, tuple) else (g,))
    results: list[Tensor | None] = [None] * len(call.form.order)
    for i, flow_in in zip(call.form.order, flowing, strict=False):
        results[i] = flow_in
    if k is not _core:
        return composite_gradients(lambda *own: again(call, own), args, results, need)
    count = len(call.step.outputs)
    kept = cast(Run, call.kept)
    dx, ds, dc = call.made.program.backward(kept, results[:count], results[count:])
    return tuple([f if wanted else None for f, wanted in zip((*dx, *ds, *dc), need, strict=True)])
