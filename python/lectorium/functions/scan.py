"""A cell that the user wrote, run over a sequence."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .. import _core, ops
from .._core import Op, Program, Tensor, is_grad_enabled, note, set_grad_enabled
from ..autograd.lowering import Unsupported, flow, program
from ..autograd.recording import Entry, Recorder, fill
from ..random import Generator, default_generator
from . import join

Cell = Callable[[Any, Any], tuple[Any, Any]]

# Programs by what was recorded; a reason where there can be none.
_programs: OrderedDict[Any, _Made | str] = OrderedDict()
_KEPT = 64


def scan(cell: Cell, inputs: Any, state: Any, *, length: int | None = None) -> tuple[Any, Any]:
    """Runs ``cell(x, state) -> (output, state)`` over the first axis of ``inputs``, as one operation.

    ``inputs``, ``state`` and outputs are tensors, or tuples, lists and dicts of them. Returns the outputs with
    the axis of steps in front, and the last state. ``inputs=None`` with ``length`` makes steps without input.

    The cell is written in plain operations on tensors. At each call it runs once on the first step, and what it
    computes is written down; the sequence then runs compiled, forward and backward, without Python. Products
    of the inputs with weights are made for all steps at once, as are the gradients of weights, and chains of
    elementwise operations are one pass. Gradients flow to inputs, to the first state and to every tensor that
    the cell uses; gradients of gradients are those of the loop. Random operations draw anew each step, the
    numbers that the loop would draw. What else the cell does (printing, counting, filling lists) happens once.

    Recorded are arithmetic, comparisons, ``where``, ``clamp``, powers and the functions of one tensor;
    activations, softmax, layer_norm, dropout and draws; matmul, linear, bmm, addmm; sum, mean, prod, amax, amin,
    max, min, argmax, logsumexp, cumsum; views, indices of ints and slices, cat, stack, chunk, pad, flip, roll,
    tril; embedding, gather, index_select, scatter_add, masked_fill and casts. A cell that calls something else, reads
    values (``item``, ``bool``, NumPy), changes tensors in place or changes the shape of its state runs as a
    loop, and a warning says why.

    Example:
        >>> w = lt.full((3, 3), 0.1, requires_grad=True)
        >>> def cell(x, h):
        ...     h = lt.tanh(x + h @ w)
        ...     return h, h
        >>> outputs, last = lt.scan(cell, lt.ones(5, 2, 3), lt.zeros(2, 3))
        >>> outputs.shape
        (5, 2, 3)
        >>> outputs.sum().backward()
        >>> w.grad.shape
        (3, 3)
    """
    xs, tree = _flat("inputs", inputs)
    states, state_tree = _flat("state", state)
    steps = _steps(xs, length)
    if steps == 1:
        return _loop(cell, inputs, state, steps)
    why = _outside(xs, states)
    done = why if isinstance(why, str) else _recorded(cell, xs, tree, states, state_tree, steps)
    if isinstance(done, str):
        text = f"scan: the cell cannot be recorded and runs as a loop: {done}"
        warnings.warn(text, RuntimeWarning, stacklevel=2)
        return _loop(cell, inputs, state, steps)
    return done


def _outside(xs: Sequence[Tensor], states: Sequence[Tensor]) -> str | None:
    for t in (*xs, *states):
        if not t.is_cpu:
            return "its tensors are on the GPU"
        if t.dtype in (_core.float16, _core.bfloat16):
            return f"programs do not compute in {t.dtype!r}"
    return None


def _flat(name: str, value: Any) -> tuple[list[Tensor], Any]:
    """The tensors of a nested structure, and the structure."""
    leaves: list[Tensor] = []

    def walk(v: Any) -> Any:
        if isinstance(v, Tensor):
            leaves.append(v)
            return "*"
        if v is None:
            return None
        if isinstance(v, dict):
            items: dict[Any, Any] = v
            return dict, tuple((key, walk(item)) for key, item in items.items())
        if isinstance(v, (tuple, list)):
            parts: Any = v
            return type(parts), tuple(walk(part) for part in parts)
        raise TypeError(
            f"scan: {name} must be tensors, or tuples, lists and dicts of tensors, got {type(v).__name__}"
        )

    return leaves, walk(value)


def _build(tree: Any, leaves: Iterator[Tensor]) -> Any:
    if tree is None:
        return None
    if tree == "*":
        return next(leaves)
    kind, parts = tree
    if kind is dict:
        return {key: _build(part, leaves) for key, part in parts}
    built = [_build(part, leaves) for part in parts]
    return kind(*built) if hasattr(kind, "_fields") else kind(built)


def _steps(xs: Sequence[Tensor], length: int | None) -> int:
    sizes: list[int] = []
    for t in xs:
        if t.ndim == 0:
            raise _core.ShapeError("scan: inputs need an axis of steps in front, got a tensor without axes")
        sizes.append(t.shape[0])
    if length is not None:
        sizes.append(length)
    if not sizes:
        raise ValueError("scan: without inputs the number of steps must be given as length=")
    if len(set(sizes)) > 1:
        raise _core.ShapeError(f"scan: inputs (and length) must have one number of steps, got {sizes}")
    if sizes[0] <= 0:
        raise ValueError(f"scan: expected at least one step, got {sizes[0]}")
    return sizes[0]


def _answer(got: Any) -> tuple[Any, Any]:
    if not isinstance(got, tuple) or len(got) != 2:
        shown = f"{len(got)} values" if isinstance(got, tuple) else type(got).__name__
        raise TypeError(f"scan: the cell must return (output, state), got {shown}")
    return got


def _loop(cell: Cell, inputs: Any, state: Any, steps: int) -> tuple[Any, Any]:
    """The cell called step by step."""
    xs, tree = _flat("inputs", inputs)
    made: list[list[Tensor]] = []
    first: Any = None
    for t in range(steps):
        output, state = _answer(cell(_build(tree, iter([join.select(x, 0, t) for x in xs])), state))
        leaves, out_tree = _flat("outputs", output)
        if made and out_tree != first:
            raise TypeError("scan: the cell must return outputs of one structure at every step")
        first = out_tree
        made.append(leaves)
    return _build(first, iter([join.stack(list(parts)) for parts in zip(*made, strict=True)])), state


class _Step:
    """The cell, recorded on one step."""

    def __init__(self, cell: Cell, xs: list[Tensor], tree: Any, states: list[Tensor], state_tree: Any) -> None:
        self.recorder = Recorder((*xs, *states))
        self.outputs: list[Tensor] = []
        self.new: list[Tensor] = []
        self.results: list[int] = []
        given = _build(tree, iter(xs)), _build(state_tree, iter(states))

        def watched() -> Any:
            output, new = _answer(cell(*given))
            self.outputs, out_tree = _flat("outputs", output)
            self.new, new_tree = _flat("state", new)
            self.results = [self.recorder.number(t, "its result") for t in (*self.outputs, *self.new)]
            return out_tree, new_tree

        self.out_tree, new_tree = self.recorder.run(watched)
        self.why = self.recorder.trouble or self._state_changes(states, state_tree, new_tree)

    def _state_changes(self, states: list[Tensor], before: Any, after: Any) -> str | None:
        if before != after:
            return "the state it returns has another structure than the one it was given"
        for t, s in zip(self.new, states, strict=True):
            if t.shape != s.shape:
                return f"its state changes from shape {list(s.shape)} to {list(t.shape)}"
            if t.dtype is not s.dtype:
                return f"its state changes from {s.dtype!r} to {t.dtype!r}"
        for t in (*self.outputs, *self.new):
            node = t._node
            if node is not None and (node.hooks or node.retained):
                return "it hangs hooks on its tensors"
        return None

    def key(self, given: Sequence[Tensor]) -> Any:
        """All that a program depends on."""
        r = self.recorder
        tensors = [(t.shape, t.dtype, t.requires_grad) for t in (*given, *[r.tensors[n] for n in r.captured])]
        flags = [t.requires_grad for t in (*self.outputs, *self.new)]
        return tuple(tensors), tuple(r.marks), tuple(r.captured), tuple(self.results), tuple(flags), r.draws


class _Made:
    """A program, and the operation that runs it."""

    def __init__(self, made: Program, wants: dict[int, bool], order: list[int]) -> None:
        self.program = made
        self.wants = wants
        # Results that carry gradients come first in the operation.
        self.order = order
        self.carrying = sum(1 for n in order if n >= 0)


def _recorded(
    cell: Cell, xs: list[Tensor], tree: Any, states: list[Tensor], state_tree: Any, steps: int
) -> tuple[Any, Any] | str:
    """Outputs and last state, or why there is no program."""
    before = default_generator._state()
    first, last = [], []
    for x in xs:
        part = _core.clone(_core.reshape(_core.narrow(x, 0, 0, 1), list(x.shape[1:])).detach())
        part.requires_grad = x.requires_grad
        first.append(part)
    for s in states:
        part = _core.clone(s.detach())
        # Later states may carry gradients where the first one does not.
        part.requires_grad = is_grad_enabled() and s.dtype.is_floating_point
        last.append(part)
    step = _Step(cell, first, tree, last, state_tree)
    found: _Made | str | None = step.why
    if found is None:
        found = _lookup(cell, step, (*first, *last), xs, tree, states, state_tree, before)
    default_generator._set_state(before)
    if isinstance(found, str):
        return found
    made = found
    captured = [step.recorder.tensors[n] for n in step.recorder.captured]
    outs = _run(made, step, xs, states, captured, steps, before)
    default_generator._set_state([before[0], (before[1] + steps * step.recorder.draws) % 2**64])
    count = len(step.outputs)
    return _build(step.out_tree, iter(outs[:count])), _build(state_tree, iter(outs[count:]))


def _lookup(
    cell: Cell,
    step: _Step,
    given: tuple[Tensor, ...],
    xs: list[Tensor],
    tree: Any,
    states: list[Tensor],
    state_tree: Any,
    before: list[int],
) -> _Made | str:
    first_states = tuple([s.requires_grad for s in states])
    # Another function is held against its own steps, even if it looks the same on the first one.
    key = (step.key(given), first_states, is_grad_enabled(), _code(cell))
    try:
        have = _programs.get(key)
    except TypeError:
        return "an operation has an argument that cannot be recorded"
    if have is not None:
        _programs.move_to_end(key)
        return have
    inputs, numbers = list(range(len(xs))), list(range(len(xs), len(given)))
    wants = _wants(step, xs, states, inputs, numbers)
    have = _make(cell, step, wants, inputs, numbers, given, xs, tree, state_tree, before)
    _programs[key] = have
    if len(_programs) > _KEPT:
        _programs.popitem(last=False)
    return have


def _code(cell: Any) -> Any:
    """What stays of a function that is made anew for each call."""
    cell = getattr(cell, "func", cell)
    return getattr(cell, "__code__", None) or type(cell)


def _wants(
    step: _Step, xs: list[Tensor], states: list[Tensor], inputs: list[int], numbers: list[int]
) -> dict[int, bool]:
    """Which of the recorded tensors carry gradients."""
    r = step.recorder
    grads = is_grad_enabled()
    wants = {n: grads and x.requires_grad for n, x in zip(inputs, xs, strict=True)}
    wants |= {n: grads and r.tensors[n].requires_grad for n in r.captured}
    state_wants = [grads and s.requires_grad for s in states]
    # A state wants gradients from the step on whose result does.
    while True:
        now = wants | dict(zip(numbers, state_wants, strict=True))
        flow(r, now)
        new = [now.get(n, False) and t.requires_grad for n, t in zip(step.results[len(step.outputs) :], step.new, strict=True)]
        grown = [a or b for a, b in zip(state_wants, new, strict=True)]
        if grown == state_wants:
            return now
        state_wants = grown


def _make(
    cell: Cell,
    step: _Step,
    wants: dict[int, bool],
    inputs: list[int],
    numbers: list[int],
    given: tuple[Tensor, ...],
    xs: list[Tensor],
    tree: Any,
    state_tree: Any,
    before: list[int],
) -> _Made | str:
    try:
        made = program(step.recorder, inputs, numbers, step.outputs, step.new, wants)
    except Unsupported as e:
        return f"there is no instruction for {e}"
    except RuntimeError as e:
        return f"there is no instruction for {str(e).removeprefix('scan: ')}"
    carries = [wants.get(n, False) and t.requires_grad for n, t in zip(step.results, (*step.outputs, *step.new), strict=True)]
    order = [i for i, c in enumerate(carries) if c] + [-1 - i for i, c in enumerate(carries) if not c]
    why = _check(cell, step, made, inputs, given, xs, tree, state_tree, before)
    return _Made(made, wants, order) if why is None else why


def _check(
    cell: Cell,
    step: _Step,
    made: Program,
    inputs: list[int],
    given: tuple[Tensor, ...],
    xs: list[Tensor],
    tree: Any,
    state_tree: Any,
    before: list[int],
) -> str | None:
    """Holds the program against two plain steps."""
    parts: list[Tensor] = []
    for x in xs:
        part = _core.clone(_core.reshape(_core.narrow(x, 0, 1, 1), list(x.shape[1:])).detach())
        part.requires_grad = x.requires_grad
        parts.append(part)
    states: list[Tensor] = []
    for s, g in zip(step.new, given[len(xs) :], strict=True):
        part = _core.clone(s.detach())
        part.requires_grad = g.requires_grad
        states.append(part)
    default_generator._set_state([before[0], (before[1] + step.recorder.draws) % 2**64])
    second = _Step(cell, parts, tree, states, state_tree)
    if second.why is not None:
        return second.why
    mine, other = step.recorder.elsewhere, second.recorder.elsewhere
    changed = len(mine) != len(other) or any(a is not b for a, b in zip(mine, other, strict=True))
    if changed or second.key((*parts, *states)) != step.key(given) or second.out_tree != step.out_tree:
        return "it does something else at its second step than at its first"
    captured = [step.recorder.tensors[n].detach() for n in step.recorder.captured]
    both = [_core.narrow(x, 0, 0, 2) for x in xs]
    seed, offset = before
    outs, ends, _ = made.forward(both, [t.detach() for t in given[len(xs) :]], captured, 2, (seed, offset), False)
    pairs = [(_at(o, t), plain) for o, a, b in zip(outs, step.outputs, second.outputs, strict=True) for t, plain in ((0, a), (1, b))]
    pairs += list(zip(ends, second.new, strict=True))
    if not all(_close(a, b.detach()) for a, b in pairs):
        return "the recording does not compute what the cell does"
    return None


def _at(x: Tensor, t: int) -> Tensor:
    return _core.reshape(_core.narrow(x, 0, t, 1), list(x.shape[1:]))


def _close(a: Tensor, b: Tensor) -> bool:
    if not a.dtype.is_floating_point:
        return bool(_core.all(_core.eq(a, b)).item())
    near = _core.le(_core.abs(_core.sub(a, b)), _core.add(_core.mul(_core.abs(b), 1e-3), 1e-5))
    same = _core.logical_or(_core.eq(a, b), _core.logical_and(_core.isnan(a), _core.isnan(b)))
    return bool(_core.all(_core.logical_or(near, same)).item())


class _Call:
    """A call of a program: what its derivatives need beside tensors."""

    def __init__(self, made: _Made, step: _Step, steps: int, dice: list[int], run: Any) -> None:
        self.made = made
        self.step = step
        self.steps = steps
        self.dice = dice
        self.run = run


def _run(
    made: _Made,
    step: _Step,
    xs: list[Tensor],
    states: list[Tensor],
    captured: list[Tensor],
    steps: int,
    dice: list[int],
) -> list[Tensor]:
    """The operation: outputs, then last states."""
    args = (*xs, *states, *captured)
    keep = made.carrying > 0 and _core.needs_grad(args)
    outs, ends, run = made.program.forward(xs, states, captured, steps, (dice[0], dice[1]), keep)
    results = [*outs, *ends]
    if keep:
        op = Op("scan", made.carrying)
        op.vjp = _vjp
        ordered = tuple([results[i if i >= 0 else -1 - i] for i in made.order])
        call = _Call(made, step, steps, dice, run)
        counts = len(xs), len(states)
        note(op, args, ordered if len(ordered) > 1 else ordered[0], (call, counts, *args))
    return results


def _vjp(k: Any, g: Any, saved: Any, need: Any) -> Any:
    call, (n, m), *args = saved
    made, step = call.made, call.step
    flowing = list(g) if isinstance(g, tuple) else [g]
    results: list[Tensor | None] = [None] * len(made.order)
    for i, flow_in in zip(made.order, flowing, strict=False):
        results[i] = flow_in
    if k is not _core:
        return _composite(call, n, m, args, results, need)
    count = len(step.outputs)
    dx, ds, dc = made.program.backward(call.run, results[:count], results[count:])
    return tuple([f if wanted else None for f, wanted in zip((*dx, *ds, *dc), need, strict=True)])


def _again(entry: Entry, args: tuple[Any, ...], t: int, draws: int, dice: list[int]) -> Any:
    """An entry computed once more, and recorded on the tape."""
    if entry.offset is not None:
        at = (dice[1] + t * draws + entry.offset) % 2**64
        if entry.op.name == "dropout":
            args = (*args[:2], dice[0], at)
        else:
            other = Generator()
            other._set_state([dice[0], at])
            args = (other, *args[1:])
    forward: Any = entry.op.forward
    out, saved = forward(_core, *args)
    note(entry.op, args, out, saved)
    return out


def _composite(
    call: _Call, n: int, m: int, args: list[Tensor], results: list[Tensor | None], need: Any
) -> tuple[Tensor | None, ...]:
    """The gradients as recorded operations: the steps run again on the tape."""
    from ..autograd import grad

    step = call.step
    r = step.recorder
    before = set_grad_enabled(True)
    try:
        # Tensors of their own, so that a path from one argument to another is not gone along.
        own = [ops.reshape(a, list(a.shape)) if a.requires_grad else a for a in args]
        xs, state, captured = own[:n], own[n : n + m], own[n + m :]
        outputs: list[list[Tensor]] = []
        for t in range(call.steps):
            values: dict[int, Tensor] = dict(zip(r.captured, captured, strict=True))
            values |= dict(enumerate([*[join.select(x, 0, t) for x in xs], *state]))
            for entry in r.entries:
                filled = fill(entry.args, values.__getitem__)
                quiet = set_grad_enabled(any(entry.need))
                try:
                    out = _again(entry, filled, t, r.draws, call.dice)
                finally:
                    set_grad_enabled(quiet)
                made = (out,) if isinstance(out, Tensor) else tuple(out)
                values |= {i: v for i, v in zip(entry.outs, made, strict=True) if i is not None}
            ended = [values[i] for i in step.results]
            outputs.append(ended[: len(step.outputs)])
            state = ended[len(step.outputs) :]
        ends = [*[join.stack(list(parts)) for parts in zip(*outputs, strict=True)], *state]
        pairs = [(o, g) for o, g in zip(ends, results, strict=True) if g is not None and o.requires_grad]
        wanted = [a for a, w in zip(own, need, strict=True) if w]
        found = iter(
            grad([o for o, _ in pairs], wanted, [g for _, g in pairs], create_graph=True, allow_unused=True)
        )
    finally:
        set_grad_enabled(before)
    return tuple([next(found) if w else None for w in need])
