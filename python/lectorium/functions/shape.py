"""Shapes: views, orders and repeats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

from .. import _core, ops
from .._checks import tensor_of
from .._core import Tensor


def _ints(name: str, args: tuple[Any, ...], named: Any = None) -> list[int]:
    """``f(2, 3)``, ``f((2, 3))`` and ``f(dims=(2, 3))``."""
    if named is not None:
        if args:
            raise TypeError(f"{name}: expected ints by position or by name, got both")
        args = (named,)
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = tuple(cast("list[Any]", args[0]))
    try:
        return [a.__index__() for a in args]
    except AttributeError:
        raise TypeError(f"{name}: expected ints, got {args}") from None


def reshape(input: Tensor, *sizes: Any, shape: Any = None) -> Tensor:
    """The same elements in another shape (one size may be -1); a view where strides allow it.

    Example:
        >>> lt.arange(6).reshape(2, -1).shape
        (2, 3)
    """
    return ops.reshape(input, _ints("reshape", sizes, shape))


def view(input: Tensor, *shape: Any) -> Tensor:
    """As reshape, but an error where strides would need a copy; ``view(dtype)`` is not offered.

    Example:
        >>> lt.zeros(2, 3).view(6).shape
        (6,)
    """
    return ops.view(input, _ints("view", shape))


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The axes ``start_dim`` to ``end_dim`` as one.

    Example:
        >>> lt.flatten(lt.zeros(2, 3, 4), 1).shape
        (2, 12)
    """
    n = tensor_of("flatten", input).ndim
    if n == 0:
        return ops.reshape(input, [1])
    for d in (start_dim, end_dim):
        if not -n <= d < n:
            raise IndexError(f"flatten: axis {d} is out of range, expected {-n} to {n - 1}")
    first, last = start_dim % n, end_dim % n
    if first > last:
        raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    shape = input.shape
    return ops.reshape(input, [*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]])


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One axis as several.

    Example:
        >>> lt.zeros(2, 6).unflatten(1, (2, 3)).shape
        (2, 2, 3)
    """
    axis = normalized("unflatten", dim, tensor_of("unflatten", input).ndim)
    if input.ndim == 0:
        raise _core.ShapeError("unflatten: a tensor without axes has none to take apart; use .reshape")
    whole = input.shape[axis]
    sizes = list(sizes)
    if -1 in sizes:
        known = math.prod(s for s in sizes if s != -1)
        sizes[sizes.index(-1)] = whole // known if known else 0
    if math.prod(sizes) != whole:
        raise _core.ShapeError(
            f"unflatten: sizes {sizes} do not multiply to {whole}, the size of axis {axis}"
        )
    return ops.reshape(input, [*input.shape[:axis], *sizes, *input.shape[axis + 1 :]])


def normalized(name: str, dim: int, ndim: int) -> int:
    """An axis counted from the front, checked."""
    n = max(ndim, 1)
    if not hasattr(dim, "__index__"):
        raise TypeError(f"{name}: dim must be an int, got {dim!r}")
    if not -n <= dim < n:
        raise IndexError(f"{name}: axis {dim} is out of range, expected {-n} to {n - 1} for {ndim} axes")
    return dim % n


def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Without the axes of size 1, or without those named that have size 1.

    Example:
        >>> lt.zeros(1, 2, 1).squeeze().shape
        (2,)
    """
    return ops.squeeze(input, dim)


def t(input: Tensor) -> Tensor:
    """A matrix transposed (vectors stay as they are).

    Example:
        >>> lt.zeros(2, 3).t().shape
        (3, 2)
    """
    if tensor_of("t", input).ndim > 2:
        raise _core.ShapeError(
            f"t: expected at most 2 axes, got shape {list(input.shape)}; use .transpose or .mT"
        )
    return input if input.ndim < 2 else ops.transpose(input, 0, 1)


def permute(input: Tensor, *axes: Any, dims: Any = None) -> Tensor:
    """The axes in another order.

    Example:
        >>> lt.zeros(2, 3, 4).permute(2, 0, 1).shape
        (4, 2, 3)
    """
    return ops.permute(input, _ints("permute", axes, dims))


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Axes moved to other places, the others kept in order.

    Example:
        >>> lt.zeros(2, 3, 4).movedim(0, -1).shape
        (3, 4, 2)
    """
    n = tensor_of("movedim", input).ndim
    src = [normalized("movedim", d, n) for d in ([source] if isinstance(source, int) else source)]
    dst = [
        normalized("movedim", d, n) for d in ([destination] if isinstance(destination, int) else destination)
    ]
    if len(src) != len(dst):
        raise ValueError(f"movedim: {len(src)} sources but {len(dst)} destinations")
    if len(set(src)) != len(src) or len(set(dst)) != len(dst):
        raise ValueError(f"movedim: an axis is named twice in {source} to {destination}")
    rest = iter([i for i in range(n) if i not in src])
    order = [src[dst.index(i)] if i in dst else next(rest) for i in range(n)]
    return ops.permute(input, order)


def expand(input: Tensor, *sizes: Any) -> Tensor:
    """Broadcast to a shape without a copy; -1 keeps a size.

    Example:
        >>> lt.ones(3, 1).expand(-1, 4).shape
        (3, 4)
    """
    return ops.expand(input, _ints("expand", sizes))


def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """As ``expand``.

    Example:
        >>> lt.broadcast_to(lt.ones(3), (2, 3)).shape
        (2, 3)
    """
    return ops.expand(input, list(size))


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that shapes broadcast to.

    Example:
        >>> lt.broadcast_shapes((3, 1), (1, 4))
        (3, 4)
    """
    out: list[int] = []
    for shape in shapes:
        a, b = list(out), list(shape)
        n = max(len(a), len(b))
        a, b = [1] * (n - len(a)) + a, [1] * (n - len(b)) + b
        if any(x != y and 1 not in (x, y) for x, y in zip(a, b, strict=True)):
            raise _core.ShapeError(f"broadcast_shapes: {[list(s) for s in shapes]} do not broadcast")
        out = [y if x == 1 else x for x, y in zip(a, b, strict=True)]
    return tuple(out)


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All tensors expanded to their common shape.

    Example:
        >>> a, b = lt.broadcast_tensors(lt.ones(2, 1), lt.ones(3))
        >>> a.shape == b.shape
        True
    """
    shape = list(broadcast_shapes(*[x.shape for x in tensors]))
    return tuple(ops.expand(x, shape) for x in tensors)


def repeat(input: Tensor, *repeats: Any) -> Tensor:
    """The tensor copied along each axis.

    Example:
        >>> lt.tensor([1, 2]).repeat(2, 2)
        tensor([[1, 2, 1, 2],
                [1, 2, 1, 2]])
    """
    times = _ints("repeat", repeats)
    if len(times) < input.ndim:
        raise ValueError(f"repeat: {len(times)} repeats for {input.ndim} axes; give one for each axis")
    if any(r < 0 for r in times):
        raise ValueError(f"repeat: repeats must not be negative, got {times}")
    shape = [1] * (len(times) - input.ndim) + list(input.shape)
    pairs = [n for r, d in zip(times, shape, strict=True) for n in (r, d)]
    lifted = ops.reshape(input, [n for d in shape for n in (1, d)])
    return ops.reshape(ops.expand(lifted, pairs), [r * d for r, d in zip(times, shape, strict=True)])


def tile(input: Tensor, *repeats: Any, dims: Any = None) -> Tensor:
    """As ``repeat``, with missing repeats taken as 1.

    Example:
        >>> lt.tile(lt.tensor([1, 2]), (2,))
        tensor([1, 2, 1, 2])
    """
    times = _ints("tile", repeats, dims)
    return repeat(input, [1] * (input.ndim - len(times)) + times)


def flip(input: Tensor, *axes: Any, dims: Any = None) -> Tensor:
    """The order along some axes reversed.

    Example:
        >>> lt.arange(3).flip(0)
        tensor([2, 1, 0])
    """
    return ops.flip(input, _ints("flip", axes, dims))


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Elements moved along some axes (or along the flat tensor), around the ends.

    Example:
        >>> lt.arange(4).roll(1)
        tensor([3, 0, 1, 2])
    """
    moves = [shifts] if isinstance(shifts, int) else list(shifts)
    if dims is None:
        return ops.reshape(ops.roll(ops.reshape(input, [input.numel()]), moves, [0]), list(input.shape))
    return ops.roll(input, moves, [dims] if isinstance(dims, int) else list(dims))


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or the matrix with a vector on its diagonal.

    Example:
        >>> lt.diag(lt.tensor([1, 2]))
        tensor([[1, 0],
                [0, 2]])
    """
    if tensor_of("diag", input).ndim == 2:
        return ops.clone(ops.diagonal(input, diagonal, 0, 1))
    if input.ndim != 1:
        raise _core.ShapeError(f"diag: expected a vector or a matrix, got shape {list(input.shape)}")
    n = input.shape[0] + abs(diagonal)
    target = _core.meta(_core.expand(_core.empty([], input.dtype), [n, n]))
    return ops.diagonal_grad(input, target, diagonal, 0, 1)


def repeat_interleave(input: Tensor, repeats: int, dim: int | None = None) -> Tensor:
    """Each element ``repeats`` times in a row, along ``dim`` or of the flat tensor.

    Example:
        >>> lt.tensor([1, 2]).repeat_interleave(2)
        tensor([1, 1, 2, 2])
    """
    if not isinstance(repeats, int):
        raise TypeError(f"repeat_interleave: repeats must be an int, got {type(repeats).__name__}")
    if dim is None:
        input, dim = ops.reshape(input, [input.numel()]), 0
    return ops.repeat_interleave(input, repeats, dim)
