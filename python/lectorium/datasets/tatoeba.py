"""Tatoeba: short sentences in English and French."""

import hashlib
import itertools
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, SupportsIndex

from ._base import check_index
from ._errors import DataError
from ._places import Root, download_folder, find, folders, missing
from ._text_files import read_lines, split_lines

_ARCHIVE, _TEXT, _LINES = "fra-eng.zip", "fra.txt", 20_000


class Tatoeba:
    """The 20,000 shortest pairs of an English sentence and its French translation, split into two parts.

    A sentence often has several translations. Pairs that share a sentence on either side (but for case and
    punctuation), directly or over others, stay together, so neither an English nor a French sentence is in
    both parts. Such a group goes by the SHA-256 of its first English sentence: where the first byte is below
    13 (about 5 %) its pairs are to test on, all others to train on.

    Looked for in `root`, in ``$LECTORIUM_DATA/tatoeba-fra-eng``, in the cache, and then downloaded (into
    `root`, if given, otherwise into the cache). A folder holds ``fra-first20000.txt``, ``fra.txt`` (either
    with .gz) or ``fra-eng.zip``; of longer files the first 20,000 lines are read. Newer editions have other
    lines, and other results.

    `pairs`: ``(english, french)``, also the items. Errors: DataError for a damaged file, FileNotFoundError
    with download=False, DownloadError, IndexError.
    Source: https://tatoeba.org, as published by https://www.manythings.org/anki (2017-09-29), CC BY 2.0.

    >>> in_test("Go."), in_test("go!")
    (False, False)
    """

    mirrors: ClassVar[tuple[str, ...]] = (
        "https://raw.githubusercontent.com/genimind/seq2seq/843b8bc40396fbea4ac9171097122aacfc8b9660/",
        "https://raw.githubusercontent.com/genimind/seq2seq/master/",
    )
    # Of the first 20,000 lines.
    digest: ClassVar[str] = "sha256:e7f64d4e4c69122d90f8e873a556c44ef3381384bc24519b8866a44e72e0e199"

    def __init__(self, root: Root = None, train: bool = True, download: bool = True) -> None:
        path = self._locate(root, download)
        lines = _first_lines(path) if path.suffix == ".zip" else read_lines(path)[:_LINES]
        pairs = [_pair(line, i, path) for i, line in enumerate(lines)]
        self.pairs = [pair for pair, test in zip(pairs, split(pairs), strict=True) if test != train]
        self.train = train

    @classmethod
    def _locate(cls, root: Root, download: bool) -> Path:
        looked = folders(root, ("tatoeba-fra-eng", "fra-eng"))
        names = [f"{name}{end}" for name in ("fra-first20000.txt", _TEXT) for end in ("", ".gz")]
        for folder in looked:
            found = find(folder, (*names, _ARCHIVE))
            if found is not None:
                return found
        if not download:
            what = f"fra-first20000.txt, {_TEXT} (or .gz) or {_ARCHIVE}"
            raise FileNotFoundError(missing("Tatoeba", what, looked, "tatoeba-fra-eng"))
        # Imported when needed: HTTP and the progress bar cost more than all the rest together.
        from ._download import Remote, fetch

        urls = tuple(mirror + _ARCHIVE for mirror in cls.mirrors)
        remote = Remote(_ARCHIVE, urls, cls.digest, _content)
        return fetch(remote, download_folder(root, "tatoeba-fra-eng"))

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: SupportsIndex) -> tuple[str, str]:
        return self.pairs[check_index(index, len(self), "Tatoeba")]

    def __repr__(self) -> str:
        return f"Tatoeba({len(self)} pairs, {'train' if self.train else 'test'})"


def split(pairs: Sequence[tuple[str, str]]) -> list[bool]:
    """Return for each pair whether it is to test on, by the rule above.

    >>> split([("Go.", "Va !"), ("Run!", "Cours !"), ("Go!", "Cours !")])
    [False, False, False]
    """
    # A forest of all sentences: those of one group have the same root.
    above: dict[tuple[int, str], tuple[int, str]] = {}

    def top(node: tuple[int, str]) -> tuple[int, str]:
        while above.setdefault(node, node) != node:
            above[node] = node = above[above[node]]
        return node

    for english, french in pairs:
        above[top((0, plain(english)))] = top((1, plain(french)))
    first: dict[tuple[int, str], str] = {}
    for english, _ in pairs:
        root = top((0, plain(english)))
        first[root] = min(first.get(root, plain(english)), plain(english))
    return [in_test(first[top((0, plain(english)))]) for english, _ in pairs]


def in_test(english: str) -> bool:
    """Return whether a group whose first English sentence this is goes into the test part.

    >>> in_test("I agree."), in_test("I agree!")
    (False, False)
    """
    return hashlib.sha256(plain(english).encode()).digest()[0] < 13


def plain(sentence: str) -> str:
    """Return the words of a sentence, in lower case.

    >>> plain("L'été, c'est fini !")
    "l'été c'est fini"
    """
    return " ".join(re.findall(r"[\w']+", sentence.lower().replace("’", "'")))


def _pair(line: str, at: int, path: Path) -> tuple[str, str]:
    columns = line.split("\t")
    if len(columns) < 2 or not columns[0].strip() or not columns[1].strip():
        raise DataError(f"{path}: line {at + 1} is not ENGLISH<TAB>FRENCH: {line[:60]!r}")
    return columns[0], columns[1]


def _content(path: Path) -> list[bytes]:
    return [f"{line}\n".encode() for line in _first_lines(path)]


def _first_lines(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(_TEXT) as file:
            content = b"".join(itertools.islice(file, _LINES))
    except Exception as error:  # zlib.error and zipfile's errors have no common base
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise DataError(f"{path}: corrupt archive ({error}). Delete it and get it again.") from None
    return split_lines(content, f"{path}:{_TEXT}")
