"""The tape: which operation made which tensor, and the walk back over it.

An operation's forward and its vector-Jacobian product stand together in ``lectorium.ops``::

    @op
    def mul(k, x, y):
        return k.mul(x, y), (x, y)

    @mul.vjp
    def _(k, g, saved, need):
        x, y = saved
        return need[0] and k.mul(g, y), need[1] and k.mul(g, x)

``k`` is the namespace of kernels. Under ``create_graph`` the walk passes ``lectorium.ops`` instead, so
that the gradient of every operation is made of operations that can be differentiated again.
"""

from __future__ import annotations

import functools
import itertools
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar, cast, overload

from .. import _core
from .._core import Tensor, needs_grad, version_sum
from .._handles import HookDict

_ids = itertools.count(1)
FREED: tuple[Any, ...] = ("freed",)

Vjp = Callable[..., Any]


class Op:
    """A differentiable operation: a name and how gradients flow back through it."""

    __slots__ = ("by_user", "name", "outputs", "vjp")

    def __init__(self, name: str, outputs: int = 1, by_user: bool = False) -> None:
        self.name = name
        self.outputs = outputs
        self.by_user = by_user
        self.vjp: Vjp | None = None


class Node:
    """One recorded call. Parents are nodes, or leaf tensors, each with the number of its output."""

    __slots__ = ("__weakref__", "hooks", "id", "need", "op", "own", "parents", "retained", "saved", "version")

    id: int
    op: Op
    parents: tuple[tuple[Node | Tensor, int] | None, ...]
    need: tuple[bool, ...]
    saved: tuple[Any, ...] | Later
    own: tuple[tuple[int, int], ...]
    version: int
    hooks: dict[int, HookDict] | None
    retained: dict[int, weakref.ref[Tensor]] | None

    def name(self) -> str:
        """The name PyTorch would show: ``MulBackward``."""
        return "".join(w.capitalize() for w in self.op.name.split("_")) + "Backward"

    def __repr__(self) -> str:
        return f"<{self.name()}>"

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """Where the gradient goes on to; None for leaves and inputs that need none."""
        return tuple((p[0], p[1]) if p and isinstance(p[0], Node) else (None, 0) for p in self.parents)


class Keeper(Protocol):
    """Decides what a node holds on to while it is recorded (``checkpoint`` keeps nothing)."""

    def keep(self, made: Op, saved: tuple[Any, ...], version: int) -> Any:
        """What ``node.saved`` becomes."""
        ...


class Later(Protocol):
    """In place of saved values: where they come from when they are needed."""

    def values(self, create_graph: bool) -> tuple[tuple[Any, ...], int]:
        """The saved values, and the sum of their versions when they were saved."""
        ...


class _Keepers(threading.local):
    stack: list[Keeper]

    def __init__(self) -> None:
        self.stack = []


keepers = _Keepers()
# How many keepers there are in all threads: as long as there are none, `record` need not look.
keeping = [0]


P = ParamSpec("P")
R = TypeVar("R", covariant=True)

# What the forward of an operation returns: one result or several, and what the gradient needs.
One: TypeAlias = tuple[Tensor, tuple[Any, ...]]
Two: TypeAlias = tuple[tuple[Tensor, Tensor], tuple[Any, ...]]
Three: TypeAlias = tuple[tuple[Tensor, Tensor, Tensor], tuple[Any, ...]]


class Recorded(Protocol[P, R]):
    """What ``@op`` makes of a function: it takes no ``k`` and records; ``vjp`` gives it a gradient."""

    op: Op
    into: Callable[..., Tensor] | None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Computes and, when a gradient is needed, records."""
        ...

    def vjp(self, function: Vjp, /) -> Vjp:
        """Decorates the vector-Jacobian product."""
        ...


@overload
def op(forward: Callable[Concatenate[Any, P], tuple[R, tuple[Any, ...]]]) -> Recorded[P, R]: ...
@overload
def op(
    *, outputs: int
) -> Callable[[Callable[Concatenate[Any, P], tuple[R, tuple[Any, ...]]]], Recorded[P, R]]: ...
def op(forward: Any = None, *, outputs: int = 1) -> Any:
    """Makes a differentiable operation of ``forward(k, *args) -> (result, saved)``.

    The first ``outputs`` of several results carry gradients; integer results never do.
    """
    if forward is None:
        return functools.partial(cast(Any, op), outputs=outputs)
    made = Op(forward.__name__.rstrip("_"), outputs)
    code = forward.__code__
    names: tuple[str, ...] = code.co_varnames[1 : code.co_argcount]
    defaults: tuple[Any, ...] = forward.__defaults__ or ()

    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            args = _positional(made.name, names, defaults, args, kwargs)
        out, saved = forward(_core, *args)
        if needs_grad(args):
            record(made, args, out, saved)
        return out

    def vjp(function: Vjp) -> Vjp:
        made.vjp = function
        return function

    call.__name__ = call.__qualname__ = forward.__name__
    call.__doc__ = forward.__doc__
    call.__module__ = forward.__module__
    recorded = cast(Any, call)
    recorded.op, recorded.vjp = made, vjp
    return recorded


# PyTorch's names for what the formulas here call x and y.
_ALIASES = {
    # NumPy's names, which PyTorch takes too.
    "dim": ("axis",),
    "keepdim": ("keepdims",),
    "x": ("input",),
    "y": ("other", "exponent", "mat2"),
    "w": ("weight",),
    "b": ("bias",),
}


def _positional(
    name: str,
    names: tuple[str, ...],
    defaults: tuple[Any, ...],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[Any, ...]:
    """All arguments by position: the tape looks for tensors there."""
    full = list(args)
    first_default = len(names) - len(defaults)
    for i in range(len(args), len(names)):
        known = (names[i], *_ALIASES.get(names[i], ()))
        given = [n for n in known if n in kwargs]
        if given:
            full.append(kwargs.pop(given[0]))
        elif i >= first_default:
            full.append(defaults[i - first_default])
        else:
            raise TypeError(f"{name}: missing argument {known[-1]!r}")
    if kwargs:
        raise TypeError(f"{name}: unexpected argument {next(iter(kwargs))!r}, expected {', '.join(names)}")
    return tuple(full)


def next_id() -> int:
    """Grows with every node: parents have smaller ids than what was computed from them."""
    return next(_ids)


def edge(t: Tensor) -> tuple[Node | Tensor, int]:
    """Where the gradient of ``t`` goes: its node and output number, or the leaf itself."""
    if t._stale:
        refresh_view(t)
    node = t._node
    return (t, 0) if node is None else (node, t.output_nr)


def record(made: Op, args: Sequence[Any], out: Any, saved: tuple[Any, ...]) -> Node:
    """Notes that ``made`` computed ``out`` from ``args``."""
    node = Node()
    node.op = made
    node.parents = tuple([edge(a) if isinstance(a, Tensor) and a.requires_grad else None for a in args])
    # After the parents: a stale view among them has just got a node, with an id of its own.
    node.id = next(_ids)
    node.need = tuple([p is not None for p in node.parents])
    node.hooks = node.retained = None
    node.own = ()
    results = (out,) if isinstance(out, Tensor) else out[: made.outputs]
    outs = [(nr, o) for nr, o in enumerate(results) if o is not None and o.dtype.is_floating_point]
    # A saved output is held without its node: nothing points back at the node that holds it.
    for i, value in enumerate(saved):
        for nr, o in outs:
            if value is o:
                saved = (*saved[:i], o.detach(), *saved[i + 1 :])
                node.own += ((i, nr),)
    node.saved = saved
    node.version = version_sum(saved)
    if keeping[0] and keepers.stack:
        node.saved = keepers.stack[-1].keep(made, saved, node.version)
    for nr, o in outs:
        o._set_node(node, nr)
    return node


def saved_values(node: Node, create_graph: bool) -> tuple[Any, ...]:
    """What the node saved, checked to be as it was; outputs re-attached under ``create_graph``."""
    saved = node.saved
    if saved is FREED:
        raise RuntimeError(
            f"backward: the saved values of {node.op.name} were freed by an earlier backward; "
            "pass retain_graph=True to the first one to go through the graph twice"
        )
    version = node.version
    if not isinstance(saved, tuple):
        saved, version = saved.values(create_graph)
    if version_sum(saved) != version:
        raise RuntimeError(
            f"backward: a tensor that {node.op.name} needs for its gradient was changed by an in-place "
            "operation; use the out-of-place form, or .clone() the tensor before changing it"
        )
    if create_graph and node.own:
        values = list(saved)
        for i, nr in node.own:
            values[i] = values[i].detach()
            values[i]._set_node(node, nr)
        return tuple(values)
    return saved


def geometry(t: Tensor) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Shape, strides and offset: where the elements lie in the storage."""
    return t.shape, t.stride(), t.storage_offset()


view_of_base = Op("as_strided")


def bare_node(made: Op, parents: tuple[Any, ...], saved: tuple[Any, ...]) -> Node:
    """A node with given parents, for what is no call of an operation."""
    node = Node()
    node.id = next(_ids)
    node.op = made
    node.parents = parents
    node.need = tuple(p is not None for p in parents)
    node.hooks = node.retained = None
    node.own = ()
    node.saved = saved
    node.version = 0
    return node


def refresh_view(view: Tensor) -> None:
    """Gives a view its node anew after an in-place change made one for its base."""
    base = cast(Tensor, view._base)
    made = cast("Node | None", view._node)
    if made is not None and made.op.by_user:
        raise RuntimeError(
            f"{made.op.name}: the Function gave out a view of a tensor that was changed in place since; "
            "its own backward would be passed over: return a .clone() from forward, "
            "or avoid the in-place operation"
        )
    if base.requires_grad:
        node = bare_node(view_of_base, (edge(base),), (geometry(view), geometry(base)))
        view._set_node(node, 0)
    else:
        view._set_node(None)
