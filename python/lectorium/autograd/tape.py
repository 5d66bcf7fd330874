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

import heapq
import importlib
import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import Any, cast

from .. import _core
from .._core import Tensor, is_grad_enabled, needs_grad, set_grad_enabled, version_sum

_ids = itertools.count(1)
_FREED: tuple[Any, ...] = ("freed",)

Vjp = Callable[..., Any]


class Op:
    """A differentiable operation: a name and how gradients flow back through it."""

    __slots__ = ("name", "outputs", "vjp")

    def __init__(self, name: str, outputs: int = 1) -> None:
        self.name = name
        self.outputs = outputs
        self.vjp: Vjp | None = None


class Node:
    """One recorded call. Parents are nodes, or leaf tensors, each with the number of its output."""

    __slots__ = ("__weakref__", "hooks", "id", "need", "op", "own", "parents", "retained", "saved", "version")

    id: int
    op: Op
    parents: tuple[tuple[Node | Tensor, int] | None, ...]
    need: tuple[bool, ...]
    saved: tuple[Any, ...]
    own: tuple[tuple[int, int], ...]
    version: int
    hooks: dict[int, dict[int, Callable[[Tensor], Tensor | None]]] | None
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


class _Recorded:
    """What ``@op`` turns a function into while it is being defined: gives it ``.vjp``."""

    op: Op
    vjp: Callable[[Vjp], Vjp]


def op(forward: Any = None, *, outputs: int = 1) -> Any:
    """Makes a differentiable operation of ``forward(k, *args) -> (result, saved)``.

    The first ``outputs`` of several results carry gradients; integer results never do.
    """
    if forward is None:
        return lambda f: op(f, outputs=outputs)
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
    call.op = made  # pyright: ignore[reportFunctionMemberAccess]
    call.vjp = vjp  # pyright: ignore[reportFunctionMemberAccess]
    return call


# PyTorch's names for what the formulas here call x and y.
_ALIASES = {"x": ("input",), "y": ("other", "exponent", "mat2"), "w": ("weight",), "b": ("bias",)}


def _positional(
    name: str, names: tuple[str, ...], defaults: tuple[Any, ...], args: tuple[Any, ...], kwargs: dict[str, Any]
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


def edge(t: Tensor) -> tuple[Node | Tensor, int]:
    """Where the gradient of ``t`` goes: its node and output number, or the leaf itself."""
    if t._stale:
        _refresh_view(t)
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
    for nr, o in outs:
        o._set_node(node, nr)
    return node


def saved_values(node: Node, create_graph: bool) -> tuple[Any, ...]:
    """What the node saved, checked to be as it was; outputs re-attached under ``create_graph``."""
    saved = node.saved
    if saved is _FREED:
        raise RuntimeError(
            f"backward: the saved values of {node.op.name} were freed by an earlier backward; "
            "pass retain_graph=True to the first one to go through the graph twice"
        )
    if version_sum(saved) != node.version:
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


def _geometry(t: Tensor) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    return t.shape, cast("tuple[int, ...]", t.stride()), t.storage_offset()


def _extent(*geometries: tuple[tuple[int, ...], tuple[int, ...], int]) -> tuple[int, int]:
    """The lowest element and one past the highest that any of the geometries reaches."""
    lows, highs = [], []
    for shape, stride, offset in geometries:
        reach = [(d - 1) * s for d, s in zip(shape, stride, strict=True)] if 0 not in shape else []
        lows.append(offset + sum(r for r in reach if r < 0))
        highs.append(offset + 1 + sum(r for r in reach if r > 0))
    return min(lows), max(highs)


def _spread(k: Any, g: Tensor, geometry: Any, low: int, size: int) -> Tensor:
    """``g`` added into zeros laid out as the storage is."""
    _, stride, offset = geometry
    return k.as_strided_scatter_add(g, size, offset - low, stride)


def _pick(k: Any, flat: Tensor, geometry: Any, low: int) -> Tensor:
    shape, stride, offset = geometry
    if all(s >= 0 for s in stride):
        return k.as_strided(flat, shape, stride, offset - low)
    # A view with negative strides: pick it mirrored, then flip those axes back.
    mirrored = [i for i, s in enumerate(stride) if s < 0]
    start = offset - low + sum((shape[i] - 1) * stride[i] for i in mirrored)
    return k.flip(k.as_strided(flat, shape, [abs(s) for s in stride], start), mirrored)


_view_of_base = Op("as_strided")
_change_of_base = Op("in_place_change_of_a_view")


def _view_vjp(k: Any, g: Tensor, saved: Any, need: Any) -> Any:
    view, base = saved
    low, high = _extent(view, base)
    return (_pick(k, _spread(k, g, view, low, high - low), base, low),)


def _change_vjp(k: Any, g: Tensor, saved: Any, need: Any) -> Any:
    view, base = saved
    low, high = _extent(view, base)
    flat = _spread(k, g, base, low, high - low)
    inner = _pick(k, flat, view, low)
    rest = need[0] and _pick(k, k.sub(flat, _spread(k, inner, view, low, high - low)), base, low)
    return rest, need[1] and k.clone(inner)


_view_of_base.vjp = _view_vjp
_change_of_base.vjp = _change_vjp


def _bare_node(made: Op, parents: tuple[Any, ...], saved: tuple[Any, ...]) -> Node:
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


def _refresh_view(view: Tensor) -> None:
    """Gives a view its node anew after an in-place change made one for its base."""
    base = cast(Tensor, view._base)
    if base.requires_grad:
        node = _bare_node(_view_of_base, (edge(base),), (_geometry(view), _geometry(base)))
        view._set_node(node, 0)
    else:
        view._set_node(None)


def apply_inplace(function: Callable[..., Any], x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """``x.function_(*args)``: writes the result into ``x`` and gives ``x`` its new place in the graph."""
    name = f"{function.__name__.rstrip('_')}_"
    if not needs_grad((x, *args, *kwargs.values())):
        kernel = getattr(function, "into", None)
        if kernel is not None:
            kernel(x, *args, out=x, **kwargs)
            x._bump_version()
        else:
            on = set_grad_enabled(False)
            try:
                out = function(x, *args, **kwargs)
            finally:
                set_grad_enabled(on)
            _check_result(name, x, out)
            _core.copy_into(x, out)
        return x
    base = x._base
    if x.is_leaf and x.requires_grad:
        raise RuntimeError(
            f"{name}: a leaf tensor that requires gradients cannot be changed in place; "
            "do it inside `with lectorium.no_grad():`, or use the out-of-place form"
        )
    if base is not None and base.is_leaf and base.requires_grad:
        raise RuntimeError(
            f"{name}: this is a view of a leaf tensor that requires gradients, which cannot be changed in "
            "place; do it inside `with lectorium.no_grad():`, or on a .clone()"
        )
    out = function(x, *args, **kwargs)
    _check_result(name, x, out)
    if base is None:
        if out.dtype is not x.dtype:
            out = _ops().cast(out, x.dtype)
        _core.copy_into(x, out)
        x._rebase(out._node, out.output_nr)
        return x
    old = edge(base) if base.requires_grad else None
    new = edge(out) if out.requires_grad else None
    _core.copy_into(x, out)
    base._rebase(_bare_node(_change_of_base, (old, new), (_geometry(x), _geometry(base))), 0)
    _refresh_view(x)
    return x


def _check_result(name: str, x: Tensor, out: Tensor) -> None:
    if out.shape != x.shape:
        raise _core.ShapeError(
            f"{name}: the result has shape {list(out.shape)} but the tensor changed in place has {list(x.shape)}"
        )
    if out.dtype.is_floating_point and not x.dtype.is_floating_point:
        raise TypeError(f"{name}: the result is {out.dtype!r} and cannot be stored in {x.dtype!r}")


def _ops() -> Any:
    return importlib.import_module("lectorium.ops")


def _reach(roots: Sequence[Node], targets: set[int]) -> set[int]:
    """Ids of the nodes from which one of the targets (``id()`` of nodes or leaves) can be reached."""
    seen: dict[int, Node] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node.id not in seen:
            seen[node.id] = node
            stack.extend(p[0] for p in node.parents if p and isinstance(p[0], Node))
    useful: set[int] = set()
    for number in sorted(seen):
        for p in seen[number].parents:
            if p and (id(p[0]) in targets or (isinstance(p[0], Node) and p[0].id in useful)):
                useful.add(number)
                break
    return useful


def run_backward(
    outputs: Sequence[Tensor],
    gradients: Sequence[Tensor],
    retain_graph: bool,
    create_graph: bool,
    inputs: Sequence[Tensor] | None = None,
) -> list[Tensor | None]:
    """Walks the tape by falling node id, without recursion.

    Without ``inputs`` leaves accumulate into ``.grad``; with them the gradients of the inputs are returned
    and nothing is accumulated.
    """
    k: Any = _ops() if create_graph else _core
    pending: dict[int, tuple[Node, list[Tensor | None]]] = {}
    leaves: dict[int, tuple[Tensor, Tensor]] = {}
    heap: list[int] = []
    found: dict[tuple[int, int], Tensor] = {}
    useful: set[int] | None = None
    wanted: dict[int, list[int]] = {}
    if inputs is not None:
        edges = [edge(t) for t in inputs]
        for target, nr in edges:
            wanted.setdefault(id(target), []).append(nr)
        roots = [n for n in (edge(t)[0] for t in outputs) if isinstance(n, Node)]
        useful = _reach(roots, set(wanted))

    def send(target: Node | Tensor, nr: int, g: Tensor) -> None:
        if isinstance(target, Node):
            if useful is not None and target.id not in useful and id(target) not in wanted:
                return
            entry = pending.get(target.id)
            if entry is None:
                entry = pending[target.id] = (target, [None] * target.op.outputs)
                heapq.heappush(heap, -target.id)
            slots = entry[1]
            have = slots[nr]
            slots[nr] = g if have is None else k.add(have, g)
        elif inputs is None or id(target) in wanted:
            old = leaves.get(id(target))
            leaves[id(target)] = (target, g if old is None else k.add(old[1], g))

    before = set_grad_enabled(create_graph)
    try:
        for t, g in zip(outputs, gradients, strict=True):
            send(*edge(t), g)
        while heap:
            node, slots = pending.pop(-heapq.heappop(heap))
            if node.hooks is not None or node.retained is not None:
                _run_hooks(node, slots, create_graph)
            if id(node) in wanted:
                for nr in wanted[id(node)]:
                    if (have := slots[nr]) is not None:
                        found[id(node), nr] = have
                if useful is not None and node.id not in useful:
                    continue
            saved = saved_values(node, create_graph)
            g = slots[0] if len(slots) == 1 else tuple(slots)
            try:
                flows = cast(Vjp, node.op.vjp)(k, g, saved, node.need)
            except Exception as error:
                error.add_note(f"(in the backward pass of {node.op.name})")
                raise
            if not retain_graph and any(isinstance(s, Tensor) for s in saved):
                node.saved = _FREED
            del saved
            for parent, flow in zip(node.parents, flows, strict=False):
                if parent is not None and flow is not None and flow is not False:
                    send(*parent, flow)
        for leaf, g in leaves.values():
            for hook in list((leaf._hooks or {}).values()):
                changed = hook(g)
                g = g if changed is None else changed
            if inputs is None:
                _accumulate(leaf, g, create_graph)
            else:
                found[id(leaf), 0] = g
    finally:
        set_grad_enabled(before)
    if inputs is None:
        return []
    return [found.get((id(target), nr)) for target, nr in edges]  # pyright: ignore[reportPossiblyUnboundVariable]


def _run_hooks(node: Node, slots: list[Tensor | None], create_graph: bool) -> None:
    for nr, g in enumerate(slots):
        if g is None:
            continue
        for hook in list((node.hooks or {}).get(nr, {}).values()):
            changed = hook(g)
            g = g if changed is None else changed
        slots[nr] = g
        tensor = node.retained[nr]() if node.retained and nr in node.retained else None
        if tensor is not None:
            _accumulate(tensor, g, create_graph)


def _accumulate(leaf: Tensor, g: Tensor, create_graph: bool) -> None:
    have = leaf.grad
    if create_graph:
        leaf.grad = g if have is None else _ops().add(have, g)
    elif have is None:
        leaf.grad = g._own()
    else:
        _core.add(have, g, out=have)
        have._bump_version()


def backward(
    outputs: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    retain_graph: bool | None,
    create_graph: bool,
    inputs: Sequence[Tensor] | None,
) -> None:
    """Checks what ``Tensor.backward`` was given, then walks."""
    seeds = seed_gradients("backward", outputs, gradients)
    retain = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        run_backward(outputs, seeds, retain, create_graph)
        return
    for t, g in zip(inputs, run_backward(outputs, seeds, retain, create_graph, inputs), strict=True):
        if g is not None:
            _accumulate(t, g, create_graph)


def seed_gradients(name: str, outputs: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> list[Tensor]:
    """The gradients to start from: ones for scalars, else what was given, checked."""
    seeds: list[Tensor] = []
    if len(outputs) != len(gradients):
        raise ValueError(f"{name}: {len(outputs)} outputs but {len(gradients)} gradients")
    for t, g in zip(outputs, gradients, strict=True):
        if not t.requires_grad:
            raise RuntimeError(
                f"{name}: the tensor does not require gradients and nothing recorded how it was made; "
                "was it computed under no_grad, from detached tensors, or from data only?"
            )
        if g is None:
            if t.numel() != 1:
                raise RuntimeError(
                    f"{name}: the tensor has shape {list(t.shape)}; a gradient is implied only for one element: "
                    "reduce it first (.sum(), .mean()) or pass gradient= of that shape"
                )
            seeds.append(_core.full(t.shape, 1.0, t.dtype) if t.is_cpu else _core.to_gpu(_core.full(t.shape, 1.0, t.dtype)))
        else:
            if g.shape != t.shape:
                raise _core.ShapeError(
                    f"{name}: the tensor has shape {list(t.shape)}, its gradient {list(g.shape)}; they must be equal"
                )
            # An alias: the caller's own tensor must not become somebody's .grad.
            seeds.append(g if is_grad_enabled() and g.requires_grad else _core.cast(g, t.dtype).detach())
    return seeds
