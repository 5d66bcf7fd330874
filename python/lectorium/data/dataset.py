"""Data sets: anything with a length and items, or anything that can be iterated."""

from __future__ import annotations

import itertools
import math
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from .. import _core
from .._checks import is_a
from .._core import Tensor
from ..random import Generator

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """The base of data sets with a length: a subclass defines ``__getitem__`` and ``__len__``.

    It may define ``__getitems__(indices)`` too, which returns the list of samples for a batch. Anything with
    these methods serves a ``DataLoader``; deriving from this class is not needed.

    Example:
        >>> class Squares(lt.utils.data.Dataset):
        ...     def __len__(self):
        ...         return 5
        ...     def __getitem__(self, i):
        ...         return i, i * i
        >>> for x, y in lt.utils.data.DataLoader(Squares(), batch_size=3):
        ...     print(x.tolist(), y.tolist())
        [0, 1, 2] [0, 1, 4]
        [3, 4] [9, 16]
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(f"{type(self).__name__}: a data set must define __getitem__")

    def __add__(self, other: Any) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """The base of data sets that can only be gone through: a subclass defines ``__iter__``.

    Example:
        >>> class Numbers(lt.utils.data.IterableDataset):
        ...     def __iter__(self):
        ...         return iter(range(5))
        >>> [batch.tolist() for batch in lt.utils.data.DataLoader(Numbers(), batch_size=2)]
        [[0, 1], [2, 3], [4]]
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__}: an iterable data set must define __iter__")

    def __add__(self, other: Any) -> Any:
        return ChainDataset([self, other])


def index_tensor(indices: Sequence[int], length: int, name: str) -> Tensor:
    """Indices as an int64 tensor, negative ones counted from the end. Errors: IndexError."""
    if len(indices) and (min(indices) < 0 or max(indices) >= length):
        for i in indices:
            if not -length <= i < length:
                raise IndexError(f"{name}: index {i} is out of range for a length of {length}")
        indices = [i + length if i < 0 else i for i in indices]
    return _core.from_numbers(tuple(indices), [len(indices)], _core.int64)


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Tensors of equal length side by side; item ``i`` is the tuple of their ``i``-th rows.

    A ``DataLoader`` gathers whole batches at once.

    Example:
        >>> data = lt.utils.data.TensorDataset(lt.arange(6).reshape(3, 2), lt.tensor([0, 1, 0]))
        >>> data[1]
        (tensor([2, 3]), tensor(1))
    """

    tensors: tuple[Tensor, ...]

    def __init__(self, *tensors: Tensor) -> None:
        if not tensors:
            raise ValueError("TensorDataset: expected at least one tensor")
        for i, t in enumerate(tensors):
            if not isinstance(t, Tensor):
                hint = "; convert it with lectorium.from_numpy(array)" if hasattr(t, "__array__") else ""
                raise TypeError(
                    f"TensorDataset: expected tensors, argument {i} is a {type(t).__name__}{hint}"
                )
            if t.ndim == 0:
                raise ValueError(f"TensorDataset: tensor {i} is a scalar, which has no rows")
            if t.shape[0] != tensors[0].shape[0]:
                raise ValueError(
                    f"TensorDataset: size mismatch between tensors: tensor 0 has {tensors[0].shape[0]} rows, "
                    f"tensor {i} has {t.shape[0]}"
                )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return self.tensors[0].shape[0]

    def _fetch_batch(self, indices: Sequence[int]) -> Any:
        if type(self).__getitem__ is not TensorDataset.__getitem__:
            return NotImplemented
        from .. import ops

        at = index_tensor(indices, len(self), "TensorDataset")
        return [ops.index_select(t, 0, at) for t in self.tensors]


class StackDataset(Dataset[Any]):
    """Data sets of equal length side by side; an item is the tuple (or dict) of their items.

    Example:
        >>> data = lt.utils.data.StackDataset(x=[1, 2, 3], y="abc")
        >>> data[1]
        {'x': 2, 'y': 'b'}
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            raise ValueError("StackDataset: give data sets either by position (tuples) or by name (dicts)")
        self.datasets: Any = args or kwargs
        lengths = {len(d) for d in args or kwargs.values()}
        if len(lengths) != 1:
            raise ValueError(f"StackDataset: size mismatch between data sets: lengths {sorted(lengths)}")
        (self._length,) = lengths

    def __getitem__(self, index: Any) -> Any:
        if is_a(self.datasets, dict):
            return {key: d[index] for key, d in self.datasets.items()}
        return tuple(d[index] for d in self.datasets)

    def __len__(self) -> int:
        return self._length


class ConcatDataset(Dataset[Any]):
    """Data sets one after the other.

    Example:
        >>> data = lt.utils.data.ConcatDataset([[1, 2], [3]])
        >>> len(data), data[2], data[-3]
        (3, 3, 1)
    """

    datasets: list[Any]
    cumulative_sizes: list[int]

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: datasets should not be an empty iterable")
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            raise ValueError("ConcatDataset: does not support IterableDataset; use ChainDataset")
        self.cumulative_sizes = list(itertools.accumulate(len(d) for d in self.datasets))

    def __getitem__(self, index: int) -> Any:
        length = len(self)
        if not -length <= index < length:
            raise IndexError(f"ConcatDataset: index {index} is out of range for a length of {length}")
        index %= length
        which = bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class ChainDataset(IterableDataset[Any]):
    """Iterable data sets one after the other.

    Example:
        >>> class Letters(lt.utils.data.IterableDataset):
        ...     def __iter__(self):
        ...         return iter("ab")
        >>> list(lt.utils.data.ChainDataset([Letters(), Letters()]))
        ['a', 'b', 'a', 'b']
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        for i, d in enumerate(self.datasets):
            if not isinstance(d, IterableDataset):
                raise TypeError(
                    f"ChainDataset: only supports IterableDataset, number {i} is a {type(d).__name__}"
                )

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self.datasets)

    def __len__(self) -> int:
        return sum(len(d) for d in self.datasets)


class Subset(Dataset[Any]):
    """Some of the items of a data set, by their indices.

    Example:
        >>> data = lt.utils.data.Subset("abcdef", [4, 0])
        >>> data[0], len(data)
        ('e', 2)
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> Any:
        if is_a(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list[int]) -> list[Any]:
        """The samples of a batch."""
        wanted = [self.indices[i] for i in indices]
        if type(self).__getitem__ is not Subset.__getitem__:
            return [self[i] for i in indices]
        many: Any = getattr(self.dataset, "__getitems__", None)
        return many(wanted) if many is not None else [self.dataset[i] for i in wanted]

    def _fetch_batch(self, indices: Sequence[int]) -> Any:
        inner = getattr(self.dataset, "_fetch_batch", None)
        plain = (
            type(self).__getitem__ is Subset.__getitem__ and type(self).__getitems__ is Subset.__getitems__
        )
        return inner([self.indices[i] for i in indices]) if inner is not None and plain else NotImplemented

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Any, lengths: Sequence[int | float], generator: Generator | None = None
) -> list[Subset]:
    """Splits a data set into random parts: of the ``lengths`` given, or of fractions that sum to 1.

    Example:
        >>> train, test = lt.utils.data.random_split(range(10), [0.8, 0.2])
        >>> len(train), len(test), sorted([*train, *test]) == list(range(10))
        (8, 2, True)
    """
    total = len(dataset)
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        for i, part in enumerate(lengths):
            if not 0 <= part <= 1:
                raise ValueError(f"random_split: fraction at index {i} is not between 0 and 1: {part}")
        sizes = [math.floor(total * part) for part in lengths]
        for i in range(total - sum(sizes)):
            sizes[i % len(sizes)] += 1
        for i, size in enumerate(sizes):
            if size == 0:
                warnings.warn(f"random_split: the part at index {i} has length 0", UserWarning, stacklevel=2)
    else:
        for i, part in enumerate(lengths):
            if not isinstance(part, int) or part < 0:
                raise ValueError(f"random_split: length at index {i} must be a count, got {part}")
        sizes = [int(part) for part in lengths]
    if sum(sizes) != total:
        raise ValueError(
            f"random_split: sum of input lengths does not equal the length of the input dataset: "
            f"{sum(sizes)}, {total}"
        )
    from ..functions.random import randperm

    order: list[int] = randperm(total, generator=generator).tolist()
    ends = list(itertools.accumulate(sizes))
    return [Subset(dataset, order[end - size : end]) for end, size in zip(ends, sizes, strict=True)]


__all__ = [
    "ChainDataset",
    "ConcatDataset",
    "Dataset",
    "IterableDataset",
    "StackDataset",
    "Subset",
    "TensorDataset",
    "random_split",
]
