"""Recursive networks over trees, level by level for a whole batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import _core, ops
from .._core import Tensor, dtype as DType
from . import init
from ._make import parameter, size
from .functional._shared import tensor_of
from .module import Module
from .trees import Level, TreeBatch

ShapeError = _core.ShapeError
Trees = TreeBatch | Sequence[Any]
# What a node hands to its parent: h, or h and c.
States = list[Tensor]


class _Recursive(Module):
    """Walks up the levels; a subclass says what a level computes."""

    input_size: int
    hidden_size: int
    # The most children that a node may have.
    arity: int | None = None

    def _level(self, x: Tensor, below: States, trees: TreeBatch, number: int) -> States:
        """The states of the level's nodes, from its rows of the input and the states that wait below."""
        raise NotImplementedError

    def _project(self, x: Tensor) -> Tensor:
        """The input's part, of all rows at once, with a row for nodes without input."""
        raise NotImplementedError

    def _batch(self, x: Tensor, trees: Trees) -> TreeBatch:
        name = type(self).__name__
        batch = trees if isinstance(trees, TreeBatch) else TreeBatch(trees)
        if tensor_of(name, x, "x").ndim != 2 or x.shape[1] != self.input_size:
            raise ShapeError(f"{name}: x has shape {list(x.shape)}, expected [rows, {self.input_size}]")
        if x.shape[0] != batch.rows:
            raise ShapeError(f"{name}: x has {x.shape[0]} rows, but the trees need {batch.rows}")
        if self.arity is not None and batch.arity > self.arity:
            raise ValueError(f"{name}: a node has {batch.arity} children, expected {self.arity} at most")
        return batch

    def _walk(self, x: Tensor, trees: Trees, states: int) -> tuple[Tensor, States]:
        """h of all nodes, and the states of the roots."""
        batch = self._batch(x, trees)
        projected = self._project(x)
        waiting: States = []
        found: list[States] = []
        for number, level in enumerate(batch.levels):
            here = self._level(ops.index_select(projected, 0, level.rows), waiting, batch, number)
            found.append(here)
            if number + 1 < len(batch.levels):
                both = [ops.cat([w, s], 0) for w, s in zip(waiting, here, strict=True)] if waiting else here
                waiting = [ops.index_select(s, 0, level.keep) for s in both]
        nodes = [
            ops.index_select(ops.cat([level[i] for level in found], 0), 0, batch.order) for i in range(states)
        ]
        roots = _core.from_numbers(tuple(batch.roots), [len(batch.roots)], _core.int64)
        return nodes[0], [ops.index_select(s, 0, roots) for s in nodes]

    def reset_parameters(self) -> None:
        """Draws the weights anew, uniform in ±1 / sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.input_size}, {self.hidden_size}"


def _with_empty_row(x: Tensor) -> Tensor:
    return ops.cat([x, _core.zeros([1, x.shape[1]], x.dtype)], 0)


class ChildSumTreeLSTM(_Recursive):
    """The Child-Sum Tree-LSTM (Tai et al. 2015, equations 2 to 8), for nodes with any number of children.

    ``i, o = sigmoid(W x + U h̃ + b)``, ``u = tanh(W x + U h̃ + b)`` with h̃ the sum of the children's h;
    ``f_k = sigmoid(W_f x + U_f h_k + b_f)`` for each child; ``c = i u + Σ f_k c_k``, ``h = o tanh(c)``.

    Called with x ``[rows, input_size]`` and the trees, a ``TreeBatch`` or what it is made of, it gives h of
    all nodes ``[nodes, hidden_size]``, and the roots' ``(h, c)``, ``[trees, hidden_size]`` each.

    Parameters: ``weight_ih`` ``[4 * hidden_size, input_size]``, ``weight_hh`` ``[4 * hidden_size,
    hidden_size]`` and ``bias`` ``[4 * hidden_size]``, rows in the order i, o, u, f.

    Example:
        >>> lstm = lt.nn.ChildSumTreeLSTM(5, 7)
        >>> h, (root_h, root_c) = lstm(lt.randn(4, 5), [[-1, 0, 0, 1]])
        >>> h.shape, root_h.shape
        ((4, 7), (1, 7))
    """

    def __init__(
        self, input_size: int, hidden_size: int, device: Any = None, dtype: DType | None = None
    ) -> None:
        super().__init__()
        self.input_size = size("ChildSumTreeLSTM", "input_size", input_size)
        self.hidden_size = size("ChildSumTreeLSTM", "hidden_size", hidden_size)
        self.weight_ih = parameter((4 * hidden_size, input_size), dtype, device)
        self.weight_hh = parameter((4 * hidden_size, hidden_size), dtype, device)
        self.bias = parameter((4 * hidden_size,), dtype, device)
        self.reset_parameters()

    def forward(self, x: Tensor, trees: Trees) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        h, (root_h, root_c) = self._walk(x, trees, 2)
        return h, (root_h, root_c)

    def _project(self, x: Tensor) -> Tensor:
        return _with_empty_row(ops.linear(x, self.weight_ih, None))

    def _level(self, x: Tensor, below: States, trees: TreeBatch, number: int) -> States:
        n, level = self.hidden_size, trees.levels[number]
        x = ops.add(x, self.bias)
        gates, forget = ops.narrow(x, 1, 0, 3 * n), ops.narrow(x, 1, 3 * n, n)
        kept = None
        if number:
            h, c = (ops.index_select(s, 0, level.children) for s in below)
            w, w_f = ops.narrow(self.weight_hh, 0, 0, 3 * n), ops.narrow(self.weight_hh, 0, 3 * n, n)
            gates = ops.add(gates, ops.linear(self._summed(h, level), w, None))
            f = ops.add(ops.index_select(forget, 0, level.parents), ops.linear(h, w_f, None))
            kept = self._summed(ops.mul(ops.sigmoid(f), c), level)
        i, o, u = (ops.narrow(gates, 1, k * n, n) for k in range(3))
        c = ops.mul(ops.sigmoid(i), ops.tanh(u))
        if kept is not None:
            c = ops.add(c, kept)
        return [ops.mul(ops.sigmoid(o), ops.tanh(c)), c]

    def _summed(self, children: Tensor, level: Level) -> Tensor:
        """The sum over each node's children."""
        zeros = _core.zeros([len(level.places), children.shape[1]], children.dtype)
        return ops.index_add(zeros, 0, level.parents, children)


class TreeLSTM(_Recursive):
    """The N-ary Tree-LSTM (Tai et al. 2015, equations 9 to 14): each child has weights of its own.

    As ``ChildSumTreeLSTM``, but with ``Σ U_k h_k`` over the children in their order, for each child's forget
    gate too; a child that is missing adds nothing. ``arity`` 2 is the binary one, for constituency trees.

    Parameters: ``weight_ih`` ``[4 * hidden_size, input_size]`` with rows i, o, u, f; ``weight_hh``
    ``[(3 + arity) * hidden_size, arity * hidden_size]`` with rows i, o, u and the f of each child;
    ``bias`` ``[4 * hidden_size]``.

    Example:
        >>> lstm = lt.nn.TreeLSTM(5, 7)
        >>> h, (root_h, root_c) = lstm(lt.randn(5, 5), [((0, 1), 2), (0, 1)])
        >>> h.shape, root_h.shape
        ((8, 7), (2, 7))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        arity: int = 2,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.input_size = size("TreeLSTM", "input_size", input_size)
        self.hidden_size = size("TreeLSTM", "hidden_size", hidden_size)
        self.arity = n = size("TreeLSTM", "arity", arity)
        self.weight_ih = parameter((4 * hidden_size, input_size), dtype, device)
        self.weight_hh = parameter(((3 + n) * hidden_size, n * hidden_size), dtype, device)
        self.bias = parameter((4 * hidden_size,), dtype, device)
        self.reset_parameters()

    def forward(self, x: Tensor, trees: Trees) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        h, (root_h, root_c) = self._walk(x, trees, 2)
        return h, (root_h, root_c)

    def extra_repr(self) -> str:
        """The sizes and the arity."""
        return f"{self.input_size}, {self.hidden_size}, arity={self.arity}"

    def _project(self, x: Tensor) -> Tensor:
        return _with_empty_row(ops.linear(x, self.weight_ih, None))

    def _level(self, x: Tensor, below: States, trees: TreeBatch, number: int) -> States:
        n, arity = self.hidden_size, self.arity or 1
        x = ops.add(x, self.bias)
        kept = None
        if number:
            count, table = x.shape[0], trees.tables(arity)[number]
            h, c = (ops.index_select(_with_empty_row(s), 0, table) for s in below)
            # One f for each child.
            x = ops.cat([x, *[ops.narrow(x, 1, 3 * n, n)] * (arity - 1)], 1)
            x = ops.add(x, ops.linear(ops.reshape(h, (count, arity * n)), self.weight_hh, None))
            f = ops.sigmoid(ops.reshape(ops.narrow(x, 1, 3 * n, arity * n), (count, arity, n)))
            kept = ops.sum(ops.mul(f, ops.reshape(c, (count, arity, n))), (1,))
        i, o, u = (ops.narrow(x, 1, k * n, n) for k in range(3))
        c = ops.mul(ops.sigmoid(i), ops.tanh(u))
        if kept is not None:
            c = ops.add(c, kept)
        return [ops.mul(ops.sigmoid(o), ops.tanh(c)), c]


class RecursiveNN(_Recursive):
    """The recursive network of Socher et al. 2011: ``h = tanh(W [left; right] + b)`` up a binary tree.

    The leaves' h are their rows of the input. Called with x ``[rows, hidden_size]`` and nested pairs (or a
    ``TreeBatch`` of them) it gives h of all nodes ``[nodes, hidden_size]``, and that of the roots.

    Parameters: ``weight`` ``[hidden_size, 2 * hidden_size]``, ``bias`` ``[hidden_size]``.

    Example:
        >>> h, root = lt.nn.RecursiveNN(7)(lt.randn(3, 7), [((0, 1), 2)])
        >>> h.shape, root.shape
        ((5, 7), (1, 7))
    """

    def __init__(self, hidden_size: int, device: Any = None, dtype: DType | None = None) -> None:
        super().__init__()
        self.input_size = self.hidden_size = size("RecursiveNN", "hidden_size", hidden_size)
        self.weight = parameter((hidden_size, 2 * hidden_size), dtype, device)
        self.bias = parameter((hidden_size,), dtype, device)
        self.reset_parameters()

    def forward(self, x: Tensor, trees: Trees) -> tuple[Tensor, Tensor]:
        h, (root,) = self._walk(x, trees, 1)
        return h, root

    def extra_repr(self) -> str:
        """The size."""
        return f"{self.hidden_size}"

    def _batch(self, x: Tensor, trees: Trees) -> TreeBatch:
        batch = super()._batch(x, trees)
        if batch.inner_rows:
            raise ValueError(
                "RecursiveNN: only leaves have an input; give nested tuples, not lists of parents"
            )
        for number, level in enumerate(batch.levels):
            for own in level.places:
                if number and len(own) != 2:
                    raise ValueError(f"RecursiveNN: a node has {len(own)} children, expected two")
        return batch

    def _project(self, x: Tensor) -> Tensor:
        return _with_empty_row(x)

    def _level(self, x: Tensor, below: States, trees: TreeBatch, number: int) -> States:
        if not number:
            return [x]
        h = ops.index_select(below[0], 0, trees.levels[number].children)
        pairs = ops.reshape(h, (-1, 2 * self.hidden_size))
        return [ops.tanh(ops.linear(pairs, self.weight, self.bias))]
