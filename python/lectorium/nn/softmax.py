"""Softmax layers and their kin."""

from __future__ import annotations

from .._core import Tensor
from . import functional as F
from .module import Module


class _Soft(Module):
    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_Soft):
    """``exp(x) / sum(exp(x))`` along ``dim``.

    Example:
        >>> lt.nn.Softmax(dim=1)(lt.zeros(1, 2))
        tensor([[0.5000, 0.5000]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, self.dim)


class LogSoftmax(_Soft):
    """The logarithm of softmax along ``dim``.

    Example:
        >>> lt.nn.LogSoftmax(dim=1)(lt.tensor([[0.0, 100.0]]))
        tensor([[-100.,    0.]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, self.dim)


class Softmin(_Soft):
    """``softmax(-x)`` along ``dim``.

    Example:
        >>> lt.nn.Softmin(dim=0)(lt.tensor([0.0, 0.0, 100.0]))
        tensor([0.5000, 0.5000, 0.0000])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softmin(input, self.dim)


class Softmax2d(Module):
    """Softmax over the channels of ``[N, C, H, W]`` or ``[C, H, W]``.

    Errors: ValueError for other numbers of axes.

    Example:
        >>> lt.nn.Softmax2d()(lt.tensor([0.0, 1.0]).reshape(2, 1, 1)).flatten()
        tensor([0.2689, 0.7311])
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.ndim}D instead")
        return F.softmax(input, -3)
