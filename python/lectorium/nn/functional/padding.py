"""Padding in PyTorch's argument order: the last axis first."""

from __future__ import annotations

from collections.abc import Sequence

from ... import ops
from ..._core import Tensor
from ._shared import ShapeError, tensor_of


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """The last axes grown (or, where negative, cropped): ``pad = (left, right, top, bottom, …)``.

    ``mode``: ``'constant'`` (filled with ``value``, 0 if left out), ``'reflect'`` (mirrored, the edge not
    repeated), ``'replicate'`` (the edge repeated) or ``'circular'`` (from the other end).

    Errors: ShapeError for more padding than axes, or more reflection than there is to mirror.

    Example:
        >>> lt.nn.functional.pad(lt.tensor([[1.0, 2.0]]), (1, 2))
        tensor([[0., 1., 2., 0., 0.]])
    """
    x = tensor_of("pad", input)
    pads = list(pad)
    if not all(isinstance(p, int) for p in pads):
        raise TypeError(f"pad: expected ints, got {pads}")
    if len(pads) % 2 or len(pads) // 2 > x.ndim:
        raise ShapeError(
            f"pad: expected two numbers an axis, for at most {x.ndim} axes, last axis first; "
            f"got {len(pads)} numbers for an input of shape {list(x.shape)}"
        )
    if mode == "constant":
        by_axis = [(0, 0)] * (x.ndim - len(pads) // 2)
        by_axis += [(pads[i], pads[i + 1]) for i in range(len(pads) - 2, -1, -2)]
        return ops.pad_constant(x, by_axis, 0 if value is None else value)
    if mode not in ("reflect", "replicate", "circular"):
        raise ValueError(f"pad: mode must be 'constant', 'reflect', 'replicate' or 'circular', got {mode!r}")
    if value is not None and value != 0:
        raise ValueError(f"pad: mode {mode!r} does not take a value, got {value}")
    return ops.pad_index(x, pads, mode) if pads else x
