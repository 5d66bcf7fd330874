"""Texts as numbers: a vocabulary of characters, and what texts share."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ._base import I64
from ._errors import DataError


class Vocabulary:
    """Characters with the numbers 0, 1, …: `encode` and `decode`.

    Example:
        >>> letters = Vocabulary("helo")
        >>> letters.encode("hello").tolist(), letters.decode([0, 1, 2, 2, 3])
        ([0, 1, 2, 2, 3], 'hello')
    """

    def __init__(self, characters: str) -> None:
        self.characters = characters
        self._number = {character: i for i, character in enumerate(characters)}

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str, what: str = "text") -> I64:
        """The numbers of a text's characters. Errors: ValueError for no text, or a character it lacks.

        Example:
            >>> Vocabulary("abc").encode("cab")
            array([2, 0, 1])
        """
        if not text:
            raise ValueError(f"the {what} is empty; it needs at least one character")
        lacking = sorted(set(text) - self._number.keys())
        if lacking:
            shown = ", ".join(repr(character) for character in lacking[:5])
            more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
            raise ValueError(
                f"the {what} has {shown}{more}, which the vocabulary of {len(self)} characters lacks; "
                f"it knows {self.characters!r}"
            )
        return np.fromiter((self._number[c] for c in text), np.int64, len(text))

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of these numbers.

        Errors: IndexError for a number that none has.

        Example:
            >>> Vocabulary("abc").decode(np.array([2, 0, 1]))
            'cab'
        """
        return "".join(self.characters[number] for number in numbers)


class TextDataset:
    """One long text; the base of the texts here.

    `text`: a str. `vocabulary`: its characters as numbers. `split()`: int64 arrays to train and validate on.
    Errors: DataError for an empty text.

    Example:
        >>> text = TextDataset("to be or not to be", Vocabulary(" benort"))
        >>> len(text), [len(part) for part in text.split()]
        (18, [16, 2])
    """

    def __init__(self, text: str, vocabulary: Vocabulary | None = None) -> None:
        if not text:
            raise DataError(f"{type(self).__name__}: the text is empty")
        self.text = text
        self.vocabulary = Vocabulary("".join(sorted(set(text)))) if vocabulary is None else vocabulary

    def split(self) -> tuple[I64, I64]:
        """The numbers of the first nine tenths of the text, and of the last tenth.

        Example:
            >>> learn, validate = TextDataset("abcdefghij" * 2).split()
            >>> learn.tolist()[:3], validate.tolist()
            ([0, 1, 2], [8, 9])
        """
        numbers = self.vocabulary.encode(self.text)
        end = len(numbers) * 9 // 10
        return numbers[:end], numbers[end:]

    def __len__(self) -> int:
        return len(self.text)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} characters, {len(self.vocabulary)} distinct)"
