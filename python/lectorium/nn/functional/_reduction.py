"""How the losses of samples become one number."""

from __future__ import annotations

import warnings

from ... import ops
from ..._core import Tensor
from ._shared import ShapeError


def legacy(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """PyTorch's old pair of flags, where given, as a reduction."""
    if size_average is None and reduce is None:
        return reduction
    average = size_average is None or size_average
    chosen = "none" if reduce is not None and not reduce else ("mean" if average else "sum")
    warnings.warn(f"size_average and reduce are deprecated; use reduction='{chosen}' instead", stacklevel=3)
    return chosen


def reduced(op: str, losses: Tensor, reduction: str) -> Tensor:
    """The losses as they are, their mean or their sum."""
    if reduction == "mean":
        return ops.mean(losses)
    if reduction == "sum":
        return ops.sum(losses)
    if reduction == "none":
        return losses
    raise ValueError(f"{op}: reduction must be 'none', 'mean' or 'sum', got {reduction!r}")


def compared(op: str, input: Tensor, target: Tensor) -> None:
    """Warns where tensors that should match are only broadcast: mostly a bug, as [N] against [N, 1]."""
    for name, t in (("input", input), ("target", target)):
        if not isinstance(t, Tensor):
            raise TypeError(f"{op}: {name} must be a Tensor, got {type(t).__name__}")
    if input.shape != target.shape:
        warnings.warn(
            f"{op}: using a target size {list(target.shape)} that is different to the input size "
            f"{list(input.shape)}; this will likely lead to incorrect results due to broadcasting",
            stacklevel=3,
        )


def same_shape(op: str, input: Tensor, target: Tensor) -> None:
    """Refuses shapes that differ."""
    for name, t in (("input", input), ("target", target)):
        if not isinstance(t, Tensor):
            raise TypeError(f"{op}: {name} must be a Tensor, got {type(t).__name__}")
    if input.shape != target.shape:
        raise ShapeError(
            f"{op}: target has shape {list(target.shape)}, expected the input's {list(input.shape)}"
        )
