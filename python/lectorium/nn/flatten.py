"""Layers that only change shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import ops
from .._core import Tensor
from .functional._shared import ShapeError, axis_of
from .module import Module


class Flatten(Module):
    """The axes from ``start_dim`` to ``end_dim`` as one.

    Example:
        >>> lt.nn.Flatten()(lt.randn(32, 1, 5, 5)).shape
        (32, 25)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        n = input.ndim
        if n == 0:
            return ops.reshape(input, [1])
        first, last = axis_of("flatten", self.start_dim, n), axis_of("flatten", self.end_dim, n)
        if first > last:
            raise ShapeError(
                f"flatten: start_dim must not come after end_dim, got {self.start_dim} and {self.end_dim} "
                f"for an input of shape {list(input.shape)}"
            )
        merged = 1
        for d in input.shape[first : last + 1]:
            merged *= d
        return ops.reshape(input, [*input.shape[:first], merged, *input.shape[last + 1 :]])

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """One axis as several.

    Example:
        >>> lt.nn.Unflatten(1, (2, 5, 5))(lt.randn(2, 50)).shape
        (2, 2, 5, 5)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        if isinstance(dim, bool) or not isinstance(dim, int):
            raise TypeError(f"Unflatten: dim must be an int, got {type(dim).__name__}")
        if not isinstance(unflattened_size, (tuple, list)) or not all(
            isinstance(s, int) for s in unflattened_size
        ):
            raise TypeError(f"Unflatten: unflattened_size must be a tuple of ints, got {unflattened_size!r}")
        self.dim = dim
        self.unflattened_size: Any = unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        axis = axis_of("unflatten", self.dim, input.ndim)
        sizes = list(self.unflattened_size)
        known = 1
        for s in sizes:
            known *= s if s != -1 else 1
        if sizes.count(-1) == 1 and known and input.shape[axis] % known == 0:
            sizes[sizes.index(-1)] = input.shape[axis] // known
            known = input.shape[axis]
        if known != input.shape[axis] or -1 in sizes:
            raise ShapeError(
                f"unflatten: sizes {list(self.unflattened_size)} "
                f"do not multiply to axis {axis} of size {input.shape[axis]}"
            )
        return ops.reshape(input, [*input.shape[:axis], *sizes, *input.shape[axis + 1 :]])

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
