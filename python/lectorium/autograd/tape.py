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

Recording a call and the walk back are compiled, in ``rust/python``: ``tape.rs`` and ``walk.rs``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar, cast, overload

from .. import _core
from .._core import Node, Op, Tensor, bare_node, edge, note, seen

Vjp = Callable[..., Any]


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
    *, outputs: int = 1, name: str | None = None
) -> Callable[[Callable[Concatenate[Any, P], tuple[R, tuple[Any, ...]]]], Recorded[P, R]]: ...
def op(forward: Any = None, *, outputs: int = 1, name: str | None = None) -> Any:
    """Makes a differentiable operation of ``forward(k, *args) -> (result, saved)``.

    The first ``outputs`` of several results carry gradients; integer results never do.
    ``name`` is what errors and ``grad_fn`` show, where a user knows the function by another one.
    """
    if forward is None:
        return functools.partial(cast(Any, op), outputs=outputs, name=name)
    made = Op(name or forward.__name__.rstrip("_"), outputs)
    made.forward = forward
    code = forward.__code__
    names: tuple[str, ...] = code.co_varnames[1 : code.co_argcount]
    defaults: tuple[Any, ...] = forward.__defaults__ or ()

    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            args = _positional(made.name, names, defaults, args, kwargs)
        try:
            out, saved = forward(_core, *args)
        except TypeError as error:
            raise named(made.name, error) from None
        note(made, args, out, saved)
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


def plain(name: str) -> Callable[..., Any]:
    """A kernel without a gradient; a recorder is told of its calls."""
    kernel = getattr(_core, name)
    made = Op(name)

    def forward(k: Any, *args: Any) -> Any:
        return getattr(k, name)(*args), ()

    made.forward = forward

    def call(*args: Any) -> Any:
        try:
            out = kernel(*args)
        except TypeError as error:
            raise named(name, error) from None
        seen(made, args, out)
        return out

    call.__name__ = call.__qualname__ = name
    return call


# What the compiled module says where the kernel is a method of tensors.
_NO_TENSOR = "' object is not an instance of 'Tensor'"


def named(name: str, error: TypeError) -> TypeError:
    """An argument of another type is told of where the operation is not known: its name goes in front."""
    text = str(error)
    if text.endswith(_NO_TENSOR):
        kind = text[1 : -len(_NO_TENSOR)]
        hint = "; convert it with lectorium.from_numpy(array)" if kind == "ndarray" else ""
        text = f"expected a Tensor, got {kind}{hint}"
    return TypeError(f"{name}: {text}") if text.startswith("expected ") else error


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


def geometry(t: Tensor) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Shape, strides and offset: where the elements lie in the storage."""
    return t.shape, t.stride(), t.storage_offset()


view_of_base = Op("as_strided")


def refresh_view(view: Tensor) -> None:
    """Gives a view its node anew after an in-place change made one for its base."""
    base = cast(Tensor, view._base)
    made = view._node
    if made is not None and made.op.by_user:
        raise RuntimeError(
            f"{made.op.name}: the Function gave out a view of a tensor that was changed in place since; "
            "its own backward would be passed over: return a .clone() from forward, "
            "or avoid the in-place operation"
        )
    if base.requires_grad:
        node = bare_node(view_of_base, [edge(base)], (geometry(view), geometry(base)))
        view._set_node(node, 0)
    else:
        view._set_node(None)


__all__ = [
    "Keeper",
    "Later",
    "Node",
    "Op",
    "Recorded",
    "Vjp",
    "edge",
    "geometry",
    "op",
    "plain",
    "refresh_view",
]
