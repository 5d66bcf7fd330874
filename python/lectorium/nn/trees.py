"""Batches of trees, cut into levels: all nodes of one height are computed in one step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from .. import _core
from .._core import Tensor


class Level(NamedTuple):
    """The nodes of one height, and where they find their children among the states that still wait."""

    # The input row of each node; one past the last row where it has none.
    rows: Tensor
    # For each child its place among the waiting states, and the number of its parent in this level.
    children: Tensor
    parents: Tensor
    # Of each node the places of its children in turn.
    places: list[list[int]]
    waiting: int
    # Which of the waiting states and this level's own wait on.
    keep: Tensor


def _ints(values: Sequence[int]) -> Tensor:
    return _core.from_numbers(tuple(values), [len(values)], _core.int64)


class TreeBatch:
    """Trees in the form in which recursive networks compute them; made once, it serves many calls.

    A tree is either a list of parents, one for each node and -1 for the root, where each node has a row of
    the input; or nested tuples with numbers as leaves, ``((0, 1), 2)``, where leaf i has row i of the tree's
    rows and inner nodes have none. The rows of all trees stand one after another, and so do their nodes:
    those of nested tuples children first, each node right after its last child.

    Errors: ValueError for a list of parents with a cycle, two roots, or a parent out of range.

    Example:
        >>> trees = lt.nn.TreeBatch([[-1, 0, 0], ((0, 1), 2)])
        >>> trees.rows, trees.nodes, trees.roots
        (6, 8, [0, 7])
    """

    def __init__(self, trees: Sequence[Any]) -> None:
        self.rows = 0
        self.roots: list[int] = []
        # Of each node: its children, and its row of the input or -1.
        self._children: list[list[int]] = []
        self._row: list[int] = []
        if not isinstance(trees, (list, tuple)) or not trees:
            raise ValueError(f"TreeBatch: expected a list of one tree or more, got {trees!r}")
        for number, tree in enumerate(trees):
            flat = isinstance(tree, (list, tuple)) and all(_whole(v) for v in tree)  # pyright: ignore[reportUnknownVariableType]
            if isinstance(tree, list) or (flat and -1 in tree):
                self._add_parents(number, list(tree))  # pyright: ignore[reportUnknownArgumentType]
            else:
                self._add_nested(number, tree)
        self.nodes = len(self._children)
        # Whether nodes with children have rows too.
        self.inner_rows = any(c and r != -1 for c, r in zip(self._children, self._row, strict=True))
        self.arity = max(len(c) for c in self._children)
        self.levels, self.order = self._cut()
        self._tables: dict[int, list[Tensor]] = {}

    def _add_parents(self, number: int, parents: list[Any]) -> None:
        first, n = len(self._children), len(parents)
        for i, p in enumerate(parents):
            if not _whole(p) or not -1 <= p < n:
                raise ValueError(
                    f"TreeBatch: the parent of node {i} of tree {number} is {p!r}, expected -1 for the root "
                    f"or 0 to {n - 1}"
                )
        roots = [i for i, p in enumerate(parents) if p == -1]
        if len(roots) != 1:
            raise ValueError(f"TreeBatch: tree {number} has {len(roots)} roots (parent -1), expected one")
        own = [list[int]() for _ in range(n)]
        for i, p in enumerate(parents):
            if p != -1:
                own[int(p)].append(i)
        reached, i = [roots[0]], 0
        while i < len(reached):
            reached.extend(own[reached[i]])
            i += 1
        if len(reached) != n:
            lost = min(set(range(n)) - set(reached))
            raise ValueError(f"TreeBatch: node {lost} of tree {number} is in a cycle, not under the root")
        self._children += [[first + c for c in children] for children in own]
        self._row += range(self.rows, self.rows + n)
        self.roots.append(first + roots[0])
        self.rows += n

    def _add_nested(self, number: int, tree: Any) -> None:
        """Without recursion: trees may be deep."""
        most = -1
        done: list[int] = []
        stack: list[tuple[Any, bool]] = [(tree, False)]
        while stack:
            node, ready = stack.pop()
            if _whole(node) and node >= 0:
                most = max(most, node)
                self._children.append([])
                self._row.append(self.rows + node)
            elif not isinstance(node, tuple) or not node:
                raise ValueError(
                    f"TreeBatch: a node of tree {number} is {node!r}, expected a leaf's number, "
                    "0 or more, or a tuple of nodes"
                )
            elif not ready:
                stack.append((node, True))  # pyright: ignore[reportUnknownArgumentType]
                stack.extend((child, False) for child in reversed(cast(tuple[Any, ...], node)))
                continue
            else:
                n = len(cast(tuple[Any, ...], node))
                self._children.append(done[-n:])
                self._row.append(-1)
                del done[-n:]
            done.append(len(self._children) - 1)
        self.roots.append(done[0])
        self.rows += most + 1

    def _cut(self) -> tuple[list[Level], Tensor]:
        """The levels from the leaves up, and where each node stands in their concatenation."""
        height, parent = [0] * self.nodes, [-1] * self.nodes
        pending = [len(c) for c in self._children]
        ready: list[int] = []
        for node, children in enumerate(self._children):
            for c in children:
                parent[c] = node
            if not children:
                ready.append(node)
        for node in ready:
            up = parent[node]
            if up != -1:
                height[up] = max(height[up], height[node] + 1)
                pending[up] -= 1
                if not pending[up]:
                    ready.append(up)
        by_height: list[list[int]] = [[] for _ in range(max(height) + 1)]
        for node, h in enumerate(height):
            by_height[h].append(node)

        levels: list[Level] = []
        place = [0] * self.nodes
        done, waiting = 0, list[int]()
        for h, own in enumerate(by_height):
            at = {node: i for i, node in enumerate(waiting)}
            children: list[int] = []
            parents: list[int] = []
            places = [[at[c] for c in self._children[node]] for node in own]
            for number, node in enumerate(own):
                place[node] = done + number
                children += places[number]
                parents += [number] * len(places[number])
            done += len(own)
            both = waiting + own
            keep = [i for i, node in enumerate(both) if parent[node] != -1 and height[parent[node]] > h]
            held, waiting = len(waiting), [both[i] for i in keep]
            rows = [self.rows if self._row[node] == -1 else self._row[node] for node in own]
            levels.append(Level(_ints(rows), _ints(children), _ints(parents), places, held, _ints(keep)))
        return levels, _ints(place)

    def tables(self, arity: int) -> list[Tensor]:
        """For each level the places of every node's children, ``[nodes * arity]``, past the last if none.

        Example:
            >>> trees = lt.nn.TreeBatch([((0, 1), 2)])
            >>> [level.tolist() for level in trees.tables(2)]
            [[0, 0, 0, 0, 0, 0], [0, 1], [1, 0]]
        """
        if arity not in self._tables:
            self._tables[arity] = [
                _ints([p for own in level.places for p in own + [level.waiting] * (arity - len(own))])
                for level in self.levels
            ]
        return self._tables[arity]


def _whole(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, (bool, Tensor))
