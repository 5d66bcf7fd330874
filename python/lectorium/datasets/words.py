"""Sentences as words, and words as numbers."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

PAD, UNKNOWN, BOS, EOS = "<pad>", "<unk>", "<bos>", "<eos>"
_TOKENS = re.compile(r"\w+'(?=\w)|\w+(?:-\w+)*|[^\w\s]")
_ENGLISH = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")


def french_words(sentence: str) -> list[str]:
    """Return a French sentence's words and signs in lower case; what ends in an apostrophe is a word.

    >>> french_words("L’été n'est pas fini !")
    ["l'", 'été', "n'", 'est', 'pas', 'fini', '!']
    """
    return _TOKENS.findall(sentence.lower().replace("’", "'"))


def english_words(sentence: str) -> list[str]:
    """Return an English sentence's words, contractions whole, and signs, as they are written.

    >>> english_words("I'm here, don't go!")
    ["I'm", 'here', ',', "don't", 'go', '!']
    """
    return _ENGLISH.findall(sentence)


def join_words(words: Sequence[str]) -> str:
    """Return words and signs as a sentence.

    >>> join_words(["I'm", "here", ",", "don't", "go", "!"])
    "I'm here, don't go!"
    """
    return re.sub(r" ([.,!?;:%)])", r"\1", " ".join(words))


class WordVocabulary:
    """Numbers for words: 0 and 1 are ``<pad>`` and ``<unk>``, which stands for words not known.

    Errors: ValueError for a word that comes twice, or other first words.

    >>> words = WordVocabulary.of([["a", "rose", "is", "a", "rose"]], least=2)
    >>> words.words, words.encode(["a", "tulip"]).tolist(), words.decode([3, 2])
    (['<pad>', '<unk>', 'a', 'rose'], [2, 1], ['rose', 'a'])
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)
        self.numbers = {word: number for number, word in enumerate(self.words)}
        if self.words[:2] != [PAD, UNKNOWN] or len(self.numbers) < len(self.words):
            raise ValueError(f"WordVocabulary: expected {PAD}, {UNKNOWN} and then words, each once")

    @classmethod
    def of(
        cls, sentences: Iterable[Sequence[str]], least: int = 1, special: Sequence[str] = ()
    ) -> "WordVocabulary":
        """The words that occur `least` times or more, the most frequent first, after the special ones."""
        counts = Counter(word for sentence in sentences for word in sentence)
        kept = sorted(
            (word for word, count in counts.items() if count >= least), key=lambda w: (-counts[w], w)
        )
        return cls([PAD, UNKNOWN, *special, *kept])

    def encode(self, words: Iterable[str]) -> NDArray[np.int64]:
        """The words' numbers, int64 [N]."""
        return np.array([self.numbers.get(word, 1) for word in words], np.int64)

    def decode(self, numbers: Iterable[int]) -> list[str]:
        """The words of those numbers. Errors: IndexError."""
        return [self.words[number] for number in numbers]

    def __len__(self) -> int:
        return len(self.words)


def padded(sequences: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return sequences of numbers as one array [N, longest], filled up with 0.

    >>> padded([np.array([5, 6]), np.array([7])]).tolist()
    [[5, 6], [7, 0]]
    """
    longest = max((len(sequence) for sequence in sequences), default=0)
    rows = np.zeros((len(sequences), longest), np.int64)
    for row, sequence in zip(rows, sequences, strict=True):
        row[: len(sequence)] = sequence
    return rows
