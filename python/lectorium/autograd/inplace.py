"""In-place changes, also through views, and what they do to the graph."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from .. import _core
from .._core import Node, Op, Tensor, bare_node, edge, needs_grad, next_id, set_grad_enabled
from .recording import changes_in_place
from .tape import geometry, named, refresh_view, view_of_base


def _extent(*geometries: tuple[tuple[int, ...], tuple[int, ...], int]) -> tuple[int, int]:
    """The lowest element and one past the highest that any of the geometries reaches."""
    lows: list[int] = []
    highs: list[int] = []
    for shape, stride, offset in geometries:
        reach = [(d - 1) * s for d, s in zip(shape, stride, strict=True)] if 0 not in shape else []
        lows.append(offset + sum(r for r in reach if r < 0))
        highs.append(offset + 1 + sum(r for r in reach if r > 0))
    return min(lows), max(highs)


def spread(k: Any, g: Tensor, geometry: Any, low: int, size: int) -> Tensor:
    """``g`` added into zeros laid out as the storage is."""
    _, stride, offset = geometry
    return k.as_strided_scatter_add(g, size, offset - low, stride)


def pick(k: Any, flat: Tensor, geometry: Any, low: int) -> Tensor:
    shape, stride, offset = geometry
    if all(s >= 0 for s in stride):
        return k.as_strided(flat, shape, stride, offset - low)
    # A view with negative strides: pick it mirrored, then flip those axes back.
    mirrored = [i for i, s in enumerate(stride) if s < 0]
    start = offset - low + sum((shape[i] - 1) * stride[i] for i in mirrored)
    return k.flip(k.as_strided(flat, shape, [abs(s) for s in stride], start), mirrored)


_change_of_base = Op("in_place_change_of_a_view")


def view_vjp(k: Any, g: Tensor, saved: Any, need: Any) -> Any:
    """The gradient of a view in the place of its base."""
    view, base = saved
    low, high = _extent(view, base)
    return (pick(k, spread(k, g, view, low, high - low), base, low),)


def _change_vjp(k: Any, g: Tensor, saved: Any, need: Any) -> Any:
    view, base = saved
    low, high = _extent(view, base)
    flat = spread(k, g, base, low, high - low)
    rest = None
    if need[0]:
        # The part that was overwritten gets exactly 0, also where g is infinite.
        touched = _core.full(view[0], 1.0, g.dtype)
        mask = _core.ne(spread(_core, touched, view, low, high - low), 0)
        rest = pick(k, k.where(mask, 0.0, flat), base, low)
    return rest, need[1] and k.clone(pick(k, flat, view, low))


view_of_base.vjp = view_vjp
_change_of_base.vjp = _change_vjp


def refuse(name: str, x: Tensor) -> None:
    """An error where an in-place change of ``x`` could not be followed by gradients."""
    if x.is_leaf and x.requires_grad:
        raise RuntimeError(
            f"{name}: a leaf tensor that requires gradients cannot be changed in place; "
            "do it inside `with lectorium.no_grad():`, or use the out-of-place form"
        )
    base = x._base
    if base is not None and base.is_leaf and base.requires_grad:
        raise RuntimeError(
            f"{name}: this is a view of a leaf tensor that requires gradients, which cannot be changed in "
            "place; do it inside `with lectorium.no_grad():`, or on a .clone()"
        )
    made = x._node
    if base is not None and made is not None and made.op.by_user:
        raise RuntimeError(
            f"{name}: this is a view that the Function {made.op.name} gave out; changing it in place would "
            "pass over its own backward: return a .clone() from forward"
        )


def apply_inplace(
    function: Callable[..., Any], x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Tensor:
    """``x.function_(*args)``: writes the result into ``x`` and gives ``x`` its new place in the graph."""
    changes_in_place()
    name = f"{function.__name__.rstrip('_')}_"
    if not needs_grad((x, *args, *kwargs.values())):
        kernel = getattr(function, "into", None)
        if kernel is not None:
            try:
                kernel(x, *args, out=x, **kwargs)
            except KeyboardInterrupt:
                # Seen when the kernel was done.
                x._bump_version()
                raise
            except TypeError as error:
                raise named(name, error) from None
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
    refuse(name, x)
    start = next_id()
    out = function(x, *args, **kwargs)
    _check_result(name, x, out)
    if out.dtype is not x.dtype:
        out = _ops().cast(out, x.dtype)
    _keep_old_values(x, out._node, start)
    _core.copy_into(x, out)
    move_history(x, edge(out) if out.requires_grad else None)
    return x


def move_history(x: Tensor, new: Any) -> None:
    """Makes ``new`` (an edge, or None) what ``x`` comes from after an in-place change."""
    base = x._base
    if base is None:
        before = x._node, x.output_nr
        node, nr = new or (None, 0)
        x._rebase(node, nr)
        _move_retained(*before, x)
        return
    old = edge(base) if base.requires_grad else None
    if old is None and new is None:
        return
    own = x._node, x.output_nr
    base._rebase(bare_node(_change_of_base, [old, new], (geometry(x), geometry(base))), 0)
    refresh_view(x)
    if old is not None and isinstance(old[0], Node):
        _move_retained(*old, base)
    _move_retained(*own, x)


def _move_retained(node: Any, nr: int, t: Tensor) -> None:
    """`retain_grad` means the tensor as it is at the end, not as it was when asked for."""
    if node is None or not node.retained or nr not in node.retained or node.retained[nr]() is not t:
        return
    kept = node.retained.pop(nr)
    made = t._node
    if made is not None:
        made.retained = {**(made.retained or {}), t.output_nr: kept}


def _keep_old_values(x: Tensor, made: Node | None, start: int) -> None:
    """Nodes made after ``start`` that saved ``x`` get a copy of what it is about to lose."""
    root = x._base if x._base is not None else x
    stack = [made] if made is not None else []
    while stack:
        node = stack.pop()
        saved = node.saved
        if isinstance(saved, tuple):
            values = tuple(_old(v, root) if isinstance(v, Tensor) else v for v in saved)
            if any(a is not b for a, b in zip(values, saved, strict=True)):
                node._replace_saved(values)
        found = [p[0] for p in node.parents if p is not None]
        stack += [n for n in found if isinstance(n, Node) and n.id > start]


def _old(value: Tensor, root: Tensor) -> Tensor:
    if value is not root and value._base is not root:
        return value
    made, nr = edge(value) if value.requires_grad else (None, 0)
    if isinstance(made, Tensor):
        return value
    kept = _core.clone(value.detach())
    if made is not None:
        kept._set_node(made, nr)
    return kept


def _check_result(name: str, x: Tensor, out: Tensor) -> None:
    if out.shape != x.shape:
        raise _core.ShapeError(
            f"{name}: the result has shape {list(out.shape)} "
            f"but the tensor changed in place has {list(x.shape)}"
        )
    if out.dtype.is_floating_point and not x.dtype.is_floating_point:
        raise TypeError(f"{name}: the result is {out.dtype!r} and cannot be stored in {x.dtype!r}")


def _ops() -> Any:
    return importlib.import_module("lectorium.ops")
