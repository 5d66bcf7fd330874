"""Watching a function compute: which operations it calls on what, so that they can be run again.

A ``Recorder`` is told of every operation that its thread calls. It gives numbers to tensors: those it was
given at first, those that follow from them, and those that the function found elsewhere (parameters, closures,
and what was computed from these alone). What it cannot follow is ``trouble``: the first reason, in words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .._core import Op, Tensor, in_place_changes, is_grad_enabled, set_recorder
from ..random import default_generator


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
        items: Any = args
        return type(items)(fill(a, value) for a in items)
    return args


class Recorder:
    """What a function does with ``given`` tensors."""

    def __init__(self, given: Sequence[Tensor]) -> None:
        self.trouble: str | None = None
        self.entries: list[Entry] = []
        self.tensors: list[Tensor] = []
        self.captured: list[int] = []
        self.draws = 0
        self._places: dict[Any, int] = {}
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

    def _new(self, t: Tensor, place: Any) -> int:
        self._places[place] = number = len(self.tensors)
        self.tensors.append(t)
        return number

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
        return number

    def follows(self, t: Tensor) -> bool:
        """Whether a tensor was given or computed from what was given."""
        return t._traced()[0] in self._places

    def called(self, op: Op, args: tuple[Any, ...], out: Any) -> None:
        """An operation was called on this thread."""
        if self.trouble is not None:
            return
        if op.by_user:
            self._fail(f"it calls {op.name}, a Function with a backward pass of its own")
            return
        made = (out,) if isinstance(out, Tensor) else tuple(out)
        drawn = self._drawn(op, args)
        if drawn is None and not any(self._varies(a) for a in args):
            self.constant(*made)
            return
        recorded = tuple([self._argument(a, op.name) for a in args])
        on = is_grad_enabled()
        need = tuple([on and isinstance(a, Tensor) and a.requires_grad for a in args])
        outs: list[int | None] = []
        only_views = True
        for t in made:
            if not isinstance(t, Tensor):
                outs.append(None)
                continue
            place = t._traced()[0]
            number = self._places.get(place)
            if number is None or Slot(number) not in recorded:
                only_views = False
                number = self._new(t, place)
            else:
                # The very memory of an argument: nothing was computed.
                self._alive.append(t)
            outs.append(number)
        if not only_views:
            self.entries.append(Entry(op, recorded, tuple(outs), need, drawn))

    def constant(self, *made: Any) -> None:
        """These tensors are the same each time."""
        for t in made:
            if isinstance(t, Tensor):
                self._constants.add(t._traced()[0])
                self._alive.append(t)

    def _varies(self, a: Any) -> bool:
        if isinstance(a, Tensor):
            place, fresh = a._traced()
            return place in self._places or (fresh and place not in self._constants)
        return isinstance(a, (tuple, list)) and any(self._varies(b) for b in a)

    def _argument(self, a: Any, user: str) -> Any:
        if isinstance(a, Tensor):
            return Slot(self.number(a, user))
        if isinstance(a, (tuple, list)):
            items: Any = a
            return type(items)(self._argument(b, user) for b in items)
        return a

    def _drawn(self, op: Op, args: tuple[Any, ...]) -> int | None:
        """Where a random operation drew, None for others."""
        if op.name == "dropout" and len(args) == 4:
            seed, at = args[2], args[3]
            offset = at - self._start
            other = seed != default_generator._seed() or offset < 0
        elif args and args[0] is default_generator:
            offset, other = self._offset - self._start, False
        elif op.name in RANDOM:
            offset, other = 0, True
        else:
            return None
        if other:
            self._fail(f"{op.name} draws from another generator than the default one")
        self._offset = default_generator._state()[1]
        return offset

    def read(self, t: Tensor, how: str) -> None:
        """The values of a tensor left for Python."""
        place, fresh = t._traced()
        if place in self._places or (fresh and place not in self._constants):
            self._fail(f"it reads the values of a tensor ({how}), which may change from step to step")


RANDOM = ("uniform", "normal", "exponential", "randint", "randperm", "bernoulli", "multinomial", "dropout")
