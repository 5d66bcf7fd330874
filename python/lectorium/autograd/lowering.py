"""From a recording to a program: the kernels of a step, and those of its derivative.

The forwards of the recorded operations, and in reverse order their vector-Jacobian products, are run once
more with a namespace of kernels that writes down what is called.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from .. import _core
from .._core import BasicIndex, Meta, Program, Tensor, dtype as DType
from .recording import Entry, Recorder, fill


class Unsupported(Exception):
    """A part of the step has no instruction; the text says which."""


class _Kernels:
    """A namespace of kernels that writes down each call."""

    fused = True

    def __init__(self) -> None:
        self.metas: list[tuple[tuple[int, ...], DType]] = []
        self.lines: list[Any] = []
        self.offset: int | None = None
        self._places: dict[Any, int] = {}
        self._alive: list[Any] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        made = functools.partial(self._call, name)
        setattr(self, name, made)
        return made

    def meta(self, x: Any) -> Any:
        return _core.meta(x)

    def value(self, t: Tensor) -> int:
        """Gives a tensor a number."""
        self._places[t._traced()[0]] = number = len(self.metas)
        self.metas.append((t.shape, t.dtype))
        self._alive.append(t)
        return number

    def same(self, t: Tensor, number: int) -> None:
        """``t`` is another copy of a value."""
        self._places[t._traced()[0]] = number
        self._alive.append(t)

    def number(self, t: Tensor) -> int:
        number = self._places.get(t._traced()[0])
        if number is None:
            raise Unsupported("a tensor that its derivative makes")
        return number

    def linear(self, x: Any, w: Any, b: Any = None, relu: bool = False) -> Any:
        """The product and the activation apart."""
        out = self._call("linear", x, w, b)
        return self.relu(out) if relu else out

    def dropout(self, x: Any, p: float, seed: int, offset: int) -> Any:
        """The numbers are made again on the way back: a step's mask is not kept."""
        y, mask = _core.dropout(x, p, seed, offset)
        return self._masked(x, y, p), mask

    def dropout_grad(self, g: Any, mask: Any, p: float) -> Any:
        """The same mask on a gradient."""
        return self._masked(g, _core.clone(g), p)

    def _masked(self, x: Tensor, out: Tensor, p: float) -> Tensor:
        args = [(1, self.number(x)), (2, p), (0, None), (2, self.offset)]
        self.lines.append(("dropout", args, [self.value(out)]))
        return out

    def _call(self, name: str, *args: Any) -> Any:
        out = getattr(_core, name)(*args)
        made: tuple[Any, ...] = (out,) if isinstance(out, Tensor) else tuple(out)
        outs: list[int | None] = []
        for t in made:
            if not isinstance(t, Tensor):
                outs.append(None)
                continue
            number = self._places.get(t._traced()[0])
            if number is not None and t.shape == self.metas[number][0]:
                # The memory of an argument, in the same shape: nothing was computed.
                self._alive.append(t)
                if len(made) == 1:
                    return out
                raise Unsupported(name)
            outs.append(self.value(t))
        self.lines.append((name, self._arguments(name, args), outs))
        return out

    def _arguments(self, name: str, args: tuple[Any, ...]) -> list[tuple[int, Any]]:
        if name == "bernoulli":
            args = (args[1], self.offset)
        elif name in ("uniform", "normal", "exponential"):
            args = (self.offset, *args[3:])
        flat: list[Any] = []
        for a in args:
            # Lists of tensors stand in line.
            several: Sequence[Any] = cast("Sequence[Any]", a) if isinstance(a, (tuple, list)) else ()
            if any(isinstance(b, Tensor) for b in several):
                flat.extend(several)
            else:
                flat.append(a)
        return [self._tagged(name, a) for a in flat]

    def _tagged(self, name: str, a: Any) -> tuple[int, Any]:
        if a is None or isinstance(a, Meta):
            return 0, None
        if isinstance(a, Tensor):
            return 1, self.number(a)
        if isinstance(a, (bool, int, float)):
            return 2, a
        if isinstance(a, DType):
            return 5, a
        if isinstance(a, BasicIndex):
            return 4, a.cuts()
        if isinstance(a, (tuple, list)):
            items = cast("Sequence[Any]", a)
            if all(isinstance(b, int) for b in items):
                return 3, [int(b) for b in items]
            if all(isinstance(b, (tuple, list)) for b in items):
                return 4, [list(b) for b in items]
        raise Unsupported(f"{name} with an argument of type {cast(Any, a).__class__.__name__}")


def _kept(entry: Entry, wants: dict[int, bool]) -> tuple[bool, ...]:
    """Which arguments of a call want gradients, in the end."""
    return tuple([n and wants.get(int(a), False) for n, a in zip(entry.need, entry.args, strict=True)])


def flow(recorder: Recorder, wants: dict[int, bool]) -> None:
    """Adds to ``wants`` which of the results carry gradients."""
    for entry in recorder.entries:
        carries = any(_kept(entry, wants))
        for out in entry.outs[: entry.op.outputs]:
            if out is not None and out not in wants:
                wants[out] = carries and recorder.tensors[out].dtype.is_floating_point


def program(
    recorder: Recorder,
    inputs: Sequence[int],
    states: Sequence[int],
    outputs: Sequence[Tensor],
    new: Sequence[Tensor],
    wants: dict[int, bool],
) -> Program:
    """The program of a recorded step; ``Unsupported`` names what cannot be part of one."""
    k: Any = _Kernels()
    numbers: dict[int, int] = {}
    tensors: dict[int, Tensor] = {}

    def bring(number: int) -> None:
        tensors[number] = recorder.tensors[number]
        numbers[number] = k.value(tensors[number])

    for number in (*inputs, *states, *recorder.captured):
        bring(number)
    saved: list[Any] = []
    for entry in recorder.entries:
        k.offset = entry.offset
        if entry.op.forward is None:
            raise Unsupported(entry.op.name)
        out, kept = entry.op.forward(k, *fill(entry.args, tensors.__getitem__))
        made = (out,) if isinstance(out, Tensor) else tuple(out)
        for number, t in zip(entry.outs, made, strict=True):
            if number is not None:
                tensors[number] = t
                numbers[number] = k.number(t)
                # Forwards save what gradients need by looking at this.
                if wants.get(number, False):
                    t.requires_grad = True
        saved.append(kept)
    k.offset = None
    forward = k.lines
    back = _backward(k, recorder, inputs, states, outputs, new, wants, tensors, saved)

    def slots(list_: Iterable[Tensor]) -> list[int]:
        return [numbers[recorder.number(t, "scan")] for t in list_]

    ends = None if back is None else back[1]
    return Program(
        k.metas,
        [numbers[n] for n in inputs],
        [numbers[n] for n in states],
        [numbers[n] for n in recorder.captured],
        forward,
        slots(outputs),
        slots(new),
        [] if back is None else back[0],
        ends,
        recorder.draws,
    )


def _backward(
    k: Any,
    recorder: Recorder,
    inputs: Sequence[int],
    states: Sequence[int],
    outputs: Sequence[Tensor],
    new: Sequence[Tensor],
    wants: dict[int, bool],
    tensors: dict[int, Tensor],
    saved: list[Any],
) -> tuple[list[Any], Any] | None:
    """The lines of the derivative, and where its gradients come in and go out."""
    if not any(wants.get(n, False) for n in (*inputs, *states, *recorder.captured)):
        return None
    lines: list[Any] = []
    k.lines = lines
    grads: dict[int, Tensor] = {}
    totals: dict[int, list[int]] = {n: [] for n in recorder.captured}

    def add(number: int, g: Tensor) -> None:
        if number in totals:
            totals[number].append(k.number(g))
            return
        grads[number] = g if number not in grads else k.add(grads[number], g)

    def seed(t: Tensor) -> int | None:
        number = recorder.number(t, "scan")
        if not wants.get(number, False) or not t.requires_grad:
            return None
        g = _core.zeros(list(t.shape), t.dtype)
        slot = k.value(g)
        add(number, g)
        return slot

    from_outputs = [seed(t) for t in outputs]
    from_new = [seed(t) for t in new]
    for entry, kept in zip(reversed(recorder.entries), reversed(saved), strict=True):
        need = _kept(entry, wants)
        flowing = [grads.get(n) if n is not None else None for n in entry.outs[: entry.op.outputs]]
        if not any(need) or all(g is None for g in flowing):
            continue
        k.offset = entry.offset
        if entry.op.vjp is None:
            raise Unsupported(f"the gradient of {entry.op.name}")
        g = flowing[0] if entry.op.outputs == 1 else tuple(flowing)
        flows = entry.op.vjp(k, g, kept, need)
        for wanted, a, f in zip(need, entry.args, flows, strict=False):
            if wanted and isinstance(f, Tensor):
                add(int(a), f)
    k.offset = None

    def end(number: int) -> int | None:
        if not wants.get(number, False):
            return None
        if number not in grads:
            return k.number(k.zeros_of(_core.meta(tensors[number])))
        return k.number(grads[number])

    ends = (
        from_outputs,
        from_new,
        [end(n) for n in inputs],
        [end(n) for n in states],
        [totals[n] for n in recorder.captured],
    )
    return lines, ends
