"""Products of vectors and matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from .. import _core, ops
from .._checks import tensor_of
from .._core import Tensor
from .shape import normalized


def _axes(name: str, x: Tensor, n: int) -> None:
    if tensor_of(name, x).ndim != n:
        raise _core.ShapeError(
            f"{name}: expected {n} axes, got shape {list(x.shape)}; lectorium.matmul broadcasts"
        )


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices.

    Example:
        >>> lt.mm(lt.ones(2, 3), lt.ones(3, 1))
        tensor([[3.],
                [3.]])
    """
    _axes("mm", input, 2)
    _axes("mm", mat2, 2)
    return ops.matmul(input, mat2)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of two batches of matrices.

    Example:
        >>> lt.bmm(lt.ones(4, 2, 3), lt.ones(4, 3, 1)).shape
        (4, 2, 1)
    """
    _axes("bmm", input, 3)
    _axes("bmm", mat2, 3)
    if input.shape[0] != mat2.shape[0]:
        raise _core.ShapeError(
            f"bmm: batches of {input.shape[0]} and {mat2.shape[0]} matrices; they must be equal"
        )
    return ops.matmul(input, mat2)


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """A matrix times a vector.

    Example:
        >>> lt.mv(lt.ones(2, 3), lt.ones(3))
        tensor([3., 3.])
    """
    _axes("mv", input, 2)
    _axes("mv", vec, 1)
    return ops.matmul(input, vec)


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The inner product of two vectors.

    Example:
        >>> lt.dot(lt.tensor([1.0, 2.0]), lt.tensor([3.0, 4.0]))
        tensor(11.)
    """
    _axes("dot", input, 1)
    _axes("dot", tensor, 1)
    return ops.matmul(input, tensor)


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """All products of two vectors' elements.

    Example:
        >>> lt.outer(lt.tensor([1, 2]), lt.tensor([3, 4]))
        tensor([[3, 4],
                [6, 8]])
    """
    _axes("outer", input, 1)
    _axes("outer", vec2, 1)
    return ops.mul(ops.unsqueeze(input, 1), vec2)


def _scaled(base: Tensor, product: Tensor, beta: Any, alpha: Any) -> Tensor:
    product = product if alpha == 1 else ops.mul(product, alpha)
    if beta == 0:
        return product
    return ops.add(product, base, beta)


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * mat1 @ mat2``.

    Example:
        >>> lt.addmm(lt.ones(1), lt.ones(1, 2), lt.ones(2, 1))
        tensor([[3.]])
    """
    return _scaled(input, mm(mat1, mat2), beta, alpha)


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * mat @ vec``.

    Example:
        >>> lt.addmv(lt.ones(1), lt.ones(1, 2), lt.ones(2))
        tensor([3.])
    """
    return _scaled(input, mv(mat, vec), beta, alpha)


def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * batch1 @ batch2`` for batches.

    Example:
        >>> lt.baddbmm(lt.ones(1), lt.ones(1, 1, 2), lt.ones(1, 2, 1))
        tensor([[[3.]]])
    """
    return _scaled(input, bmm(batch1, batch2), beta, alpha)


def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal.

    Example:
        >>> lt.trace(lt.eye(3))
        tensor(3.)
    """
    _axes("trace", input, 2)
    return ops.sum(ops.diagonal(input))


def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Products summed over pairs of axes: the last ``dims`` of a with the first of b, or two lists.

    Example:
        >>> lt.tensordot(lt.ones(2, 3), lt.ones(3, 4), 1).shape
        (2, 4)
    """
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.ndim, b.ndim):
            raise ValueError(f"tensordot: dims must be 0 to {min(a.ndim, b.ndim)}, got {dims}")
        left, right = list(range(a.ndim - dims, a.ndim)), list(range(dims))
    else:
        left, right = ([d] if isinstance(d, int) else list(d) for d in dims)
        left = [normalized("tensordot", d, a.ndim) for d in left]
        right = [normalized("tensordot", d, b.ndim) for d in right]
    if [a.shape[i] for i in left] != [b.shape[j] for j in right]:
        raise _core.ShapeError(
            f"tensordot: axes {left} of shape {list(a.shape)} and {right} of {list(b.shape)} differ in size"
        )
    rest_a = [i for i in range(a.ndim) if i not in left]
    rest_b = [j for j in range(b.ndim) if j not in right]
    inner = 1
    for i in left:
        inner *= a.shape[i]
    rows = ops.reshape(ops.permute(a, rest_a + left), [_product(a, rest_a), inner])
    columns = ops.reshape(ops.permute(b, right + rest_b), [inner, _product(b, rest_b)])
    return ops.reshape(ops.matmul(rows, columns), [a.shape[i] for i in rest_a] + [b.shape[j] for j in rest_b])


def _product(x: Tensor, axes: Sequence[int]) -> int:
    n = 1
    for i in axes:
        n *= x.shape[i]
    return n


def einsum(equation: str, *operands: Any) -> Tensor:
    """Einstein's sum: letters name axes, repeated ones are summed over, ``...`` broadcasts.

    Errors: ValueError for an equation that does not fit the operands.

    Example:
        >>> lt.einsum("ij,jk->ik", lt.ones(2, 3), lt.ones(3, 4)).shape
        (2, 4)
    """
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(cast("list[Any]", operands[0]))
    tensors = list(operands)
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(tensors):
        raise ValueError(f"einsum: {equation!r} names {len(terms)} operands, got {len(tensors)}")
    spare = iter(chr(c) for c in range(0x100, 0x400))
    dots: list[str] = []
    named: list[tuple[Tensor, str]] = []
    wide = 0
    for term, x in zip(terms, tensors, strict=True):
        letters = term.replace("...", "", 1)
        if not all(c.isalpha() and c.isascii() for c in letters) or (
            "..." not in term and len(letters) != x.ndim
        ):
            raise ValueError(
                f"einsum: {term!r} in {equation!r} does not fit an operand of shape {list(x.shape)}"
            )
        extra = x.ndim - len(letters)
        if extra < 0:
            raise ValueError(f"einsum: {term!r} names more axes than an operand of shape {list(x.shape)} has")
        wide = max(wide, extra if "..." in term else 0)
    dots = [next(spare) for _ in range(wide)]
    for term, x in zip(terms, tensors, strict=True):
        extra = x.ndim - len(term.replace("...", ""))
        named.append(_diagonals(x, term.replace("...", "".join(dots[wide - extra :]) if extra else "")))
    counts: dict[str, int] = {}
    for term in terms:
        for c in term.replace("...", ""):
            counts[c] = counts.get(c, 0) + 1
    if arrow:
        target = right.replace("...", "".join(dots))
    else:
        target = "".join(dots) + "".join(sorted(c for c, n in counts.items() if n == 1))
    if len(set(target)) != len(target) or any(c not in counts and c not in dots for c in target):
        raise ValueError(
            f"einsum: the output {right!r} of {equation!r} repeats an axis or names an unknown one"
        )
    value, names = named[0]
    for i, (other, other_names) in enumerate(named[1:], 1):
        later = "".join(n for _, n in named[i + 1 :]) + target
        value, names = _contract(value, names, other, other_names, later, equation)
    gone = [i for i, c in enumerate(names) if c not in target]
    if gone:
        value, names = ops.sum(value, tuple(gone)), "".join(c for c in names if c in target)
    return ops.permute(value, [names.index(c) for c in target])


def _diagonals(x: Tensor, names: str) -> tuple[Tensor, str]:
    """A letter twice in one operand takes its diagonal."""
    for c in dict.fromkeys(names):
        while names.count(c) > 1:
            i, j = names.index(c), names.rindex(c)
            if x.shape[i] != x.shape[j]:
                raise ValueError(f"einsum: axis {c!r} has sizes {x.shape[i]} and {x.shape[j]} in one operand")
            x = ops.diagonal(x, 0, i, j)
            names = "".join(n for k, n in enumerate(names) if k not in (i, j)) + c
    return x, names


def _contract(a: Tensor, na: str, b: Tensor, nb: str, later: str, equation: str) -> tuple[Tensor, str]:
    """One product of two operands as a batched matrix product."""
    for c in na:
        if c in nb:
            da, db = a.shape[na.index(c)], b.shape[nb.index(c)]
            if da != db and 1 not in (da, db):
                raise ValueError(f"einsum: axis {c!r} has sizes {da} and {db} in {equation!r}")
    a, na = _sum_out(a, na, nb + later)
    b, nb = _sum_out(b, nb, na + later)
    shared = [c for c in na if c in nb]
    sizes = {c: max(a.shape[na.index(c)], b.shape[nb.index(c)]) for c in shared}
    a = ops.expand(a, [sizes.get(c, d) for c, d in zip(na, a.shape, strict=True)])
    b = ops.expand(b, [sizes.get(c, d) for c, d in zip(nb, b.shape, strict=True)])
    batch = [c for c in shared if c in later]
    inner = [c for c in shared if c not in later]
    rows = [c for c in na if c not in shared]
    columns = [c for c in nb if c not in shared]

    def fold(x: Tensor, names: str, *groups: list[str]) -> Tensor:
        order = [names.index(c) for group in groups for c in group]
        shape = [_product(x, [names.index(c) for c in group]) for group in groups]
        return ops.reshape(ops.permute(x, order), shape)

    out = ops.matmul(fold(a, na, batch, rows, inner), fold(b, nb, batch, inner, columns))
    size_a, size_b = dict(zip(na, a.shape, strict=True)), dict(zip(nb, b.shape, strict=True))
    names = batch + rows + columns
    return ops.reshape(out, [size_a.get(c, size_b.get(c, 1)) for c in names]), "".join(names)


def _sum_out(x: Tensor, names: str, needed: str) -> tuple[Tensor, str]:
    gone = [i for i, c in enumerate(names) if c not in needed]
    if not gone:
        return x, names
    return ops.sum(x, tuple(gone)), "".join(c for c in names if c in needed)
