"""Joins and splits of tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from .. import _core, ops
from .._checks import tensor_of
from .._core import Tensor
from .shape import normalized


def _tensors(op: str, given: Any) -> list[Tensor]:
    """What is to be joined: one tensor or more."""
    if not isinstance(given, Iterable):
        raise TypeError(f"{op}: expected a list of tensors, got {type(given).__name__}")
    tensors = list(cast("Iterable[Any]", given))
    if not tensors:
        raise ValueError(f"{op}: expected at least one tensor, got an empty list")
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            tensor_of(op, x, f"tensor {i}")
    return tensors


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors joined along an axis that exists; other sizes must agree.

    Example:
        >>> lt.cat([lt.ones(2), lt.zeros(1)])
        tensor([1., 1., 0.])
    """
    return ops.cat(_tensors("cat", tensors), dim)


concat = concatenate = cat


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape joined along a new axis.

    Example:
        >>> lt.stack([lt.ones(2), lt.zeros(2)]).shape
        (2, 2)
    """
    tensors = _tensors("stack", tensors)
    shape = tensors[0].shape
    for i, x in enumerate(tensors):
        if x.shape != shape:
            raise _core.ShapeError(
                f"stack: tensor {i} has shape {list(x.shape)}, tensor 0 has {list(shape)}; they must be equal"
            )
    axis = normalized("stack", dim, len(shape) + 1)
    if axis == 0 and shape:
        # One view instead of one for each tensor.
        return ops.reshape(ops.cat(tensors, 0), (len(tensors), *shape))
    return ops.cat([ops.unsqueeze(x, axis) for x in tensors], axis)


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along axis 1 (vectors along axis 0).

    Example:
        >>> lt.hstack([lt.ones(2, 1), lt.ones(2, 2)]).shape
        (2, 3)
    """
    tensors = [x if x.ndim else ops.reshape(x, [1]) for x in _tensors("hstack", tensors)]
    return ops.cat(tensors, 0 if tensors[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along axis 0; vectors count as rows.

    Example:
        >>> lt.vstack([lt.ones(2), lt.ones(2)]).shape
        (2, 2)
    """
    return ops.cat([x if x.ndim > 1 else ops.reshape(x, [1, -1]) for x in _tensors("vstack", tensors)], 0)


def _cut_axis(op: str, input: Tensor, dim: int) -> int:
    axis = normalized(op, dim, tensor_of(op, input).ndim)
    if input.ndim == 0:
        raise _core.ShapeError(f"{op}: a tensor without axes cannot be cut; use .reshape(1) first")
    return axis


def split(input: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of parts of an axis: equal ones of a size, or of the given sizes.

    Example:
        >>> [p.tolist() for p in lt.arange(5).split(2)]
        [[0, 1], [2, 3], [4]]
    """
    axis = _cut_axis("split", input, dim)
    whole = input.shape[axis]
    if isinstance(split_size_or_sections, int):
        size = split_size_or_sections
        if size < 0 or (size == 0 and whole):
            raise ValueError(f"split: the size of a part must be positive, got {size}")
        sections = [min(size, whole - i) for i in range(0, whole, size)] if whole else [0]
    else:
        sections = list(split_size_or_sections)
        if sum(sections) != whole or any(s < 0 for s in sections):
            raise ValueError(f"split: sections {sections} do not add up to {whole}, the size of axis {axis}")
    parts: list[Tensor] = []
    start = 0
    for s in sections:
        parts.append(ops.narrow(input, axis, start, s))
        start += s
    return tuple(parts)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` views of equal parts of an axis (the last may be smaller).

    Example:
        >>> [c.tolist() for c in lt.arange(5).chunk(2)]
        [[0, 1, 2], [3, 4]]
    """
    if chunks < 1:
        raise ValueError(f"chunk: chunks must be 1 or more, got {chunks}")
    axis = _cut_axis("chunk", input, dim)
    if input.shape[axis] == 0:
        return split(input, [0] * chunks, axis)
    return split(input, max(1, -(-input.shape[axis] // chunks)), axis)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of the slices of an axis.

    Example:
        >>> lt.tensor([[1, 2], [3, 4]]).unbind()[1]
        tensor([3, 4])
    """
    axis = normalized("unbind", dim, tensor_of("unbind", input).ndim)
    if input.ndim == 0:
        raise _core.ShapeError("unbind: a tensor without axes has no slices")
    # Their gradients are joined in one pass; each slice on its own would fill a gradient of the whole.
    return tuple([ops.squeeze(s, axis) for s in ops.split(input, [1] * input.shape[axis], axis)])


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """One slice of an axis, as a view.

    Example:
        >>> lt.tensor([[1, 2], [3, 4]]).select(1, 0)
        tensor([1, 3])
    """
    axis = normalized("select", dim, tensor_of("select", input).ndim)
    basic, _ = _core.parse_index(input, (*[slice(None)] * axis, index))
    return ops.basic_index(input, basic)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Coordinates of a grid: one tensor of the grid's shape for each vector.

    Example:
        >>> y, x = lt.meshgrid(lt.arange(2), lt.arange(3))
        >>> x
        tensor([[0, 1, 2],
                [0, 1, 2]])
    """
    vectors = list(tensors[0]) if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else list(tensors)
    if indexing not in ("ij", "xy"):
        raise ValueError(f"meshgrid: indexing must be 'ij' or 'xy', got {indexing!r}")
    swap = indexing == "xy" and len(vectors) > 1
    if swap:
        vectors[0], vectors[1] = vectors[1], vectors[0]
    n = len(vectors)
    shape = [v.numel() for v in vectors]
    grids = [
        ops.expand(ops.reshape(v, [1] * i + [v.numel()] + [1] * (n - i - 1)), shape)
        for i, v in enumerate(vectors)
    ]
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)
