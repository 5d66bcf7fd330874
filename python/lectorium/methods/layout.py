"""Methods for the shape and the memory of a tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import ops
from .._core import Tensor, needs_grad
from ..device import CPU, GPU
from ..functions import pointwise, shape


def contiguous(self: Tensor) -> Tensor:
    """The tensor in row-major memory: itself if it is already."""
    return self if self.is_contiguous() else ops.contiguous(self)


def where(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """This tensor where ``condition`` holds, else ``other``."""
    return pointwise.where(condition, self, other)


def view_as(self: Tensor, other: Tensor) -> Tensor:
    """``view`` with the shape of ``other``."""
    return ops.view(self, list(other.shape))


def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """``reshape`` with the shape of ``other``."""
    return ops.reshape(self, list(other.shape))


def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """``expand`` with the shape of ``other``."""
    return ops.expand(self, list(other.shape))


def is_floating_point(self: Tensor) -> bool:
    """Whether the elements are floats."""
    return self.dtype.is_floating_point


def is_complex(self: Tensor) -> bool:
    """False: there are no complex tensors here."""
    return False


def _relayout(self: Tensor, made: Tensor) -> Tensor:
    """Makes the tensor the view that ``made`` is of it."""
    if self.requires_grad and self.is_leaf and needs_grad((self,)):
        raise RuntimeError("a leaf tensor that requires gradients cannot change its shape in place")
    node, nr = made._node, made.output_nr
    self._set_data(made.detach())
    if node is not None:
        self._rebase(node, nr)
    return self


def unsqueeze_(self: Tensor, dim: int) -> Tensor:
    """``unsqueeze`` in place."""
    return _relayout(self, ops.unsqueeze(self, dim))


def squeeze_(self: Tensor, dim: Any = None) -> Tensor:
    """``squeeze`` in place."""
    return _relayout(self, ops.squeeze(self, dim))


def transpose_(self: Tensor, dim0: int, dim1: int) -> Tensor:
    """``transpose`` in place."""
    return _relayout(self, ops.transpose(self, dim0, dim1))


def t_(self: Tensor) -> Tensor:
    """``t`` in place."""
    return _relayout(self, shape.t(self))


METHODS = (
    contiguous,
    where,
    view_as,
    reshape_as,
    expand_as,
    is_floating_point,
    is_complex,
    unsqueeze_,
    squeeze_,
    transpose_,
    t_,
)
PROPERTIES: dict[str, Callable[[Tensor], Any]] = {
    "T": lambda self: ops.permute(self, list(range(self.ndim))[::-1]),
    "mT": lambda self: ops.transpose(self, -1, -2),
    "device": lambda self: CPU if self.is_cpu else GPU,
    "is_gpu": lambda self: not self.is_cpu,
    "itemsize": lambda self: self.element_size(),
    "nbytes": lambda self: self.element_size() * self.numel(),
}
