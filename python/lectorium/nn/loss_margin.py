"""Losses that ask for a margin, and those on pairs and triples of vectors, as layers."""

from __future__ import annotations

from collections.abc import Callable

from .._core import Tensor
from . import functional as F
from .loss import _Loss, _WeightedLoss


class _MarginLoss(_Loss):
    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin


class HingeEmbeddingLoss(_MarginLoss):
    """Distances small for targets 1, above the margin for -1; see ``functional.hinge_embedding_loss``.

    Example:
        >>> loss = lt.nn.HingeEmbeddingLoss(margin=2.0)
        >>> loss(lt.tensor([0.5]), lt.tensor([1])), loss(lt.tensor([0.5]), lt.tensor([-1]))
        (tensor(0.5000), tensor(1.5000))
    """

    def __init__(
        self,
        margin: float = 1.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(margin, size_average, reduce, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.hinge_embedding_loss(input, target, self.margin, reduction=self.reduction)


class MarginRankingLoss(_MarginLoss):
    """The first input above the second (target 1) or below (-1); see ``functional.margin_ranking_loss``.

    Example:
        >>> better, worse = lt.tensor([0.75]), lt.tensor([0.5])
        >>> lt.nn.MarginRankingLoss(margin=1.0)(better, worse, lt.tensor([1]))
        tensor(0.7500)
    """

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return F.margin_ranking_loss(input1, input2, target, self.margin, reduction=self.reduction)


class CosineEmbeddingLoss(_MarginLoss):
    """Vectors alike (target 1) or not (-1) by their angle; see ``functional.cosine_embedding_loss``.

    Example:
        >>> a, b = lt.tensor([[1.0, 0.0]]), lt.tensor([[1.0, 1.0]])
        >>> lt.nn.CosineEmbeddingLoss(margin=0.5)(a, b, lt.tensor([-1]))
        tensor(0.2071)
    """

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return F.cosine_embedding_loss(input1, input2, target, self.margin, reduction=self.reduction)


class SoftMarginLoss(_Loss):
    """``log(1 + exp(-target * input))`` for targets 1 and -1; see ``functional.soft_margin_loss``.

    Example:
        >>> lt.nn.SoftMarginLoss()(lt.tensor([2.0, -2.0]), lt.tensor([1.0, -1.0]))
        tensor(0.1269)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """Binary cross entropy of raw scores over classes; see ``functional.multilabel_soft_margin_loss``.

    Example:
        >>> loss = lt.nn.MultiLabelSoftMarginLoss(weight=lt.tensor([1.0, 3.0]))
        >>> loss(lt.zeros(1, 2), lt.tensor([[1.0, 0.0]]))
        tensor(1.3863)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multilabel_soft_margin_loss(input, target, self.weight, reduction=self.reduction)


class MultiMarginLoss(_WeightedLoss):
    """The right class above all others by a margin; see ``functional.multi_margin_loss``.

    Example:
        >>> loss = lt.nn.MultiMarginLoss(p=2)
        >>> loss(lt.tensor([[1.0, 0.5]]), lt.tensor([0]))
        tensor(0.1250)
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        if p not in (1, 2):
            raise ValueError(f"MultiMarginLoss: only p == 1 and p == 2 supported, got {p}")
        self.p = p
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multi_margin_loss(input, target, self.p, self.margin, self.weight, reduction=self.reduction)


class TripletMarginLoss(_Loss):
    """The anchor nearer to the positive than to the negative by a margin (Balntas et al. 2016).

    Example:
        >>> anchor, positive, negative = lt.zeros(1, 2), lt.tensor([[3.0, 4.0]]), lt.tensor([[0.0, 2.0]])
        >>> lt.nn.TripletMarginLoss()(anchor, positive, negative)
        tensor(4.0000)
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        if margin <= 0:
            raise ValueError(f"TripletMarginLoss: expected margin to be greater than 0, got {margin} instead")
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_loss(
            anchor, positive, negative, self.margin, self.p, self.eps, self.swap, reduction=self.reduction
        )


class TripletMarginWithDistanceLoss(_Loss):
    """``TripletMarginLoss`` with a distance of one's own.

    Example:
        >>> blocks = lt.nn.PairwiseDistance(p=1.0)
        >>> loss = lt.nn.TripletMarginWithDistanceLoss(distance_function=blocks, margin=3.0)
        >>> loss(lt.zeros(1, 2), lt.tensor([[1.0, 1.0]]), lt.tensor([[2.0, 2.0]]))
        tensor(1.)
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.distance_function = F.pairwise_distance if distance_function is None else distance_function
        self.margin = margin
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )
