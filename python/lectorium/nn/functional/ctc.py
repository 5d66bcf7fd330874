"""Connectionist temporal classification: the loss, and what a network's answer says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from ... import _core, ops
from ..._core import Tensor
from ._shared import ShapeError, tensor_of

Lengths = Tensor | Sequence[int] | int


def _lengths(op: str, name: str, given: Lengths, n: int | None) -> list[int]:
    """Lengths as ints, one for each of ``n`` samples; None: one sample, whose length may be a number."""
    if isinstance(given, Tensor):
        if given.dtype.is_floating_point or given.dtype is _core.bool:
            raise TypeError(f"{op}: {name} must be integers, got {given.dtype.name}; convert with .long()")
        if given.ndim > 1:
            raise ShapeError(f"{op}: {name} has shape {list(given.shape)}, expected one length a sample")
        found: Any = given.tolist()
    else:
        found = given
    if isinstance(found, Sequence):
        if all(hasattr(v, "__index__") for v in cast(Sequence[Any], found)):
            return [v.__index__() for v in cast(Sequence[Any], found)]
    elif n is None and hasattr(found, "__index__"):
        return [found.__index__()]
    wanted = "one length" if n is None else f"{n} lengths"
    raise TypeError(f"{op}: {name} must be {wanted} as a tensor or a tuple of ints, got {given!r}")


def _batch(op: str, log_probs: Tensor) -> tuple[Tensor, int | None]:
    """Log probabilities ``[T, N, C]``, and N; None for one sample without its axis."""
    log_probs = tensor_of(op, log_probs, "log_probs")
    if log_probs.ndim not in (2, 3):
        raise ShapeError(f"{op}: log_probs has shape {list(log_probs.shape)}, expected [T, N, C] or [T, C]")
    if log_probs.ndim == 2:
        return ops.unsqueeze(log_probs, 1), None
    return log_probs, log_probs.shape[1]


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Lengths,
    target_lengths: Lengths,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """``-log p(target)``, summed over all alignments with the input (Graves et al. 2006).

    Shapes: log_probs ``[T, N, C]`` or ``[T, C]``, from ``log_softmax``; targets ``[N, S]`` padded, or all
    labels one after another; lengths ``[N]``, tensors or tuples. ``mean`` divides each loss by its target's
    length first. As in PyTorch the gradient is right for log probabilities made by a softmax.

    A target that does not fit into its input (each repeated label needs a blank between) costs infinity and
    its gradient is NaN; with ``zero_infinity`` both are zero.

    Errors: ValueError for a length beyond the padding, a blank out of range, a label that is the blank;
    IndexError for a label out of range.

    Example:
        >>> x = lt.zeros(4, 1, 3).log_softmax(2)
        >>> lt.nn.functional.ctc_loss(x, lt.tensor([[1, 2]]), (4,), (2,), reduction="sum")
        tensor(1.6864)
    """
    op = "ctc_loss"
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{op}: reduction must be 'none', 'mean' or 'sum', got {reduction!r}")
    x, n = _batch(op, log_probs)
    targets = tensor_of(op, targets, "targets")
    lens = _lengths(op, "input_lengths", input_lengths, n)
    counts = _lengths(op, "target_lengths", target_lengths, n)
    losses = ops.ctc_loss(x, targets, lens, counts, blank, zero_infinity)[0]
    if reduction == "none":
        return losses if n is not None else ops.squeeze(losses, (0,))
    if reduction == "mean":
        share = tuple(1.0 / (max(count, 1) * len(counts)) for count in counts)
        losses = ops.mul(losses, _core.from_numbers(share, [len(counts)], losses.dtype))
    return ops.sum(losses)


class CTCHypothesis(NamedTuple):
    """A labelling and the logarithm of its probability.

    Example:
        >>> tokens, score = lt.nn.functional.ctc_greedy_decode(lt.zeros(2, 1, 3).log_softmax(2))[0]
        >>> tokens, round(score, 3)
        ([], -2.197)
    """

    tokens: list[int]
    score: float


def ctc_greedy_decode(
    log_probs: Tensor, input_lengths: Lengths | None = None, blank: int = 0
) -> list[CTCHypothesis]:
    """The most probable class of each point in time, repeats joined and blanks dropped, for each sample.

    Shapes: log_probs ``[T, N, C]`` or ``[T, C]``; input_lengths ``[N]``, all T where left out. The score is
    that of the one path, not of the labelling.

    Errors: ValueError for NaN, a length beyond T or a blank out of range.

    Example:
        >>> p = lt.tensor([[0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
        >>> lt.nn.functional.ctc_greedy_decode(p.log())[0].tokens
        [1, 2]
    """
    op = "ctc_greedy_decode"
    x, n = _batch(op, log_probs)
    lens = _decoded(op, x, input_lengths, n)
    return [CTCHypothesis(*path) for path in _core.ctc_greedy_decode(x.detach(), lens, blank)]


def ctc_beam_decode(
    log_probs: Tensor,
    input_lengths: Lengths | None = None,
    beam_width: int = 10,
    blank: int = 0,
    top_paths: int = 1,
) -> list[list[CTCHypothesis]]:
    """The ``top_paths`` most probable labellings of each sample, best first, by prefix beam search.

    The score of a labelling is the sum over all of its paths that stayed among the ``beam_width`` best
    prefixes (Graves 2012; Hannun et al. 2014). Shapes as in ``ctc_greedy_decode``.

    Errors: ValueError for a width below 1, more paths than the width, NaN, a length beyond T or a blank out
    of range.

    Example:
        >>> p = lt.tensor([[0.6, 0.4], [0.6, 0.4]])
        >>> lt.nn.functional.ctc_greedy_decode(p.log())[0].tokens
        []
        >>> best = lt.nn.functional.ctc_beam_decode(p.log())[0][0]
        >>> best.tokens, round(best.score, 4)
        ([1], -0.4463)
    """
    op = "ctc_beam_decode"
    x, n = _batch(op, log_probs)
    lens = _decoded(op, x, input_lengths, n)
    found = _core.ctc_beam_decode(x.detach(), lens, beam_width, blank, top_paths)
    return [[CTCHypothesis(*path) for path in paths] for paths in found]


def _decoded(op: str, x: Tensor, input_lengths: Lengths | None, n: int | None) -> list[int]:
    if input_lengths is None:
        return [x.shape[0]] * (x.shape[1] if x.ndim == 3 else 0)
    return _lengths(op, "input_lengths", input_lengths, n)
