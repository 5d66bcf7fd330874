"""Watching a function compute: which operations it calls on what, so that they can be run again.

A ``Recorder`` is told of every operation that its thread calls. It gives numbers to tensors: those it was
given at first, those that follow from them, and those that the function found elsewhere (parameters,
closures, and what was computed from these alone). What it cannot follow is ``trouble``: the first reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

from .._core import Op, Tensor, in_place_changes, is_grad_enabled, recording, set_recorder
from ..random import default_generator


class Unrecorded(Exception):
    """Raised by a function that cannot be recorded; the text says why."""


def changes_in_place() -> None:
    """Ends a recording before the change, so that the loop that runs instead makes it once."""
    if recording():
        raise Unrecorded("it changes a tensor in place; use the out-of-place form")


class Entry(NamedTuple):
    """One call: ``outs`` are numbers, as are the tensors of ``args`` (``Slot``)."""

    op: Op
    args: tuple[Any, ...]
    outs: tuple[int | None, ...]
    # Which arguments carry gradients.
    need: tuple[bool, ...]
    # Random operations: where they draw, counted from the start of the step.
    offset: int | None


class Slot(int):
    """The number of a tensor, among arguments that are something else."""

    __slots__ = ()


def fill(args: Any, value: Callable[[int], Any]) -> Any:
    """Arguments with the tensors put in their places again."""
    if isinstance(args, Slot):
        return value(args)
    if isinstance(args, (tuple, list)):
        return tuple([fill(a, value) for a in cast("Sequence[Any]", args)])
    return args


class Recorder:
    """What a function does with ``given`` tensors."""

    def __init__(self, given: Sequence[Tensor]) -> None:
        self.trouble: str | None = None
        self.entries: list[Entry] = []
        self.tensors: list[Tensor] = []
        self.captured: list[int] = []
        # Those of the captured ones that were there before.
        self.elsewhere: list[Tensor] = []
        self.draws = 0
        # All that the recording depends on, apart from the tensors.
        self.marks: list[Any] = []
        self._varies = False
        self._places: dict[Any, Slot] = {}
        self._found: dict[int, int] = {}
        self._constants: set[Any] = set()
        # Memory that is seen must not be used again for something else.
        self._alive: list[Any] = []
        self._start = self._offset = 0
        for t in given:
            self._new(t, t._traced()[0])

    def run(self, function: Callable[[], Any]) -> Any:
        """Calls ``function`` and watches."""
        self._start = self._offset = default_generator._state()[1]
        before = in_place_changes()
        outer = set_recorder(self)
        try:
            out = function()
        finally:
            set_recorder(outer)
        if in_place_changes() != before:
            self._fail("it changes a tensor in place; use the out-of-place form")
        self.draws = default_generator._state()[1] - self._start
        return out

    def _fail(self, why: str) -> None:
        self.trouble = self.trouble or why

    def _new(self, t: Tensor, place: Any) -> Slot:
        self._places[place] = slot = Slot(len(self.tensors))
        self.tensors.append(t)
        return slot

    def number(self, t: Tensor, user: str) -> int:
        """The number of a tensor; one that is new was found elsewhere."""
        place, fresh = t._traced()
        number = self._places.get(place)
        if number is not None:
            return number
        number = self._found.get(id(t))
        if number is None:
            if fresh and place not in self._constants:
                self._fail(f"{user} uses a tensor that was made by something that cannot be recorded")
            self._found[id(t)] = number = len(self.tensors)
            self.tensors.append(t)
            self.captured.append(number)
            if not fresh:
                self.elsewhere.append(t)
        return number

    def called(self, op: Op, args: tuple[Any, ...], out: Any) -> None:
        """An operation was called on this thread."""
        if self.trouble is not None:
            return
        if op.by_user:
            self._fail(f"it calls {op.name}, a Function with a backward pass of its own")
            return
        made = (out,) if isinstance(out, Tensor) else out
        # Once a call of each operation: the usual arguments are looked at here, and not by calls of methods.
        self._varies = loose = False
        on = is_grad_enabled()
        taken: list[Any] = []
        need: list[bool] = []
        for a in args:
            if not isinstance(a, Tensor):
                taken.append(a if a.__class__ is int else self._argument(a))
                need.append(False)
                continue
            place, fresh = a._traced()
            slot = self._places.get(place)
            need.append(on and a.requires_grad)
            if slot is not None:
                self._varies = True
                taken.append(slot)
            else:
                loose = True
                taken.append(a)
                if fresh and place not in self._constants:
                    self._varies = True
        drawn = self._drawn(op, args) if op.name in RANDOM else None
        if drawn is None and not self._varies:
            self.constant(*made)
            return
        recorded = tuple(taken)
        if loose or tuple in map(type, taken):
            recorded = self._captures(recorded, op.name)
        outs: list[int | None] = []
        only_views = True
        for t in made:
            if not isinstance(t, Tensor):
                outs.append(None)
                continue
            place = t._traced()[0]
            slot = self._places.get(place)
            if slot is None or slot not in recorded:
                only_views = False
                slot = self._new(t, place)
            else:
                # The very memory of an argument: nothing was computed.
                self._alive.append(t)
            outs.append(slot)
        if not only_views:
            needs = tuple(need)
            self.entries.append(Entry(op, recorded, tuple(outs), needs, drawn))
            if drawn is not None:
                # Not what identifies this draw: the generator, or seed and place.
                recorded = recorded[1:] if recorded[0] is default_generator else recorded[:2]
            self.marks.append((op, recorded, tuple([a.__class__ for a in args]), needs, drawn))

    def constant(self, *made: Any) -> None:
        """These tensors are the same each time."""
        for t in made:
            if isinstance(t, Tensor):
                self._constants.add(t._traced()[0])
                self._alive.append(t)

    def _argument(self, a: Any) -> Any:
        """An argument as it is recorded: tensors that follow from the given ones as their numbers."""
        if isinstance(a, Tensor):
            place, fresh = a._traced()
            slot = self._places.get(place)
            if slot is not None:
                self._varies = True
                return slot
            if fresh and place not in self._constants:
                self._varies = True
        elif isinstance(a, (tuple, list)):
            return tuple([self._argument(b) for b in cast("Sequence[Any]", a)])
        elif isinstance(a, float) and a == 0.0 and math.copysign(1.0, a) < 0:
            self.marks.append("the next number is -0.0")
        return a

    def _captures(self, args: tuple[Any, ...], user: str) -> tuple[Any, ...]:
        """Recorded arguments with numbers for the tensors that were found elsewhere."""
        return tuple(
            [
                Slot(self.number(a, user))
                if isinstance(a, Tensor)
                else self._captures(cast("tuple[Any, ...]", a), user)
                if isinstance(a, tuple)
                else a
                for a in args
            ]
        )

    def _drawn(self, op: Op, args: tuple[Any, ...]) -> int:
        """Where a random operation drew."""
        if op.name == "dropout" and len(args) == 4:
            seed, at = args[2], args[3]
            offset = at - self._start
            other = seed != default_generator._seed() or offset < 0
        elif args and args[0] is default_generator:
            offset, other = self._offset - self._start, False
        else:
            offset, other = 0, True
        if other:
            self._fail(f"{op.name} draws from another generator than the default one")
        self._offset = default_generator._state()[1]
        return offset

    def read(self, t: Tensor, how: str) -> None:
        """The values of a tensor left for Python."""
        place, fresh = t._traced()
        if place in self._places or (fresh and place not in self._constants):
            self._fail(f"it reads the values of a tensor ({how}), which may change from step to step")


RANDOM = frozenset(
    ("uniform", "normal", "exponential", "randint", "randperm", "bernoulli", "multinomial", "dropout")
)
