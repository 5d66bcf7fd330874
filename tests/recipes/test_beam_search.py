"""Beam search against all sequences there are."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from lectorium.recipes.beam_search import beam_search

FIRST, LAST = 0, 1


def chances(seed: int, words: int = 5) -> np.ndarray:
    """Log-probabilities of the next word after each two: [last but one, last, next], the first never again."""
    logits = np.random.default_rng(seed).normal(size=(words, words, words)).astype(np.float32) * 2
    logits[:, :, FIRST] = -np.inf
    return logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))


def stepper(table: np.ndarray) -> Any:
    def step(word: lt.Tensor, state: lt.Tensor) -> tuple[lt.Tensor, lt.Tensor]:
        before = state.numpy()[:, 0].astype(int)
        now = word.numpy()
        return lt.from_numpy(table[before, now]), lt.from_numpy(now[:, None].astype(np.float32))

    return step


def score(table: np.ndarray, answer: tuple[int, ...], longest: int) -> float:
    words = [FIRST, FIRST, *answer, *([LAST] if len(answer) < longest else [])]
    steps = list(zip(words, words[1:], words[2:], strict=False))
    return float(np.mean([table[step] for step in steps]))


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_as_wide_as_all_sequences_finds_the_best(seed: int) -> None:
    table, longest = chances(seed), 3
    every = [a for n in range(longest + 1) for a in itertools.product(range(2, 5), repeat=n)]
    best = max(every, key=lambda answer: score(table, answer, longest))
    found = beam_search(stepper(table), lt.zeros(3, 1), FIRST, LAST, width=60, longest=longest)
    assert found == [list(best)] * 3


def test_a_beam_of_one_takes_the_best_word_each_time() -> None:
    table = chances(7)
    words = [FIRST, FIRST]
    while words[-1] != LAST and len(words) < 8:
        words.append(int(table[words[-2], words[-1]].argmax()))
    found = beam_search(stepper(table), lt.zeros(1, 1), FIRST, LAST, width=1, longest=6)
    assert found == [[word for word in words[2:] if word != LAST]]


def test_rows_are_searched_apart() -> None:
    table = chances(3)
    states = np.array([[0], [2], [3], [4]], np.float32)
    together = beam_search(stepper(table), lt.from_numpy(states), FIRST, LAST, width=3, longest=4)
    apart = [
        beam_search(stepper(table), lt.from_numpy(state[None]), FIRST, LAST, width=3, longest=4)[0]
        for state in states
    ]
    assert together == apart
    assert len({tuple(answer) for answer in together}) > 1


def test_a_wider_beam_than_there_are_words_and_an_end_at_once() -> None:
    table = np.full((2, 2, 2), -np.inf, np.float32)
    table[:, :, LAST] = 0
    assert beam_search(stepper(table), lt.zeros(2, 1), FIRST, LAST, width=9, longest=5) == [[], []]
