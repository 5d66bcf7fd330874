"""The walk back over the tape."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from .. import _core
from .._core import Node, Tensor, edge, set_grad_enabled, walk_back


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
    edges = [edge(t) for t in outputs]
    targets = [] if inputs is None else [edge(t) for t in inputs]
    limits: tuple[set[int], dict[int, list[int]]] | None = None
    if inputs is not None:
        wanted: dict[int, list[int]] = {}
        for target, nr in targets:
            wanted.setdefault(id(target), []).append(nr)
        limits = _reach([n for n, _ in edges if isinstance(n, Node)], set(wanted)), wanted

    def run_hooks(node: Node, slots: list[Tensor | None]) -> None:
        _run_hooks(node, slots, create_graph)

    before = set_grad_enabled(create_graph)
    try:
        leaves, found = walk_back(k, edges, gradients, retain_graph, create_graph, limits, run_hooks)
        for leaf, g in leaves:
            if leaf._hooks:
                g = _hooked(leaf._hooks, g, create_graph)
            if inputs is None:
                _accumulate(leaf, g, create_graph)
            else:
                found[id(leaf), 0] = g
    finally:
        set_grad_enabled(before)
    return [found.get((id(target), nr)) for target, nr in targets]


def _hooked(hooks: Any, g: Tensor, create_graph: bool) -> Tensor:
    """What the hooks make of a gradient. They may keep what they saw: an alias of it goes on."""
    for hook in list(hooks.values()):
        changed = hook(g)
        if changed is None:
            continue
        if not isinstance(changed, Tensor):
            raise TypeError(f"hook: expected a Tensor or None from a hook, got {type(changed).__name__}")
        if changed.shape != g.shape:
            raise _core.ShapeError(
                f"hook: the gradient has shape {list(g.shape)}, the hook returned {list(changed.shape)}"
            )
        g = changed
    return g if create_graph else g.detach()


def _run_hooks(node: Node, slots: list[Tensor | None], create_graph: bool) -> None:
    for nr, g in enumerate(slots):
        if g is None:
            continue
        if node.hooks and nr in node.hooks:
            g = slots[nr] = _hooked(node.hooks[nr], g, create_graph)
        tensor = node.retained[nr]() if node.retained and nr in node.retained else None
        if tensor is not None:
            _accumulate(tensor, g, create_graph)


def _accumulate(leaf: Tensor, g: Tensor, create_graph: bool) -> None:
    """Adds to ``.grad``, which never shares memory with another tensor."""
    have = leaf.grad
    if create_graph:
        leaf.grad = _ops().clone(g) if have is None else _ops().add(have, g)
    elif have is None:
        leaf.grad = g._own()
    elif not have.is_cpu:
        # The GPU changes nothing in place, so there gradients may share memory too.
        leaf.grad = _core.add(have, g)
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
    seeds = seed_gradients("backward", outputs, gradients, create_graph)
    retain = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        run_backward(outputs, seeds, retain, create_graph)
        return
    if not inputs:
        raise RuntimeError("backward: inputs is empty; leave it out to reach every leaf")
    for i, t in enumerate(inputs):
        if not t.requires_grad:
            raise RuntimeError(
                f"backward: input {i} does not require gradients; set requires_grad before using it"
            )
    for t, g in zip(inputs, run_backward(outputs, seeds, retain, create_graph, inputs), strict=True):
        if g is not None:
            _accumulate(t, g, create_graph)


def seed_gradients(
    name: str, outputs: Sequence[Tensor], gradients: Sequence[Tensor | None], create_graph: bool
) -> list[Tensor]:
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
                    f"{name}: the tensor has shape {list(t.shape)}; "
                    "a gradient is implied only for one element: "
                    "reduce it first (.sum(), .mean()) or pass gradient= of that shape"
                )
            one = _core.full(t.shape, 1.0, t.dtype)
            seeds.append(one if t.is_cpu else _core.to_gpu(one))
        else:
            if not isinstance(g, Tensor):
                raise TypeError(f"{name}: a gradient must be a Tensor or None, got {type(g).__name__}")
            if g.shape != t.shape:
                raise _core.ShapeError(
                    f"{name}: the tensor has shape {list(t.shape)}, its gradient {list(g.shape)}; "
                    "they must be equal"
                )
            if create_graph and g.requires_grad:
                seeds.append(g if g.dtype is t.dtype else _ops().cast(g, t.dtype))
            else:
                # An alias: the caller's own tensor must not become somebody's .grad.
                seeds.append(_core.cast(g, t.dtype).detach())
    return seeds
