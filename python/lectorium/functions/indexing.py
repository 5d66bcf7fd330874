"""Reading and writing parts of tensors."""

from __future__ import annotations

from typing import Any

from .. import _core, ops
from .._checks import tensor_of
from .._core import Tensor, needs_grad
from ..autograd.inplace import apply_inplace
from .shape import broadcast_shapes, normalized


def getitem(input: Tensor, index: Any) -> Tensor:
    """``input[index]``: a view for ints, slices, None and ...; a copy for tensors and lists."""
    basic, advanced = _core.parse_index(input, index)
    part = ops.basic_index(input, basic)
    return part if advanced is None else ops.index_get(part, advanced)


def setitem(input: Tensor, index: Any, value: Any) -> None:
    """``input[index] = value``, broadcast and cast."""
    if not isinstance(value, Tensor):
        if isinstance(value, (bool, int, float)):
            value = _core.full([], value, input.dtype)
        else:
            from ..creation import tensor

            value = tensor(value)
    basic, advanced = _core.parse_index(input, index)
    part = ops.basic_index(input, basic)
    if advanced is not None:
        index_put_(part, advanced, value)
        return
    # As PyTorch: leading axes of size 1 in the value are dropped.
    while value.ndim > part.ndim and value.shape[0] == 1:
        value = ops.squeeze(value, (0,))
    copy_(part, value)


def copy_(input: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    """Writes ``src`` (broadcast, cast) into ``input``.

    Example:
        >>> x = lt.zeros(2, 2, dtype=lt.int64)
        >>> x.copy_(lt.tensor([1.9, 2.9]))
        tensor([[1, 2],
                [1, 2]])
    """
    if not isinstance(src, Tensor):
        raise TypeError(f"copy_: expected a Tensor, got {type(src).__name__}")
    if not needs_grad((input, src)):
        _core.copy_into(input, src if src.is_cpu else _core.to_cpu(src))
        return input
    return apply_inplace(ops.overwrite, input, (src,), {})


def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """A copy of ``input`` with ``values`` written (or added) where the index tensors point.

    Example:
        >>> lt.index_put(lt.zeros(3), (lt.tensor([0, 2]),), lt.tensor(1.0))
        tensor([1., 0., 1.])
    """
    return ops.index_put(input, values, list(indices), accumulate)


def index_put_(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """``index_put`` in place.

    Example:
        >>> x = lt.zeros(3)
        >>> x.index_put_((lt.tensor([0, 0, 2]),), lt.tensor([1.0, 2.0, 5.0]), accumulate=True)
        tensor([3., 0., 5.])
    """
    indices = list(indices)
    if not needs_grad((input, values)):
        _core.index_put_into(input, indices, values, accumulate)
        return input
    values = ops.cast(values, input.dtype) if values.dtype != input.dtype else values
    return apply_inplace(ops.index_put, input, (values, indices, accumulate), {})


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """``out[i][j] = input[index[i][j]][j]`` for ``dim=0``, and so on.

    Example:
        >>> lt.gather(lt.tensor([[1, 2], [3, 4]]), 1, lt.tensor([[1], [0]]))
        tensor([[2],
                [3]])
    """
    return ops.gather(input, dim, index)


def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None
) -> Tensor:
    """A copy of ``input`` with ``src`` (a tensor or a number) written at ``index`` along ``dim``.

    Example:
        >>> lt.zeros(1, 3).scatter(1, lt.tensor([[2]]), 5.0)
        tensor([[0., 0., 5.]])
    """
    src = value if src is None else src
    if src is None:
        raise TypeError("scatter: expected src or value")
    if reduce is not None:
        if reduce != "add":
            raise ValueError(f"scatter: reduce must be None or 'add', got {reduce!r}")
        if not isinstance(src, Tensor):
            src = _core.full(list(index.shape), src, input.dtype)
        return ops.scatter_add(input, dim, index, src)
    if isinstance(src, Tensor):
        return ops.scatter(input, dim, index, src)
    return ops.scatter_value(input, dim, index, src)


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """A copy of ``input`` with ``alpha`` times the slices of ``source`` added at ``index``.

    Example:
        >>> lt.index_add(lt.zeros(3), 0, lt.tensor([1, 1]), lt.ones(2))
        tensor([0., 2., 0.])
    """
    return ops.index_add(input, dim, index, source if alpha == 1 else ops.mul(source, alpha))


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy of ``input`` with the slices at ``index`` replaced by those of ``source``.

    Example:
        >>> lt.index_copy(lt.zeros(3), 0, lt.tensor([2]), lt.ones(1))
        tensor([0., 0., 1.])
    """
    axis = normalized("index_copy", dim, tensor_of("index_copy", input).ndim)
    if index.ndim > 1 or source.ndim != input.ndim or (source.ndim and source.shape[axis] != index.numel()):
        raise _core.ShapeError(
            f"index_copy: an index of shape {list(index.shape)} and a source of {list(source.shape)} "
            "do not fit "
            f"axis {dim} of {list(input.shape)}"
        )
    out = ops.index_put(ops.transpose(input, 0, axis), ops.transpose(source, 0, axis), [index])
    return ops.transpose(out, 0, axis)


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy of ``input`` with the slices at ``index`` set to a number.

    Example:
        >>> lt.index_fill(lt.zeros(3), 0, lt.tensor([0]), 7)
        tensor([7., 0., 0.])
    """
    axis = normalized("index_fill", dim, tensor_of("index_fill", input).ndim)
    out = ops.index_put(ops.transpose(input, 0, axis), _core.full([], value, input.dtype), [index])
    return ops.transpose(out, 0, axis)


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """A copy of ``input`` with one number (or tensor without axes) where ``mask`` holds.

    Example:
        >>> lt.zeros(2).masked_fill(lt.tensor([True, False]), 9)
        tensor([9., 0.])
    """
    if isinstance(value, Tensor):
        if value.ndim:
            raise _core.ShapeError(
                f"masked_fill: value must be a number or a tensor without axes, got shape {list(value.shape)}"
            )
        if needs_grad((value,)):
            return ops.where(mask, ops.cast(value, input.dtype), input)
        value = value.item()
    return ops.masked_fill(input, mask, value)


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where ``mask`` holds, as a vector.

    Example:
        >>> lt.arange(4).masked_select(lt.tensor([True, False, True, False]))
        tensor([0, 2])
    """
    shape = list(_core.expand(mask, list(input.shape)).shape) if mask.ndim <= input.ndim else list(mask.shape)
    return ops.index_get(ops.expand(input, shape), [_core.contiguous(_core.expand(mask, shape))])


def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements of the flat tensor at ``index``.

    Example:
        >>> lt.take(lt.tensor([[1, 2], [3, 4]]), lt.tensor([0, 3]))
        tensor([1, 4])
    """
    return ops.index_get(ops.reshape(input, [input.numel()]), [index])


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """As ``gather``, with the other axes broadcast; without ``dim`` on flat tensors.

    Example:
        >>> x = lt.tensor([[3, 1, 2]])
        >>> lt.take_along_dim(x, x.argsort(1), 1)
        tensor([[1, 2, 3]])
    """
    if dim is None:
        return ops.gather(ops.reshape(input, [input.numel()]), 0, ops.reshape(indices, [indices.numel()]))
    axis = normalized("take_along_dim", dim, tensor_of("take_along_dim", input).ndim)
    if indices.ndim != input.ndim:
        raise _core.ShapeError(
            f"take_along_dim: expected indices of {input.ndim} axes, got shape {list(indices.shape)}"
        )
    mine, theirs = list(input.shape), list(indices.shape)
    common = list(
        broadcast_shapes([*mine[:axis], 1, *mine[axis + 1 :]], [*theirs[:axis], 1, *theirs[axis + 1 :]])
    )
    input = ops.expand(input, [*common[:axis], mine[axis], *common[axis + 1 :]])
    return ops.gather(input, axis, ops.expand(indices, [*common[:axis], theirs[axis], *common[axis + 1 :]]))


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The indices of the elements that are not zero: rows, or a tensor for each axis.

    Example:
        >>> lt.nonzero(lt.tensor([0, 5, 0, 6]))
        tensor([[1],
                [3]])
    """
    from .pointwise import nonzero_tuple

    return nonzero_tuple(input) if as_tuple else _core.nonzero(input)
