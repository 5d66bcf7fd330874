"""A cell that the user wrote, run over a sequence."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from .. import _core
from .._core import Tensor
from ..autograd.recording import Unrecorded
from ..autograd.steps import run
from . import join

Cell = Callable[[Any, Any], tuple[Any, Any]]


def scan(cell: Cell, inputs: Any, state: Any, *, length: int | None = None) -> tuple[Any, Any]:
    """Runs ``cell(x, state) -> (output, state)`` over the first axis of ``inputs``, as one operation.

    ``inputs``, ``state`` and outputs are tensors, or tuples, lists and dicts of them. Returns the outputs
    with the axis of steps in front, and the last state. ``inputs=None`` with ``length`` makes steps without
    input.

    The cell is written in plain operations on tensors. At each call it runs once on the first step, and what
    it computes is written down; the sequence then runs compiled, forward and backward, without Python.
    Products of the inputs with weights are made for all steps at once, as are the gradients of weights, and
    chains of elementwise operations are one pass. Gradients flow to inputs, to the first state and to every
    tensor that the cell uses, as zeros where the loop would leave None; gradients of gradients are those of
    the loop. Random operations draw anew each step, the numbers that the loop would draw. What else the cell
    does (printing, counting, filling lists) happens once.

    Recorded are arithmetic, comparisons, ``where``, ``clamp``, powers and the functions of one tensor;
    activations, softmax, layer_norm, dropout and draws; matmul, linear, bmm, addmm; sum, mean, prod, var,
    norm, amax, amin, max, min, argmax, argmin, logsumexp, cumsum; views, indices of ints and slices, cat,
    stack, chunk, pad, flip, roll, tril, triu; embedding, gather, index_select, scatter_add, masked_fill,
    one_hot and casts; the cells of ``nn``. A cell that calls something else, reads values (``item``,
    ``bool``, NumPy), changes tensors in place or changes the shape of its state runs as a loop, and a warning
    says why.

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
    if not callable(cell):
        raise TypeError(f"scan: cell must be a function of (x, state), got {type(cell).__name__}")
    xs, tree = _flat("inputs", inputs)
    states, state_tree = _flat("state", state)
    steps = _steps(xs, length)
    if steps == 1:
        return _loop(cell, inputs, state, steps)
    if _core.recording():
        raise Unrecorded("it calls scan, which then runs as a program of its own")
    why = _outside(xs, states)
    shapes: list[Any] = []

    def flat_cell(x: Sequence[Tensor], h: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        output, new = _answer(cell(_build(tree, iter(x)), _build(state_tree, iter(h))))
        (outputs, out_tree), (states, new_tree) = _flat("outputs", output), _flat("state", new)
        if new_tree != state_tree:
            raise Unrecorded("the state it returns has another structure than the one it was given")
        if shapes and shapes[0] != out_tree:
            raise Unrecorded("its outputs have another structure at the second step than at the first")
        shapes.append(out_tree)
        return outputs, states

    done = why or run(flat_cell, _code(cell), xs, states, steps)
    if isinstance(done, str):
        text = f"scan: the cell cannot be recorded and runs as a loop: {done}"
        warnings.warn(text, RuntimeWarning, stacklevel=2)
        return _loop(cell, inputs, state, steps)
    outputs, last = done
    return _build(shapes[0], iter(outputs)), _build(state_tree, iter(last))


def _code(cell: Any) -> Any:
    """What stays of a function that is made anew for each call."""
    cell = getattr(cell, "func", cell)
    return getattr(cell, "__code__", None) or cell.__class__


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
            items = cast("dict[Any, Any]", v)
            return dict, tuple((key, walk(item)) for key, item in items.items())
        if isinstance(v, (tuple, list)):
            parts = cast("Sequence[Any]", v)
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
        if isinstance(length, bool) or not hasattr(length, "__index__"):
            raise TypeError(f"scan: length must be an int, got {length!r}")
        sizes.append(length.__index__())
    if not sizes:
        raise ValueError("scan: without inputs the number of steps must be given as length=")
    if len(set(sizes)) > 1:
        raise _core.ShapeError(f"scan: inputs (and length) must have one number of steps, got {sizes}")
    if sizes[0] <= 0:
        raise ValueError(f"scan: expected at least one step, got {sizes[0]}")
    return sizes[0]


def _answer(got: Any) -> tuple[Any, Any]:
    pair = cast("tuple[Any, ...]", got)
    if not isinstance(got, tuple) or len(pair) != 2:
        shown = f"{len(pair)} values" if isinstance(got, tuple) else type(got).__name__
        raise TypeError(
            f"scan: the cell must return (output, state), got {shown}; where the state is the output too, "
            "return it twice: h, h"
        )
    return pair[0], pair[1]


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
