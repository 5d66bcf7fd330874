"""Recursive networks, level by level, against the naive recursion over each tree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lectorium as lt
from helpers import sample, to_numpy

NESTED: list[Any] = [((0, 1), (2, (3, 4))), 0, (0, 1), ((((0, 1), 2), 3), 4)]
PARENTS = [[-1, 0, 0, 1, 1, 1, 2, 6], [-1], [1, 2, 3, -1], [3, 3, 3, -1]]


def children_of(parents: list[int]) -> list[list[int]]:
    return [[i for i, p in enumerate(parents) if p == node] for node in range(len(parents))]


def child_sum(net: Any, x: Any, children: list[list[int]], node: int, found: dict[int, Any]) -> Any:
    below = [child_sum(net, x, children, c, found) for c in children[node]]
    n = net.hidden_size
    w, u, b = net.weight_ih, net.weight_hh, net.bias
    h = sum((h for h, _ in below), lt.zeros(n, dtype=x.dtype))
    gates = w[: 3 * n] @ x[node] + u[: 3 * n] @ h + b[: 3 * n]
    i, o, new = gates[:n].sigmoid(), gates[n : 2 * n].sigmoid(), gates[2 * n :].tanh()
    c = i * new
    for h_k, c_k in below:
        c = c + (w[3 * n :] @ x[node] + u[3 * n :] @ h_k + b[3 * n :]).sigmoid() * c_k
    found[node] = (o * c.tanh(), c)
    return found[node]


def n_ary(net: Any, x: Any, tree: Any, found: list[Any]) -> Any:
    n, k = net.hidden_size, net.arity
    below = [] if isinstance(tree, int) else [n_ary(net, x, t, found) for t in tree]
    row = x[tree] if isinstance(tree, int) else lt.zeros(net.input_size, dtype=x.dtype)
    zero = lt.zeros(n, dtype=x.dtype)
    below += [(zero, zero)] * (k - len(below))
    h = lt.cat([h for h, _ in below])
    given, inner = net.weight_ih @ row + net.bias, net.weight_hh @ h
    i, o = (given[:n] + inner[:n]).sigmoid(), (given[n : 2 * n] + inner[n : 2 * n]).sigmoid()
    c = i * (given[2 * n : 3 * n] + inner[2 * n : 3 * n]).tanh()
    for j, (_, c_j) in enumerate(below):
        c = c + (given[3 * n :] + inner[(3 + j) * n : (4 + j) * n]).sigmoid() * c_j
    found.append((o * c.tanh(), c))
    return found[-1]


def plain(net: Any, x: Any, tree: Any, found: list[Any]) -> Any:
    if isinstance(tree, int):
        found.append(x[tree])
    else:
        left, right = (plain(net, x, t, found) for t in tree)
        found.append((net.weight @ lt.cat([left, right]) + net.bias).tanh())
    return found[-1]


def leaves(tree: Any) -> int:
    return 1 if isinstance(tree, int) else sum(leaves(t) for t in tree)


def compare(net: Any, x: np.ndarray, run: Any, naive: Any) -> None:
    """Values and gradients of ``run(x)`` and ``naive(x)``, lists of tensors."""
    results = []
    for function in (run, naive):
        net.zero_grad()
        leaf = lt.from_numpy(x).requires_grad_()
        outs = function(leaf)
        total = sum(
            ((o * lt.from_numpy(sample(o.shape, "float64", seed=3))).sum() for o in outs), lt.zeros(())
        )
        total.backward()
        results.append([*outs, leaf.grad, *(p.grad for p in net.parameters())])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(to_numpy(a), to_numpy(b), rtol=1e-10, atol=1e-12)


def test_the_child_sum_lstm_is_the_naive_recursion() -> None:
    net = lt.nn.ChildSumTreeLSTM(3, 4, dtype=lt.float64)
    x = sample((sum(map(len, PARENTS)), 3), "float64")

    def run(x: Any) -> Any:
        h, (root_h, root_c) = net(x, PARENTS)
        return [h, root_h, root_c]

    def naive(x: Any) -> Any:
        h, roots, start = [], [], 0
        for parents in PARENTS:
            found: dict[int, Any] = {}
            rows = x[start : start + len(parents)]
            roots.append(child_sum(net, rows, children_of(parents), parents.index(-1), found))
            h += [found[i][0] for i in range(len(parents))]
            start += len(parents)
        return [lt.stack(h), lt.stack([r[0] for r in roots]), lt.stack([r[1] for r in roots])]

    compare(net, x, run, naive)


@pytest.mark.parametrize("arity", [2, 3])
def test_the_n_ary_lstm_is_the_naive_recursion(arity: int) -> None:
    net = lt.nn.TreeLSTM(3, 4, arity, dtype=lt.float64)
    trees = [*NESTED, ((0,), (1, 2))] if arity == 2 else [*NESTED, (0, (1, 2, 3), 4), ((0, 1), 2)]
    x = sample((sum(map(leaves, trees)), 3), "float64")

    def run(x: Any) -> Any:
        h, (root_h, root_c) = net(x, lt.nn.TreeBatch(trees))
        return [h, root_h, root_c]

    def naive(x: Any) -> Any:
        found: list[Any] = []
        roots, start = [], 0
        for tree in trees:
            roots.append(n_ary(net, x[start : start + leaves(tree)], tree, found))
            start += leaves(tree)
        h = lt.stack([s[0] for s in found])
        return [h, lt.stack([r[0] for r in roots]), lt.stack([r[1] for r in roots])]

    compare(net, x, run, naive)


def test_the_plain_network_is_the_naive_recursion() -> None:
    net = lt.nn.RecursiveNN(4, dtype=lt.float64)
    x = sample((sum(map(leaves, NESTED)), 4), "float64")

    def naive(x: Any) -> Any:
        found: list[Any] = []
        roots, start = [], 0
        for tree in NESTED:
            roots.append(plain(net, x[start : start + leaves(tree)], tree, found))
            start += leaves(tree)
        return [lt.stack(found), lt.stack(roots)]

    compare(net, x, lambda x: list(net(x, NESTED)), naive)


def test_second_derivatives_are_right() -> None:
    x = lt.from_numpy(sample((5, 2), "float64")).requires_grad_()
    lstm = lt.nn.ChildSumTreeLSTM(2, 2, dtype=lt.float64)
    binary = lt.nn.TreeLSTM(2, 2, dtype=lt.float64)
    lt.autograd.gradgradcheck(lambda x: lstm(x, [[-1, 0, 0], [1, -1]])[1][1], (x,))
    lt.autograd.gradgradcheck(lambda x: binary(x, [((0, 1), 2), (0, 1)])[1][0], (x,))


def test_a_chain_of_a_thousand_nodes_needs_no_recursion() -> None:
    tree: Any = 0
    for i in range(1, 1500):
        tree = (tree, i)
    h, root = lt.nn.RecursiveNN(2)(lt.randn(1500, 2), [tree])
    assert h.shape == (2999, 2)
    np.testing.assert_array_equal(to_numpy(h)[-1], to_numpy(root)[0])
    batch = lt.nn.TreeBatch([[-1, *range(1499)]])
    assert len(batch.levels) == 1500


@pytest.mark.parametrize(
    ("trees", "words"),
    [
        ([], "expected a list of one tree or more"),
        ([[]], "tree 0 has 0 roots"),
        ([[-1, 0], [0, -1, -1]], r"tree 1 has 2 roots \(parent -1\), expected one"),
        ([[-1, 5]], "the parent of node 1 of tree 0 is 5, expected -1 for the root or 0 to 1"),
        ([[-1, 2, 1]], "node 1 of tree 0 is in a cycle, not under the root"),
        ([((0, 1), "cat")], "a node of tree 0 is 'cat', expected a leaf's number, 0 or more, or a tuple"),
        ([((0, 1), ())], r"a node of tree 0 is \(\), expected a leaf's number"),
        ([((0, -2), 1)], "a node of tree 0 is -2"),
    ],
)
def test_trees_that_are_none_are_refused(trees: Any, words: str) -> None:
    with pytest.raises(ValueError, match="TreeBatch: .*" + words):
        lt.nn.TreeBatch(trees)


def test_inputs_that_do_not_fit_are_refused() -> None:
    lstm = lt.nn.TreeLSTM(3, 4)
    with pytest.raises(TypeError, match="TreeLSTM: x must be a Tensor, got list"):
        lt.nn.TreeLSTM(3, 2)([[0.0]], [0])
    with pytest.raises(ValueError, match="TreeLSTM: x has 2 rows, but the trees need 3"):
        lstm(lt.zeros(2, 3), [((0, 1), 2)])
    with pytest.raises(ValueError, match=r"TreeLSTM: x has shape \[3, 2\], expected \[rows, 3\]"):
        lstm(lt.zeros(3, 2), [((0, 1), 2)])
    with pytest.raises(ValueError, match="TreeLSTM: a node has 3 children, expected 2 at most"):
        lstm(lt.zeros(3, 3), [(0, 1, 2)])
    with pytest.raises(ValueError, match="RecursiveNN: a node has 3 children, expected two"):
        lt.nn.RecursiveNN(3)(lt.zeros(3, 3), [(0, 1, 2)])
    with pytest.raises(ValueError, match="RecursiveNN: only leaves have an input; give nested tuples"):
        lt.nn.RecursiveNN(3)(lt.zeros(3, 3), [[-1, 0, 0]])
