"""Dropout layers: active in training mode only."""

from __future__ import annotations

from .._core import Tensor
from . import functional as F
from .module import Module


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(
                f"{type(self).__name__}: dropout probability has to be between 0 and 1, but got {p}"
            )
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Elements zeroed with probability ``p`` in training, the others scaled up (Srivastava et al. 2014).

    Example:
        >>> lt.nn.Dropout(0.5).eval()(lt.ones(3))
        tensor([1., 1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """Whole channels of ``[N, C, L]`` zeroed with probability ``p`` in training.

    Example:
        >>> drop = lt.nn.Dropout1d(0.5)
        >>> sums = drop(lt.ones(1, 50, 4)).sum(2)
        >>> sums.unique()
        tensor([0., 8.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """Whole channels of ``[N, C, H, W]`` zeroed with probability ``p`` in training (Tompson et al. 2014).

    Example:
        >>> maps = lt.ones(1, 50, 3, 3)
        >>> dropped = lt.nn.Dropout2d(0.25)(maps)
        >>> dropped.amax((2, 3)).equal(dropped.amin((2, 3)))
        True
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """Whole channels of ``[N, C, D, H, W]`` zeroed with probability ``p`` in training.

    Example:
        >>> lt.nn.Dropout3d(1.0)(lt.ones(1, 2, 1, 1, 1)).flatten()
        tensor([0., 0.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Dropout that keeps mean and variance of SELU activations (Klambauer et al. 2017).

    Example:
        >>> drop = lt.nn.AlphaDropout(0.5)
        >>> y = drop(lt.randn(100000))
        >>> abs(round(y.mean().item(), 1)), round(y.var().item(), 1)
        (0.0, 1.0)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.alpha_dropout(input, self.p, self.training, self.inplace)


class FeatureAlphaDropout(_Dropout):
    """``AlphaDropout`` of whole channels of ``[N, C, ...]``.

    Example:
        >>> y = lt.nn.FeatureAlphaDropout(0.5)(lt.ones(1, 100, 2))
        >>> y.unique()
        tensor([-0.7792,  1.6656])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.feature_alpha_dropout(input, self.p, self.training, self.inplace)
