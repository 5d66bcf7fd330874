"""Reductions with more than one form, and order statistics."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import _core, ops
from .._core import Tensor


class ValuesIndices(NamedTuple):
    """Values, and where they were."""

    values: Tensor
    indices: Tensor


def _named(pair: tuple[Tensor, Tensor]) -> ValuesIndices:
    return ValuesIndices(*pair)


def _extreme(input: Tensor, dim: Any, keepdim: bool, all_: Any, along: Any, pairwise: Any) -> Any:
    if dim is None:
        return all_(input)
    if isinstance(dim, Tensor):
        return pairwise(input, dim)
    return _named(along(input, dim, keepdim))


def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Tensor | None = None) -> Any:
    """The largest element; along ``dim`` also where it is; of two tensors the larger of each pair.

    Example:
        >>> lt.max(lt.tensor([[1, 5], [7, 3]]), 1).indices
        tensor([1, 0])
    """
    return _extreme(input, dim if other is None else other, keepdim, ops.amax, ops.max_dim, ops.maximum)


def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Tensor | None = None) -> Any:
    """The smallest element; along ``dim`` also where it is; of two tensors the smaller of each pair.

    Example:
        >>> lt.min(lt.tensor([[1, 5], [7, 3]]))
        tensor(1)
    """
    return _extreme(input, dim if other is None else other, keepdim, ops.amin, ops.min_dim, ops.minimum)


class MinMax(NamedTuple):
    """The smallest and the largest."""

    min: Tensor
    max: Tensor


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> MinMax:
    """The smallest and the largest element.

    Example:
        >>> lt.aminmax(lt.arange(3)).max
        tensor(2)
    """
    axes = () if dim is None else (dim,)
    return MinMax(ops.amin(input, axes, keepdim), ops.amax(input, axes, keepdim))


def var(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The variance, divided by ``n - correction`` (1 by default).

    Example:
        >>> lt.var(lt.tensor([1.0, 3.0]))
        tensor(2.)
    """
    return ops.var(input, *_variance_arguments(dim, unbiased, keepdim, correction))


def _variance_arguments(
    dim: Any, unbiased: bool | None, keepdim: bool, correction: float | None
) -> tuple[Any, bool, float]:
    if isinstance(dim, bool):  # var(x, False) is PyTorch's old var(x, unbiased)
        dim, unbiased = None, dim
    if correction is None:
        correction = 1.0 if unbiased is None or unbiased else 0.0
    return () if dim is None else dim, keepdim, float(correction)


def std(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The standard deviation, the root of ``var``.

    Example:
        >>> lt.std(lt.tensor([1.0, 3.0]), correction=0)
        tensor(1.)
    """
    return ops.std(input, *_variance_arguments(dim, unbiased, keepdim, correction))


def var_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The variance and the mean.

    Example:
        >>> lt.var_mean(lt.tensor([1.0, 3.0]))
        (tensor(2.), tensor(2.))
    """
    mean = ops.mean(input, () if dim is None or isinstance(dim, bool) else dim, keepdim)
    return var(input, dim, unbiased, keepdim, correction=correction), mean


def std_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The standard deviation and the mean.

    Example:
        >>> lt.std_mean(lt.tensor([1.0, 3.0]), correction=0)
        (tensor(1.), tensor(2.))
    """
    mean = ops.mean(input, () if dim is None or isinstance(dim, bool) else dim, keepdim)
    return std(input, dim, unbiased, keepdim, correction=correction), mean


def norm(input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False) -> Tensor:
    """The p-norm of a tensor seen as a vector (``"fro"``: p = 2).

    Example:
        >>> lt.norm(lt.tensor([3.0, 4.0]))
        tensor(5.)
    """
    if isinstance(p, str):
        if p != "fro":
            raise ValueError(f"norm: p must be a number or 'fro', got {p!r}")
        p = 2.0
    return ops.norm_p(input, float(p), () if dim is None else dim, keepdim)


def softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """``exp(x) / sum(exp(x))`` along ``dim``.

    Example:
        >>> lt.softmax(lt.zeros(2), 0)
        tensor([0.5000, 0.5000])
    """
    return ops.softmax(_as(input, dtype), dim)


def log_softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """The logarithm of softmax along ``dim``.

    Example:
        >>> lt.log_softmax(lt.zeros(1, 1), 1)
        tensor([[0.]])
    """
    return ops.log_softmax(_as(input, dtype), dim)


def _as(input: Tensor, dtype: Any) -> Tensor:
    return input if dtype is None or dtype == input.dtype else ops.cast(input, dtype)


def cummax(input: Tensor, dim: int) -> ValuesIndices:
    """The running maximum along ``dim``.

    Example:
        >>> lt.cummax(lt.tensor([1, 3, 2]), 0).values
        tensor([1, 3, 3])
    """
    return _named(ops.cummax(input, dim))


def cummin(input: Tensor, dim: int) -> ValuesIndices:
    """The running minimum along ``dim``.

    Example:
        >>> lt.cummin(lt.tensor([2, 3, 1]), 0).values
        tensor([2, 2, 1])
    """
    return _named(ops.cummin(input, dim))


def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> ValuesIndices:
    """The elements in order along ``dim``, and where they were; NaN counts as the largest.

    Example:
        >>> lt.sort(lt.tensor([3, 1, 2])).values
        tensor([1, 2, 3])
    """
    return _named(ops.sort(input, dim, descending, stable))


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that sort ``input``.

    Example:
        >>> lt.argsort(lt.tensor([3, 1, 2]))
        tensor([1, 2, 0])
    """
    return _core.sort(input, dim, descending, stable)[1]


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesIndices:
    """The ``k`` largest (or smallest) elements along ``dim``.

    Example:
        >>> lt.topk(lt.tensor([1, 9, 5]), 2).values
        tensor([9, 5])
    """
    return _named(ops.topk(input, k, dim, largest, sorted))


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> ValuesIndices:
    """The ``k``-th smallest element along ``dim``, counted from 1.

    Example:
        >>> lt.kthvalue(lt.tensor([5, 1, 9]), 2).values
        tensor(5)
    """
    return _kept(ops.kthvalue(input, k, dim), input, dim, keepdim)


def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower median of all elements, or along ``dim`` with its index.

    Example:
        >>> lt.median(lt.tensor([4, 1, 3, 2]))
        tensor(2)
    """
    if dim is None:
        if input.numel() == 0 and input.dtype.is_floating_point:
            return ops.mean(input)
        return ops.median(input)
    return _kept(ops.median_dim(input, dim), input, dim, keepdim)


def _kept(pair: tuple[Tensor, Tensor], input: Tensor, dim: int, keepdim: bool) -> ValuesIndices:
    values, indices = pair
    if keepdim and values.ndim < input.ndim:
        axis = dim % input.ndim
        return ValuesIndices(ops.unsqueeze(values, axis), _core.unsqueeze(indices, axis))
    return ValuesIndices(values, indices)


def unique(
    input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False
) -> Any:
    """The distinct elements in order; optionally where each element went, and how many there were.

    Example:
        >>> lt.unique(lt.tensor([3, 1, 3]), return_counts=True)
        (tensor([1, 3]), tensor([1, 2]))
    """
    values, inverse, counts = _core.unique(input.detach())
    inverse = _core.reshape(inverse, list(input.shape))
    extra = ([inverse] if return_inverse else []) + ([counts] if return_counts else [])
    return (values, *extra) if extra else values


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number from 0 on occurs, or the sum of its weights.

    Example:
        >>> lt.bincount(lt.tensor([0, 2, 2]))
        tensor([1, 0, 2])
    """
    counts = _core.bincount(input, minlength)
    if weights is None:
        return counts
    if weights.shape != input.shape:
        raise _core.ShapeError(
            f"bincount: weights of shape {list(weights.shape)} for numbers of shape {list(input.shape)}; "
            "they must be equal"
        )
    return _core.scatter_add(_core.zeros(list(counts.shape), weights.dtype), 0, input, weights)


def searchsorted(sorted_sequence: Tensor, values: Any, *, right: bool = False) -> Tensor:
    """Where ``values`` would go into a sorted vector.

    Example:
        >>> lt.searchsorted(lt.tensor([1, 3, 5]), lt.tensor([3, 4]))
        tensor([1, 2])
    """
    if not isinstance(values, Tensor):
        if isinstance(values, float):  # among ints it must not be cut to one
            sorted_sequence = _core.cast(sorted_sequence, _core.float64)
        values = _core.full([], values, sorted_sequence.dtype)
    return _core.searchsorted(sorted_sequence, values, right)


def any(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether any element is true (not zero).

    Example:
        >>> lt.any(lt.tensor([0, 1]))
        tensor(True)
    """
    return ops.any_of(input, dim, keepdim)


def all(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether all elements are true (not zero).

    Example:
        >>> lt.all(lt.tensor([0, 1]))
        tensor(False)
    """
    return ops.all_of(input, dim, keepdim)


def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Running sums along ``dim``.

    Example:
        >>> lt.cumsum(lt.tensor([1, 2, 3]), 0)
        tensor([1, 3, 6])
    """
    return ops.cumsum(input, dim, dtype)


def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Running products along ``dim``.

    Example:
        >>> lt.cumprod(lt.tensor([1, 2, 3]), 0)
        tensor([1, 2, 6])
    """
    return ops.cumprod(input, dim, dtype)
