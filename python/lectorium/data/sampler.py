"""In which order a data set is gone through."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from .. import _core
from .._core import Tensor
from ..random import Generator, default_generator

T_co = TypeVar("T_co", covariant=True)


class Sampler(Generic[T_co]):
    """The base of samplers: a subclass defines ``__iter__`` over indices, and ``__len__`` if it knows it.

    Example:
        >>> class Backwards(lt.utils.data.Sampler):
        ...     def __iter__(self):
        ...         return iter([2, 1, 0])
        >>> list(lt.utils.data.DataLoader("abc", sampler=Backwards()))
        [['c'], ['b'], ['a']]
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__}: a sampler must define __iter__")


class SequentialSampler(Sampler[int]):
    """0, 1, 2 … in order.

    Example:
        >>> list(lt.utils.data.SequentialSampler("abc"))
        [0, 1, 2]
    """

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class _Seeded(Sampler[int]):
    """A sampler that draws one seed an epoch; the seed alone says in which order the epoch goes.

    ``state_dict`` tells the seed of the epoch begun last; after ``load_state_dict`` the next iteration goes
    through that epoch again and draws nothing from the generator.
    """

    generator: Generator | None

    def __init__(self, generator: Generator | None) -> None:
        self.generator = generator
        self._seed: int | None = None
        self._again = False

    def __iter__(self) -> Iterator[int]:
        # Here, not at the first index: when the seed is drawn does not depend on who takes indices when.
        seed = self._seed if self._again else None
        if seed is None:
            bits = _core.randint(self.generator or default_generator, [2], 0, 1 << 32, _core.int64).tolist()
            seed = bits[0] | (bits[1] & 0x7FFFFFFF) << 32
        self._seed, self._again = seed, False
        return self._order(Generator().manual_seed(seed))

    def _order(self, generator: Generator) -> Iterator[int]:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """The seed of the epoch begun last; None before the first.

        Example:
            >>> sampler = lt.data.RandomSampler(range(4))
            >>> sampler.state_dict()
            {'seed': None}
        """
        return {"seed": self._seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The next iteration goes through the epoch of that state.

        Errors: ValueError for what is no such state.

        Example:
            >>> sampler = lt.data.RandomSampler(range(9))
            >>> order = list(sampler)
            >>> again = lt.data.RandomSampler(range(9))
            >>> again.load_state_dict(sampler.state_dict())
            >>> list(again) == order
            True
        """
        seed = state_dict.get("seed", "") if isinstance(state_dict, dict) else ""
        if seed is not None and not (isinstance(seed, int) and 0 <= seed < 1 << 64):
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: expected what state_dict() returned, "
                f"got {state_dict!r}"
            )
        self._seed = seed
        self._again = self._seed is not None


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ValueError(
            f"{name}: num_samples should be a positive integer value, but got num_samples={value}"
        )
    return value


class RandomSampler(_Seeded):
    """A random order, each epoch a new one; with ``replacement`` indices are drawn independently.

    ``num_samples``: how many (the whole data set by default; more than that goes round again). Every epoch
    draws one seed from ``generator``, or from the default generator (``lectorium.manual_seed``).

    Example:
        >>> _ = lt.manual_seed(0)
        >>> sorted(lt.utils.data.RandomSampler("abcd"))
        [0, 1, 2, 3]
    """

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(generator)
        if not isinstance(replacement, bool):
            raise TypeError(f"RandomSampler: replacement should be a bool, got {replacement!r}")
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = None if num_samples is None else _count("RandomSampler", num_samples)

    @property
    def num_samples(self) -> int:
        """How many indices an epoch has."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def _order(self, generator: Generator) -> Iterator[int]:
        n, left = len(self.data_source), self.num_samples
        if n == 0 and left:
            raise ValueError(f"RandomSampler: cannot draw {left} samples from an empty data set")
        if self.replacement:
            return iter(_core.randint(generator, [left], 0, max(n, 1), _core.int64).tolist())
        rounds = (_core.randperm(generator, n).tolist() for _ in range(-(-left // max(n, 1))))
        return itertools.islice(itertools.chain.from_iterable(rounds), left)

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(_Seeded):
    """The given indices in a random order.

    Example:
        >>> sorted(lt.utils.data.SubsetRandomSampler([5, 3, 8]))
        [3, 5, 8]
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        super().__init__(generator)
        self.indices = indices

    def _order(self, generator: Generator) -> Iterator[int]:
        order: list[int] = _core.randperm(generator, len(self.indices)).tolist()
        return iter([self.indices[i] for i in order])

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(_Seeded):
    """Indices drawn with probabilities in proportion to ``weights``.

    Example:
        >>> list(lt.utils.data.WeightedRandomSampler([0.0, 1.0, 0.0], 4))
        [1, 1, 1, 1]
    """

    def __init__(
        self, weights: Any, num_samples: int, replacement: bool = True, generator: Generator | None = None
    ) -> None:
        super().__init__(generator)
        if not isinstance(replacement, bool):
            raise ValueError(f"WeightedRandomSampler: replacement should be a bool, got {replacement!r}")
        from ..creation import as_tensor

        self.weights: Tensor = _core.cast(as_tensor(weights), _core.float64)
        if self.weights.ndim != 1:
            raise ValueError(
                f"WeightedRandomSampler: weights should be a 1d sequence, got shape "
                f"{list(self.weights.shape)}"
            )
        self.num_samples = _count("WeightedRandomSampler", num_samples)
        self.replacement = replacement

    def _order(self, generator: Generator) -> Iterator[int]:
        return iter(_core.multinomial(generator, self.weights, self.num_samples, self.replacement).tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """The indices of another sampler in lists of ``batch_size``.

    Example:
        >>> list(lt.utils.data.BatchSampler(range(5), batch_size=2, drop_last=False))
        [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size <= 0:
            raise ValueError(
                f"batch_size should be a positive integer value, but got batch_size={batch_size}"
            )
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        return self._batches(iter(self.sampler))

    def _batches(self, indices: Iterator[int]) -> Iterator[list[int]]:
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        n = len(self.sampler)  # pyright: ignore[reportArgumentType]
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def state_dict(self) -> dict[str, Any]:
        """The state of the sampler inside, if it has one.

        Example:
            >>> random = lt.data.RandomSampler(range(4), generator=lt.Generator().manual_seed(0))
            >>> batches = lt.data.BatchSampler(random, 2, False)
            >>> epoch = list(batches)
            >>> batches.state_dict() == random.state_dict()
            True
        """
        return sampler_state(self.sampler)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Hands the state to the sampler inside.

        Example:
            >>> batches = lt.data.BatchSampler(lt.data.RandomSampler(range(6)), 2, False)
            >>> order = list(batches)
            >>> batches.load_state_dict(batches.state_dict())
            >>> list(batches) == order
            True
        """
        load_sampler_state(self.sampler, state_dict)


def sampler_state(sampler: Any) -> dict[str, Any]:
    """``sampler.state_dict()``; empty for a sampler whose order never changes and that has no such method."""
    return sampler.state_dict() if hasattr(sampler, "state_dict") else {}


def load_sampler_state(sampler: Any, state_dict: dict[str, Any]) -> None:
    """Undoes ``sampler_state``."""
    if hasattr(sampler, "load_state_dict") and state_dict:
        sampler.load_state_dict(state_dict)


__all__ = [
    "BatchSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
]
