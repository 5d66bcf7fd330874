"""Sums as text: "123+456" and its result, made up on the spot."""

from __future__ import annotations

import operator
from typing import SupportsIndex

import numpy as np

from ._base import I64, check_index
from ._text import Vocabulary

#: Begin and end of a sequence, then what sums are written with. A place behind the end holds another end.
SYMBOLS = "<>0123456789+ "
BOS, EOS = 0, 1


class Sums:
    """`n` different sums of two numbers of up to `digits` digits, as text.

    An item is ``(question, answer)``, such as ``("12+345", "357")``. `arrays()`: int64 questions [N, 2
    digits + 1], filled up with spaces on the right, and answers [N, digits + 3] that begin with BOS and end
    with EOS, both as numbers of SYMBOLS. Training and test set have no question in common. Errors:
    ValueError for more sums than there are.

    Example:
        >>> sums = Sums(3)
        >>> question, answer = sums[0]
        >>> sum(int(part) for part in question.split("+")) == int(answer), sums.arrays()[1].shape
        (True, (3, 6))
    """

    def __init__(self, n: int = 200_000, train: bool = True, digits: int = 3, seed: int = 0) -> None:
        n, digits = operator.index(n), operator.index(digits)
        if not 1 <= digits <= 4:
            raise ValueError(f"Sums: digits must be 1 to 4, got {digits}")
        side = 10**digits
        # The last tenth of all pairs, in the seed's order, is the test set.
        order = np.random.default_rng(seed).permutation(side * side)
        end = side * side * 9 // 10
        kept = order[:end] if train else order[end:]
        if not 1 <= n <= len(kept):
            part = "training" if train else "test"
            raise ValueError(f"Sums: n must be 1 to {len(kept):,} for {part} with {digits} digits, got {n}")
        self.digits = digits
        self.pairs: I64 = np.stack(np.divmod(kept[:n], side), axis=1)
        self.vocabulary = Vocabulary(SYMBOLS)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: SupportsIndex) -> tuple[str, str]:
        a, b = self.pairs[check_index(index, len(self), "Sums")].tolist()
        return f"{a}+{b}", str(a + b)

    def arrays(self) -> tuple[I64, I64]:
        """Everything at once, as numbers: questions and answers.

        Example:
            >>> questions, answers = Sums(1, digits=1).arrays()
            >>> "".join(SYMBOLS[i] for i in questions[0]), "".join(SYMBOLS[i] for i in answers[0])
            ('8+2', '<10>')
        """
        width = 2 * self.digits + 1
        asked = "".join(f"{a}+{b}".ljust(width) for a, b in self.pairs.tolist())
        told = "".join(f"<{a + b}".ljust(self.digits + 3, ">") for a, b in self.pairs.tolist())
        return (
            self.vocabulary.encode(asked).reshape(len(self), width),
            self.vocabulary.encode(told).reshape(len(self), self.digits + 3),
        )

    def __repr__(self) -> str:
        return f"Sums({len(self)} of {self.digits} digits)"
