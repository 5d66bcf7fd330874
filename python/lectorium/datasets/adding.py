"""The adding problem: two numbers of a long sequence are marked, and their sum is wanted at the end."""

from __future__ import annotations

import operator
from typing import Any, SupportsIndex

import numpy as np

from ._base import as_tensor, check_index


class AddingProblem:
    """`n` sequences of `length` steps: a number in 0..1 and a mark, which is 1 at two places and 0 elsewhere.

    One mark is in the first half and one in the second. The target is the sum of the two marked numbers;
    always saying 1 has a mean squared error of 1/6, that is 0.167. An item is ``(sequence [length, 2],
    sum)``, as float32 Tensors; `arrays()` has all of them, [N, length, 2] and [N, 1]. Errors: ValueError
    for a length below 2. Source: Hochreiter and Schmidhuber (1997), Long short-term memory, experiment 4,
    in the form of Le, Jaitly and Hinton (2015), arXiv:1504.00941.

    Example:
        >>> sequences, sums = AddingProblem(4, length=10).arrays()
        >>> sequences.shape, sums.shape, sequences[:, :, 1].sum(axis=1).tolist()
        ((4, 10, 2), (4, 1), [2.0, 2.0, 2.0, 2.0])
    """

    def __init__(self, n: int = 20_000, train: bool = True, length: int = 100, seed: int = 0) -> None:
        n, length = operator.index(n), operator.index(length)
        if n < 1:
            raise ValueError(f"AddingProblem: n must be 1 or more, got {n}")
        if length < 2:
            raise ValueError(
                f"AddingProblem: length must be 2 or more, to have two numbers to add, got {length}"
            )
        source = np.random.default_rng([seed, length, int(train)])
        self._sequences = np.zeros((n, length, 2), np.float32)
        self._sequences[:, :, 0] = source.random((n, length), np.float32)
        rows, half = np.arange(n), length // 2
        for places in (source.integers(0, half, n), source.integers(half, length, n)):
            self._sequences[rows, places, 1] = 1
        marked = self._sequences[:, :, 0] * self._sequences[:, :, 1]
        self._sums = marked.sum(axis=1, keepdims=True, dtype=np.float32)

    def arrays(self) -> tuple[Any, Any]:
        """Return everything at once: float32 [N, length, 2] and [N, 1], the data set's own arrays.

        Example:
            >>> sequences, sums = AddingProblem(1000).arrays()
            >>> round(float(((1 - sums) ** 2).mean()), 1)
            0.2
        """
        return self._sequences, self._sums

    def __len__(self) -> int:
        return len(self._sums)

    def __getitem__(self, index: SupportsIndex) -> tuple[Any, Any]:
        i = check_index(index, len(self), "AddingProblem")
        return as_tensor(self._sequences[i]), as_tensor(self._sums[i])

    def __repr__(self) -> str:
        return f"AddingProblem({len(self)} sequences of {self._sequences.shape[1]})"
