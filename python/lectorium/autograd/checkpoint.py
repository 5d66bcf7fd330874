"""Trading time for memory: a part of the graph is computed again on the way back.

While the function runs, its nodes are recorded without the values they saved. The first of them that is
reached on the way back has the function run again; this time the values are kept, in the same order, and
handed to the nodes. So gradients reach parameters, closures and inputs alike, whatever asks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from .._core import Op, Tensor, is_grad_enabled, pop_keeper, push_keeper, top_keeper, version_sum
from .grad_mode import enable_grad
from .tape import Keeper

_Values = tuple[tuple[Any, ...], int]


@contextmanager
def _top(keeper: Keeper) -> Generator[None, None, None]:
    push_keeper(keeper)
    try:
        yield
    finally:
        pop_keeper()


class _Promise:
    """In a node's place for saved values: number ``index`` of what the call computes again."""

    __slots__ = ("call", "index")

    def __init__(self, call: _Call, index: int) -> None:
        self.call = call
        self.index = index

    def values(self, create_graph: bool) -> _Values:
        return self.call.take(self.index, create_graph)


class _Call:
    """One call of ``checkpoint``: how to run it again, and what was computed for nodes still to come."""

    def __init__(self, function: Callable[..., Any], args: Any, kwargs: Any, preserve: bool) -> None:
        from .. import random

        self.function = function
        self.inputs: _Values | _Promise = (args, kwargs), version_sum(args)
        self.state = random.get_rng_state() if preserve else None
        self.names: list[str] = []
        self.found: dict[int, _Values] = {}
        self.found_with_graph = False

    def take(self, index: int, create_graph: bool) -> _Values:
        if index not in self.found or (create_graph and not self.found_with_graph):
            self.run_again(create_graph)
        return self.found.pop(index)

    def run_again(self, create_graph: bool) -> None:
        from .. import random

        inputs = self.inputs
        ((args, kwargs), version) = inputs.values(create_graph) if isinstance(inputs, _Promise) else inputs
        if version_sum(args) != version:
            raise RuntimeError(
                "checkpoint: an input of the function was changed in place since; the function cannot be "
                "computed again from it: .clone() the input, or use the out-of-place form"
            )
        self.found, self.found_with_graph = {}, create_graph
        second = _Again(self, create_graph)
        now = random.get_rng_state()
        if self.state is not None:
            random.set_rng_state(self.state)
        try:
            with enable_grad(), _top(second):
                self.function(*args, **kwargs)
        finally:
            random.set_rng_state(now)
        if second.count != len(self.names):
            raise _different(f"{second.count} operations instead of {len(self.names)}")


def _different(what: str) -> RuntimeError:
    return RuntimeError(
        f"checkpoint: the second run of the function recorded {what}; it must do the same every time"
    )


class _First:
    """The keeper of the first run: keeps nothing."""

    def __init__(self, call: _Call) -> None:
        self.call = call

    def keep(self, made: Op, saved: tuple[Any, ...], version: int) -> Any:
        names = self.call.names
        names.append(made.name)
        return _Promise(self.call, len(names) - 1) if any(isinstance(s, Tensor) for s in saved) else saved

    def nested(self, call: _Call, inputs: _Values) -> None:
        self.call.names.append("checkpoint")
        call.inputs = _Promise(self.call, len(self.call.names) - 1)


class _Again:
    """The keeper of the second run: keeps the values for the nodes of the first."""

    def __init__(self, call: _Call, create_graph: bool) -> None:
        self.call = call
        self.create_graph = create_graph
        self.count = 0

    def _put(self, name: str, values: _Values) -> None:
        names = self.call.names
        if self.count >= len(names) or names[self.count] != name:
            first = names[self.count] if self.count < len(names) else "nothing"
            raise _different(f"{name} where the first had {first}")
        self.call.found[self.count] = values
        self.count += 1

    def keep(self, made: Op, saved: tuple[Any, ...], version: int) -> Any:
        self._put(made.name, (saved, version))
        # The second graph itself is walked only when gradients are differentiated again.
        return saved if self.create_graph else ()

    def nested(self, call: _Call, inputs: _Values) -> None:
        self._put("checkpoint", inputs)


class _Nothing:
    """The keeper of a checkpoint within a second run, whose nodes nobody will ask."""

    def keep(self, made: Op, saved: tuple[Any, ...], version: int) -> Any:
        return ()

    def nested(self, call: _Call, inputs: _Values) -> None:
        pass


class _Aside:
    """The keeper of what is run to look at it: as without a checkpoint."""

    def keep(self, made: Op, saved: tuple[Any, ...], version: int) -> Any:
        return saved

    def nested(self, call: _Call, inputs: _Values) -> None:
        pass


@contextmanager
def aside() -> Generator[None, None, None]:
    """What runs here is no part of the checkpointed function around it, as it may run once only."""
    if top_keeper() is None:
        yield
    else:
        with _top(_Aside()):
            yield


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """Runs ``function`` without keeping what lies between its inputs and outputs; backward runs it again.

    The function must compute the same each time. Random operations draw the same numbers the second time
    (``preserve_rng_state``). ``use_reentrant`` is accepted for PyTorch's sake; what runs is like False there.

    Example:
        >>> x = lt.ones(3, requires_grad=True)
        >>> lt.utils.checkpoint.checkpoint(lambda t: (t * 2).exp(), x).sum().backward()
        >>> bool((x.grad > 14).all())
        True
    """
    if not is_grad_enabled():
        return function(*args, **kwargs)
    call = _Call(function, args, kwargs, preserve_rng_state)
    keeper: Any = _First(call)
    outer: Any = top_keeper()
    if outer is not None:
        outer.nested(call, call.inputs)
        if isinstance(outer, _Nothing) or (isinstance(outer, _Again) and not outer.create_graph):
            keeper = _Nothing()
    with _top(keeper):
        return function(*args, **kwargs)


def checkpoint_sequential(
    functions: Sequence[Callable[..., Any]], segments: int, input: Any, **kwargs: Any
) -> Any:
    """A chain of functions, checkpointed in ``segments`` parts (the last one is run as it is).

    Example:
        >>> x = lt.ones(3, requires_grad=True)
        >>> y = lt.utils.checkpoint.checkpoint_sequential([lt.exp, lt.log, lt.exp, lt.log], 2, x)
        >>> y.sum().item()
        3.0
    """
    functions = list(functions)
    if segments < 1 or segments > max(1, len(functions)):
        raise ValueError(f"checkpoint_sequential: segments must be 1 to {len(functions)}, got {segments}")

    def run(part: list[Callable[..., Any]]) -> Callable[[Any], Any]:
        def through(x: Any) -> Any:
            for f in part:
                x = f(x)
            return x

        return through

    size = len(functions) // segments
    for start in range(0, size * (segments - 1), size):
        input = checkpoint(run(functions[start : start + size]), input, **kwargs)
    return run(functions[size * (segments - 1) :])(input)
