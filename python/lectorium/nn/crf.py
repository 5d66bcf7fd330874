"""Conditional random fields."""

from __future__ import annotations

from typing import Any

from .. import _core, ops
from .._core import ShapeError, Tensor, dtype as DType
from . import init
from ._make import parameter, size
from ._recurrent import flag
from .functional._shared import tensor_of
from .module import Module


class CRF(Module):
    """A linear-chain conditional random field (Lafferty et al. 2001), with the names of pytorch-crf.

    The score of tags ``y`` is ``start[y_1] + Σ emissions[t, y_t] + Σ transitions[y_t, y_{t+1}] + end[y_T]``;
    their likelihood is its exponential, over the sum for all tags.

    Parameters: ``start_transitions`` and ``end_transitions`` ``[num_tags]``, ``transitions``
    ``[num_tags, num_tags]`` (from, to), uniform from -0.1 to 0.1 at first.

    Example:
        >>> crf = lt.nn.CRF(5, batch_first=True)
        >>> emissions, tags = lt.randn(2, 7, 5), lt.randint(0, 5, (2, 7))
        >>> loss = -crf(emissions, tags)
        >>> [len(best) for best in crf.decode(emissions)]
        [7, 7]
    """

    def __init__(
        self, num_tags: int, batch_first: bool = False, device: Any = None, dtype: DType | None = None
    ) -> None:
        super().__init__()
        self.num_tags = size("CRF", "num_tags", num_tags)
        self.batch_first = flag("CRF", "batch_first", batch_first)
        self.start_transitions = parameter((num_tags,), dtype, device)
        self.end_transitions = parameter((num_tags,), dtype, device)
        self.transitions = parameter((num_tags, num_tags), dtype, device)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the scores anew."""
        for scores in (self.start_transitions, self.end_transitions, self.transitions):
            init.uniform_(scores, -0.1, 0.1)

    def extra_repr(self) -> str:
        return f"num_tags={self.num_tags}"

    def forward(
        self, emissions: Tensor, tags: Tensor, mask: Tensor | None = None, reduction: str = "sum"
    ) -> Tensor:
        """The log likelihood of the tags; its negative is the loss.

        Shapes: emissions ``[T, N, num_tags]``, tags and mask ``[T, N]``, or with ``batch_first`` N before T.
        mask: bool or uint8, true up to the end of each sequence. ``reduction``: ``none``, ``sum``, ``mean``
        over the batch, or ``token_mean`` over all that the mask leaves.

        Errors: ShapeError for shapes that differ, ValueError for a mask with holes or an empty sequence,
        IndexError for a tag out of range.
        """
        if reduction not in ("none", "sum", "mean", "token_mean"):
            raise ValueError(
                f"CRF: reduction must be 'none', 'sum', 'mean' or 'token_mean', got {reduction!r}"
            )
        emissions, lengths = self._prepared("CRF", emissions, mask)
        if tensor_of("CRF", tags, "tags").ndim == 2 and self.batch_first:
            tags = ops.transpose(tags, 0, 1)
        found = ops.crf_log_likelihood(
            emissions, self.start_transitions, self.end_transitions, self.transitions, tags, lengths
        )[0]
        if reduction == "none":
            return found
        if reduction == "mean":
            return ops.mean(found)
        total = ops.sum(found)
        return ops.div(total, float(sum(lengths))) if reduction == "token_mean" else total

    def decode(self, emissions: Tensor, mask: Tensor | None = None) -> list[list[int]]:
        """The most probable tags of each sequence, by Viterbi's algorithm; shapes as in ``forward``.

        Errors: those of ``forward``, ValueError for NaN.

        Example:
            >>> crf = lt.nn.CRF(2)
            >>> with lt.no_grad():
            ...     _ = crf.transitions.copy_(lt.tensor([[0.0, -9.0], [-9.0, 0.0]]))  # to change tags costs 9
            >>> emissions = lt.tensor([[[2.0, 0.0]], [[0.0, 1.0]], [[2.0, 0.0]]])
            >>> crf.decode(emissions)
            [[0, 0, 0]]
        """
        return [tags for tags, _ in self.decode_with_scores(emissions, mask)]

    def decode_with_scores(
        self, emissions: Tensor, mask: Tensor | None = None
    ) -> list[tuple[list[int], float]]:
        """As ``decode``, each with the score of its tags.

        Example:
            >>> crf = lt.nn.CRF(2)
            >>> for p in crf.parameters():
            ...     _ = lt.nn.init.zeros_(p)
            >>> crf.decode_with_scores(lt.tensor([[[1.0, 0.0]], [[0.0, 3.0]]]))
            [([0, 1], 4.0)]
        """
        emissions, lengths = self._prepared("CRF.decode", emissions, mask)
        # A comparison with NaN is false, so that the search would go around it and say nothing.
        lost: list[list[bool]] = _core.any(_core.isnan(emissions.detach()), (2,)).tolist()
        for t, row in enumerate(lost):
            for i, nan in enumerate(row):
                if nan and t < lengths[i]:
                    raise ValueError(f"CRF.decode: the emissions of sequence {i} have NaN at time {t}")
        return _core.crf_decode(
            emissions, self.start_transitions, self.end_transitions, self.transitions, lengths
        )

    def _prepared(self, op: str, emissions: Tensor, mask: Tensor | None) -> tuple[Tensor, list[int]]:
        """Emissions with time first, and the length of each sequence."""
        axes = "[N, T, num_tags]" if self.batch_first else "[T, N, num_tags]"
        tensor_of(op, emissions, "emissions")
        if mask is not None:
            tensor_of(op, mask, "mask")
        if emissions.ndim != 3 or emissions.shape[2] != self.num_tags:
            raise ShapeError(
                f"{op}: emissions has shape {list(emissions.shape)}, expected {axes} "
                f"with num_tags={self.num_tags}"
            )
        if mask is not None and mask.shape != emissions.shape[:2]:
            raise ShapeError(
                f"{op}: mask has shape {list(mask.shape)}, expected {list(emissions.shape[:2])} "
                "as the emissions"
            )
        if self.batch_first:
            emissions = ops.transpose(emissions, 0, 1)
            mask = None if mask is None else _core.transpose(mask, 0, 1)
        time, n, _ = emissions.shape
        if mask is None:
            return emissions, [time] * n
        on = _core.ne(mask.detach(), 0)
        counts: list[int] = _core.sum(on, (0,)).tolist()
        inside = _core.lt(
            _core.unsqueeze(_core.arange(0, time, 1, _core.int64), 1),
            _core.from_numbers(tuple(counts), [n], _core.int64),
        )
        wrong: list[bool] = _core.any(_core.ne(on, inside), (0,)).tolist()
        if 0 in counts:
            raise ValueError(
                f"{op}: the mask leaves nothing of sequence {counts.index(0)}; "
                "every sequence needs one element or more"
            )
        if any(wrong):
            raise ValueError(
                f"{op}: the mask of sequence {wrong.index(True)} has a hole; "
                "it must be true from the first element up to the end of the sequence"
            )
        return emissions, counts
