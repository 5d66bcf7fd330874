"""Texts, sums and the adding problem."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from lectorium.datasets import AddingProblem, DataError, StandardLibrary, Sums, TinyShakespeare, Vocabulary
from lectorium.datasets.source_code import CHARACTERS

REAL = Path(os.environ.get("LECTORIUM_DATA") or "/nonexistent") / "tinyshakespeare"


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LECTORIUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LECTORIUM_DATA", raising=False)


# Vocabulary.


def test_a_vocabulary_goes_both_ways() -> None:
    letters = Vocabulary("abc")
    numbers = letters.encode("cab")
    assert (numbers.tolist(), numbers.dtype) == ([2, 0, 1], np.int64)
    assert letters.decode(numbers.tolist()) == "cab"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text is empty; it needs at least one character"),
        ("abz", "the text has 'z', which the vocabulary of 3 characters lacks; it knows 'abc'"),
        ("uvwxyz", "the text has 'u', 'v', 'w', 'x', 'y' and 1 more, which"),
    ],
)
def test_what_the_vocabulary_lacks_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Vocabulary("abc").encode(text)


# Tiny Shakespeare.


@pytest.mark.skipif(not REAL.is_dir(), reason="LECTORIUM_DATA/tinyshakespeare is not there")
def test_the_real_text() -> None:
    text = TinyShakespeare(download=False)
    assert (len(text), len(text.vocabulary)) == (1_115_394, 65)
    train, validation = text.split()
    assert (len(train), len(validation)) == (1_003_854, 111_540)
    assert text.text.startswith("First Citizen:")
    assert text.vocabulary.decode(np.concatenate([train, validation]).tolist()) == text.text


@pytest.mark.usefixtures("nowhere")
def test_the_text_is_looked_for_in_root_then_lectorium_data_then_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, content in (("cache", "first"), ("local", "second!"), ("root", "the third")):
        (tmp_path / folder / "tinyshakespeare").mkdir(parents=True)
        (tmp_path / folder / "tinyshakespeare" / "input.txt").write_text(content)
    assert len(TinyShakespeare(download=False)) == 5
    monkeypatch.setenv("LECTORIUM_DATA", str(tmp_path / "local"))
    assert len(TinyShakespeare(download=False)) == 7
    assert TinyShakespeare(tmp_path / "root").text == "the third"


@pytest.mark.usefixtures("nowhere")
def test_without_the_text_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"TinyShakespeare: input.txt not found(.|\n)*LECTORIUM_DATA"):
        TinyShakespeare(tmp_path, download=False)
    (tmp_path / "input.txt").write_text("")
    with pytest.raises(DataError, match="the text is empty"):
        TinyShakespeare(tmp_path)
    (tmp_path / "input.txt").write_bytes(b"abc\xff")
    with pytest.raises(DataError, match="expected UTF-8 text, found byte 0xff at position 3"):
        TinyShakespeare(tmp_path)


# The standard library.


def test_the_sources_are_the_same_at_every_call_and_no_longer_than_asked_for() -> None:
    one, two = StandardLibrary(size=60_000), StandardLibrary(size=60_000)
    assert one.text == two.text
    assert 50_000 < len(one) <= 60_000
    assert set(one.text) <= set(CHARACTERS)
    assert one.vocabulary.characters == CHARACTERS


def test_files_with_other_characters_tests_and_packages_are_left_out(tmp_path: Path) -> None:
    def write(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")

    write("kept.py", "a = 1\n" * 3000)
    write("deep/kept.py", "b = 2\n" * 100)
    write("accent.py", "c = 'é'\n")
    write("bell.py", "d = '\a'\n")
    write("test/left.py", "e\n")
    write("site-packages/left.py", "f\n")
    write("notes.txt", "g\n")
    assert sorted(set(StandardLibrary(folder=tmp_path).text.split("\n"))) == ["", "a = 1", "b = 2"]


def test_a_python_without_sources_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found 0 characters of source files in .*--data tinyshakespeare"):
        StandardLibrary(folder=tmp_path)
    with pytest.raises(ValueError, match="StandardLibrary: size must be 10000 or more, got 100"):
        StandardLibrary(size=100)


# Sums.


def test_sums_are_right_and_different_and_never_in_both_sets() -> None:
    train, test = Sums(2000), Sums(500, train=False)
    for sums in (train, test):
        for question, answer in (sums[i] for i in range(len(sums))):
            a, _, b = question.partition("+")
            assert int(a) + int(b) == int(answer)
    pairs = [tuple(pair) for pair in [*train.pairs.tolist(), *test.pairs.tolist()]]
    assert len(set(pairs)) == 2500


def test_the_arrays_of_sums_are_padded_and_have_begin_and_end() -> None:
    sums = Sums(50, digits=2)
    asked, told = sums.arrays()
    assert (asked.shape, told.shape, asked.dtype) == ((50, 5), (50, 5), np.int64)
    for i in range(50):
        question, answer = sums[i]
        assert sums.vocabulary.decode(asked[i].tolist()) == question.ljust(5)
        assert sums.vocabulary.decode(told[i].tolist()) == f"<{answer}".ljust(5, ">")


def test_sums_that_are_not_there_are_an_error() -> None:
    assert len(Sums(90, digits=1)) == 90
    with pytest.raises(ValueError, match="n must be 1 to 90 for training with 1 digits, got 91"):
        Sums(91, digits=1)
    with pytest.raises(ValueError, match="digits must be 1 to 4, got 5"):
        Sums(5, digits=5)
    with pytest.raises(IndexError, match="Sums: index 3 is out of range"):
        Sums(3)[3]


# The adding problem.


@pytest.mark.parametrize("length", [2, 3, 100])
def test_the_target_is_the_sum_of_the_marked_numbers_one_in_each_half(length: int) -> None:
    sequences, sums = AddingProblem(200, length=length).arrays()
    marks = sequences[:, :, 1]
    assert set(marks.ravel().tolist()) <= {0.0, 1.0}
    assert (marks[:, : length // 2].sum(axis=1) == 1).all()
    assert (marks[:, length // 2 :].sum(axis=1) == 1).all()
    np.testing.assert_allclose((sequences[:, :, 0] * marks).sum(axis=1, keepdims=True), sums, rtol=1e-6)
    assert 0 <= sequences[:, :, 0].min() <= sequences[:, :, 0].max() < 1


def test_always_saying_1_has_the_error_that_the_paper_gives() -> None:
    sums = AddingProblem(20_000, length=10).arrays()[1]
    assert np.square(sums - 1).mean() == pytest.approx(1 / 6, abs=0.005)


def test_training_and_test_sequences_differ_and_seeds_repeat() -> None:
    one, two, other, test = (
        AddingProblem(3, length=5, seed=seed, train=train).arrays()[0]
        for seed, train in ((0, True), (0, True), (1, True), (0, False))
    )
    assert (one == two).all()
    assert not (one == other).all()
    assert not (one == test).all()
    sequence, target = AddingProblem(3, length=5)[1]
    assert (sequence.shape, target.shape) == ((5, 2), (1,))


def test_sizes_that_make_no_sense_are_errors() -> None:
    with pytest.raises(ValueError, match="length must be 2 or more, to have two numbers to add, got 1"):
        AddingProblem(3, length=1)
    with pytest.raises(ValueError, match="n must be 1 or more, got 0"):
        AddingProblem(0)
