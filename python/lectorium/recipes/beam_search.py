"""Beam search: of all translations begun, the best few are continued, word by word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._core import Tensor
from ..autograd import no_grad
from ..creation import from_numpy

Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def beam_search(
    step: Step, state: Tensor, first: int, last: int, width: int, longest: int
) -> list[list[int]]:
    """For each row of `state` [N, H] the sequence with the highest mean log-probability that was found.

    ``step(word, state)``: of `width` sequences for each row, one row after another, the last word [N * width]
    and the state; it returns the log-probabilities of the next word [N * width, V] and the state after it.
    Sequences begin after `first`, end before `last`, and have at most `longest` words. Those that have ended
    are kept among the others; a width of 1 is greedy search.
    Source: Graves (2012), Sequence transduction with recurrent neural networks; the mean for the length is
    that of Cho and others (2014).

    Example:
        >>> table = lt.tensor([[0.0, 0.6, 0.4], [0.0, 0.1, 0.9], [0.0, 0.0, 1.0]]).log()
        >>> step = lambda word, state: (table[word], state)
        >>> lt.recipes.beam_search.beam_search(step, lt.zeros(2, 1), 0, 2, width=2, longest=3)
        [[1], [1]]
    """
    rows = state.shape[0]
    with no_grad():
        state = state.repeat_interleave(width, dim=0)
    words = np.full((rows * width, 1), first)
    # At first all sequences of a row are the same: one of them is enough.
    total = np.where(np.arange(rows * width) % width == 0, 0.0, -np.inf)
    ended = np.zeros(rows * width, bool)
    for _ in range(longest):
        with no_grad():
            chances, after = step(from_numpy(words[:, -1].copy()), state)
            best, number = chances.topk(min(width, chances.shape[1]), dim=1)
        more, next_word = best.numpy().astype(np.float64), number.numpy().copy()
        # What has ended goes on in one way only, at no cost.
        more[ended], next_word[ended] = -np.inf, last
        more[ended, 0] = 0.0
        lengths = np.where(ended, (words[:, 1:] != last).sum(axis=1) + 1, words.shape[1])
        chosen, column = _best((total[:, None] + more) / lengths[:, None], rows, width)
        total = total[chosen] + more[chosen, column]
        words = np.concatenate([words[chosen], next_word[chosen, column][:, None]], axis=1)
        ended = words[:, -1] == last
        with no_grad():
            state = after.index_select(0, from_numpy(chosen))
        if ended.all():
            break
    return [_until(words[row * width, 1:], last) for row in range(rows)]


def _best(scores: NDArray[Any], rows: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each row the `width` best of its continuations, best first: the sequences, and which of theirs."""
    each = scores.shape[1]
    flat = scores.reshape(rows, width * each)
    order = np.argsort(-flat, axis=1, kind="stable")[:, :width]
    chosen = (np.arange(rows)[:, None] * width + order // each).reshape(-1)
    return chosen, (order % each).reshape(-1)


def _until(words: NDArray[np.int64], last: int) -> list[int]:
    listed: list[int] = words.tolist()
    return listed[: listed.index(last)] if last in listed else listed
