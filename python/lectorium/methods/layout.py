"""Methods for the shape and the memory of a tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import ops
from .._core import Tensor, needs_grad
from ..device import CPU, GPU
from ..functions import pointwise, shape


def contiguous(self: Tensor) -> Tensor:
    """The tensor in row-major memory: itself if it is already.

    Example:
        >>> x = lt.arange(4).reshape(2, 2).T
        >>> x.stride(), x.contiguous().stride()
        ((1, 2), (2, 1))
    """
    return self if self.is_contiguous() else ops.contiguous(self)


def where(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """This tensor where ``condition`` holds, else ``other``.

    Example:
        >>> x = lt.tensor([-1.0, 2.0])
        >>> x.where(x > 0, 0.0)
        tensor([0., 2.])
    """
    return pointwise.where(condition, self, other)


def view_as(self: Tensor, other: Tensor) -> Tensor:
    """``view`` with the shape of ``other``.

    Example:
        >>> lt.arange(4).view_as(lt.zeros(2, 2))
        tensor([[0, 1],
                [2, 3]])
    """
    return ops.view(self, list(other.shape))


def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """``reshape`` with the shape of ``other``.

    Example:
        >>> lt.arange(4).reshape(2, 2).T.reshape_as(lt.zeros(4))
        tensor([0, 2, 1, 3])
    """
    return ops.reshape(self, list(other.shape))


def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """``expand`` with the shape of ``other``.

    Example:
        >>> lt.tensor([[1], [2]]).expand_as(lt.zeros(2, 3))
        tensor([[1, 1, 1],
                [2, 2, 2]])
    """
    return ops.expand(self, list(other.shape))


def is_floating_point(self: Tensor) -> bool:
    """Whether the elements are floats.

    Example:
        >>> lt.ones(1).is_floating_point(), lt.tensor([1]).is_floating_point()
        (True, False)
    """
    return self.dtype.is_floating_point


def is_complex(self: Tensor) -> bool:
    """False: there are no complex tensors here.

    Example:
        >>> lt.ones(1).is_complex()
        False
    """
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
    """``unsqueeze`` in place.

    Example:
        >>> x = lt.zeros(3)
        >>> x.unsqueeze_(0).shape, x.shape
        ((1, 3), (1, 3))
    """
    return _relayout(self, ops.unsqueeze(self, dim))


def squeeze_(self: Tensor, dim: Any = None) -> Tensor:
    """``squeeze`` in place.

    Example:
        >>> x = lt.zeros(1, 3, 1)
        >>> x.squeeze_(0).shape, x.squeeze_().shape
        ((3, 1), (3,))
    """
    return _relayout(self, ops.squeeze(self, dim))


def transpose_(self: Tensor, dim0: int, dim1: int) -> Tensor:
    """``transpose`` in place.

    Example:
        >>> x = lt.tensor([[1, 2, 3]])
        >>> _ = x.transpose_(0, 1)
        >>> x
        tensor([[1],
                [2],
                [3]])
    """
    return _relayout(self, ops.transpose(self, dim0, dim1))


def t_(self: Tensor) -> Tensor:
    """``t`` in place.

    Example:
        >>> x = lt.tensor([[1, 2]])
        >>> _ = x.t_()
        >>> x
        tensor([[1],
                [2]])
    """
    return _relayout(self, shape.t(self))


def _reversed_axes(self: Tensor) -> Tensor:
    """The axes in reverse order, as a view; ``mT`` swaps only the last two.

    Example:
        >>> lt.tensor([[1, 2, 3]]).T
        tensor([[1],
                [2],
                [3]])
    """
    return ops.permute(self, list(range(self.ndim))[::-1])


def _matrix_transposed(self: Tensor) -> Tensor:
    """The last two axes swapped, as a view. Errors: IndexError for fewer than two.

    Example:
        >>> lt.zeros(5, 2, 3).mT.shape, lt.zeros(5, 2, 3).T.shape
        ((5, 3, 2), (3, 2, 5))
    """
    return ops.transpose(self, -1, -2)


def _device(self: Tensor) -> Any:
    """Where the elements are.

    Example:
        >>> lt.zeros(1).device
        device(type='cpu')
    """
    return CPU if self.is_cpu else GPU


def _is_gpu(self: Tensor) -> bool:
    """Whether the elements are on the GPU.

    Example:
        >>> lt.zeros(1).is_gpu
        False
    """
    return not self.is_cpu


def _itemsize(self: Tensor) -> int:
    """The bytes an element takes, as ``element_size()``.

    Example:
        >>> lt.zeros(3, dtype=lt.float64).itemsize
        8
    """
    return self.element_size()


def _nbytes(self: Tensor) -> int:
    """The bytes the elements take: ``itemsize`` times ``numel()``.

    Example:
        >>> lt.zeros(10, 10).nbytes
        400
    """
    return self.element_size() * self.numel()


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
    "T": _reversed_axes,
    "mT": _matrix_transposed,
    "device": _device,
    "is_gpu": _is_gpu,
    "itemsize": _itemsize,
    "nbytes": _nbytes,
}
