"""Similarities and distances as layers."""

from __future__ import annotations

from .._core import Tensor
from . import functional as F
from .module import Module


class CosineSimilarity(Module):
    """The cosine of the angle between vectors along ``dim``.

    Example:
        >>> a, b = lt.tensor([[1.0, 0.0], [1.0, 0.0]]), lt.tensor([[3.0, 4.0], [-2.0, 0.0]])
        >>> lt.nn.CosineSimilarity()(a, b)
        tensor([ 0.6000, -1.0000])
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The ``p``-norm of the difference along the last axis.

    ``eps`` is added to each difference.

    Example:
        >>> a, b = lt.zeros(2, 2), lt.tensor([[3.0, 4.0], [0.0, 1.0]])
        >>> lt.nn.PairwiseDistance(eps=0.0)(a, b), lt.nn.PairwiseDistance(p=1.0, eps=0.0)(a, b)
        (tensor([5., 1.]), tensor([7., 1.]))
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
