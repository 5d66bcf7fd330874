"""The linear-chain conditional random field."""

from __future__ import annotations

from typing import Any

from .. import _core
from ..autograd.composite import composite_gradients
from ..autograd.tape import Three, op
from . import elementwise, index, reduce, shape


@op
def crf_log_likelihood(
    k: Any, emissions: Any, start: Any, end: Any, transitions: Any, tags: Any, lengths: list[int]
) -> Three:
    """The log likelihood of each sequence's tags ``[T, N]``; then what only the gradient needs."""
    out = k.crf_log_likelihood(emissions, start, end, transitions, tags, lengths)
    return out, (emissions, start, end, transitions, out[1], out[2], tags, lengths)


@crf_log_likelihood.vjp
def _(k: Any, g: Any, saved: Any, need: Any) -> Any:
    *scores, alpha, shifts, tags, lengths = saved
    if k is _core:
        return k.crf_log_likelihood_grad(g, *scores, tags, lengths, alpha, shifts)

    def likelihoods(emissions: Any, start: Any, end: Any, transitions: Any) -> Any:
        return _composite(emissions, start, end, transitions, tags, lengths)

    return composite_gradients(likelihoods, scores, g, need)


def _composite(emissions: Any, start: Any, end: Any, transitions: Any, tags: Any, lengths: list[int]) -> Any:
    """The forward algorithm in plain operations, for all sequences step by step."""
    time, n, _ = emissions.shape
    lens = _core.from_numbers(tuple(lengths), [n], _core.int64)
    ends = _core.unsqueeze(_core.sub(lens, 1), 0)
    inside = _core.lt(_core.unsqueeze(_core.arange(0, time, 1, _core.int64), 1), lens)
    # Tags after the end may be anything.
    tags = _core.where(inside, _core.cast(tags, _core.int64), 0)
    state = elementwise.add(start, emissions[0])
    for t in range(1, time):
        ways = elementwise.add(shape.unsqueeze(state, 2), transitions)
        moved = elementwise.add(reduce.logsumexp(ways, (1,)), emissions[t])
        state = elementwise.where(_core.unsqueeze(inside[t], 1), moved, state)
    total = reduce.logsumexp(elementwise.add(state, end), (1,))

    seen = index.gather(emissions, 2, _core.unsqueeze(tags, 2))
    seen = elementwise.where(inside, shape.squeeze(seen, (2,)), 0.0)
    score = elementwise.add(
        index.index_select(start, 0, tags[0]),
        index.index_select(end, 0, _core.squeeze(_core.gather(tags, 0, ends), (0,))),
    )
    score = elementwise.add(score, reduce.sum(seen, (0,)))
    if time > 1:
        before, after = _core.narrow(tags, 0, 0, time - 1), _core.narrow(tags, 0, 1, time - 1)
        pairs = _core.add(_core.mul(before, transitions.shape[1]), after)
        moves = index.index_select(shape.reshape(transitions, (-1,)), 0, _core.reshape(pairs, (-1,)))
        moves = shape.reshape(moves, (time - 1, n))
        score = elementwise.add(
            score, reduce.sum(elementwise.where(_core.narrow(inside, 0, 1, time - 1), moves, 0.0), (0,))
        )
    return elementwise.sub(score, total)
