"""RT-polarity, Tatoeba, words and vocabularies."""

import gzip
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lectorium.datasets import DataError, RTPolarity, Tatoeba, tatoeba
from lectorium.datasets._download import Remote, fetch
from lectorium.datasets.words import WordVocabulary, english_words, french_words, join_words

REAL = Path(os.environ.get("LECTORIUM_DATA") or "/nonexistent")


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LECTORIUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LECTORIUM_DATA", raising=False)


# RT-polarity.


def reviews(folder: Path, negative: bytes | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"line {i} \n" for i in range(25)).encode()
    (folder / "rt-polarity.neg").write_bytes(lines if negative is None else negative)
    (folder / "rt-polarity.pos.gz").write_bytes(gzip.compress(lines))


@pytest.mark.parametrize("inner", ["", "rt-polarity", "rt-polaritydata"])
def test_every_tenth_line_of_each_file_is_to_test_on(inner: str, tmp_path: Path) -> None:
    reviews(tmp_path / inner)
    train, test = (RTPolarity(tmp_path, train=part, download=False) for part in (True, False))
    assert test.sentences == ["line 9", "line 19"] * 2
    assert test.labels.tolist() == [0, 0, 1, 1]
    assert (len(train), train[22], train[23]) == (46, ("line 24", 0), ("line 0", 1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"rt-polarity\.neg: empty"),
        (b"one\n\nthree\n", r"rt-polarity\.neg: line 2 is empty, expected a sentence"),
        (b"caf\xe9\n", r"rt-polarity\.neg: not UTF-8 \(byte 0xe9 at 3\)"),
    ],
)
def test_a_damaged_file_of_reviews_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    reviews(tmp_path, content)
    with pytest.raises(DataError, match=message):
        RTPolarity(tmp_path, download=False)


def test_missing_texts_are_an_error_that_says_where_they_were_looked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"RTPolarity: rt-polarity.neg and rt-polarity.pos not found"):
        RTPolarity(tmp_path, download=False)
    with pytest.raises(
        FileNotFoundError, match=r"Tatoeba: fra-first20000.txt, fra.txt \(or .gz\) or fra-eng"
    ):
        Tatoeba(tmp_path, download=False)


@pytest.mark.skipif(not (REAL / "rt-polarity").is_dir(), reason="LECTORIUM_DATA/rt-polarity is not there")
def test_the_real_reviews() -> None:
    train, test = (RTPolarity(REAL, train=part, download=False) for part in (True, False))
    assert (len(train), len(test), test.labels.sum()) == (9596, 1066, 533)
    for name, digest in zip(RTPolarity.files, RTPolarity.digests, strict=True):
        assert fetch(Remote(name, (), digest), REAL / "rt-polarity").is_file()


# Tatoeba.

PAIRS = "Go.\tVa !\nRun!\tCours !\tCC-BY\nWho?\tQui ?\n"


@pytest.mark.parametrize("name", ["fra-first20000.txt", "fra.txt.gz", "fra-eng.zip"])
def test_pairs_are_read_from_each_kind_of_file(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "tatoeba-fra-eng"
    folder.mkdir()
    if name.endswith(".zip"):
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr("fra.txt", PAIRS)
    else:
        (folder / name).write_bytes(gzip.compress(PAIRS.encode()) if name.endswith(".gz") else PAIRS.encode())
    pairs = [*Tatoeba(tmp_path, download=False).pairs, *Tatoeba(tmp_path, train=False, download=False).pairs]
    assert sorted(pairs) == [("Go.", "Va !"), ("Run!", "Cours !"), ("Who?", "Qui ?")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("fra.txt", b"", r"fra\.txt: empty"),
        ("fra.txt", b"Go.\tVa !\nRun!\n", r"fra\.txt: line 2 is not ENGLISH<TAB>FRENCH: 'Run!'"),
        ("fra.txt", b"Go.\t \n", r"line 1 is not ENGLISH<TAB>FRENCH"),
        ("fra.txt", b"Go.\tV\xe0 !\n", r"fra\.txt: not UTF-8 \(byte 0xe0 at 5\)"),
        ("fra-eng.zip", b"PK", r"fra-eng\.zip: corrupt archive .* Delete it and get it again"),
    ],
)
def test_a_damaged_file_of_pairs_is_named(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        Tatoeba(tmp_path, download=False)


def test_pairs_that_share_a_sentence_stay_together() -> None:
    chain = [(f"E{i // 2}", f"F{(i + 1) // 2}") for i in range(200)]  # E0-F0, E0-F1, E1-F1, …
    assert len(set(tatoeba.split(chain))) == 1
    # Case and punctuation make no difference, and neither does the order of the pairs.
    pairs = [("Stop!", "Arrête !"), ("stop.", "Stop !"), ("Halt!", "stop")]
    assert len(set(tatoeba.split(pairs))) == 1
    apart = [(f"E{i}", f"F{i}") for i in range(3000)]
    forward = tatoeba.split(apart)
    assert forward == tatoeba.split(apart[::-1])[::-1]
    assert 100 < sum(forward) < 200


@pytest.mark.skipif(
    not (REAL / "tatoeba-fra-eng").is_dir(), reason="LECTORIUM_DATA/tatoeba-fra-eng is not there"
)
def test_the_real_pairs_have_no_sentence_in_both_parts() -> None:
    train, test = (Tatoeba(REAL, train=part, download=False).pairs for part in (True, False))
    assert (len(train), len(test)) == (19021, 979)
    for side in (0, 1):
        seen = {tatoeba.plain(pair[side]) for pair in train}
        assert not seen & {tatoeba.plain(pair[side]) for pair in test}


@pytest.mark.skipif(
    not (REAL / "tatoeba-fra-eng").is_dir(), reason="LECTORIUM_DATA/tatoeba-fra-eng is not there"
)
def test_an_archive_is_checked_by_its_first_20000_lines(tmp_path: Path) -> None:
    text = gzip.decompress((REAL / "tatoeba-fra-eng" / "fra-first20000.txt.gz").read_bytes())
    with zipfile.ZipFile(tmp_path / "fra-eng.zip", "w") as archive:
        archive.writestr("_about.txt", "...")
        archive.writestr("fra.txt", text + b"How did you get there?\tComment ?\n")
    remote = Remote("fra-eng.zip", (), Tatoeba.digest, tatoeba._content)
    assert fetch(remote, tmp_path) == tmp_path / "fra-eng.zip"


# Words.


def test_sentences_are_words_and_signs() -> None:
    assert french_words("Qu’est-ce que c'est ?") == ["qu'", "est-ce", "que", "c'", "est", "?"]
    assert english_words("He said: “I don’t know.”") == [
        "He",
        "said",
        ":",
        "“",
        "I",
        "don’t",
        "know",
        ".",
        "”",
    ]
    assert french_words(" \u202f") == english_words("") == []


def test_words_are_joined_as_they_were() -> None:
    for sentence in ("I'm 19.", "Stop, please!", "Who's he?", "It's twenty-one."):
        assert join_words(english_words(sentence)) == sentence


def test_a_vocabulary_is_in_the_order_of_frequency_and_does_not_know_the_rest() -> None:
    words = WordVocabulary.of([["b", "a", "c"], ["b", "a"], ["b"]], least=2, special=["<bos>"])
    assert words.words == ["<pad>", "<unk>", "<bos>", "b", "a"]
    assert words.encode(["a", "c", "b"]).tolist() == [4, 1, 3]
    assert words.encode([]).dtype == np.int64
    assert WordVocabulary(words.words).numbers == words.numbers


@pytest.mark.parametrize("words", [[], ["<pad>", "a"], ["<pad>", "<unk>", "a", "a"]])
def test_what_is_no_vocabulary_is_an_error(words: list[str]) -> None:
    with pytest.raises(ValueError, match="WordVocabulary: expected <pad>, <unk> and then words, each once"):
        WordVocabulary(words)
