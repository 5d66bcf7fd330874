"""Dropout, drawn from the default generator."""

from __future__ import annotations

import math

from ... import _core, ops
from ..._core import Tensor
from ...random import default_generator
from ._shared import ShapeError, in_place, tensor_of


def _check(op: str, input: Tensor, p: float) -> None:
    tensor_of(op, input)
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{op}: dropout probability has to be between 0 and 1, but got {p}")


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Elements zeroed with probability ``p``, the others scaled by ``1 / (1 - p)`` (Srivastava et al. 2014).

    Example:
        >>> y = lt.nn.functional.dropout(lt.ones(1000), 0.5)
        >>> sorted(set(y.tolist()))
        [0.0, 2.0]
    """
    _check("dropout", input, p)
    if not training or p == 0.0 or input.numel() == 0:
        return input
    seed, offset = default_generator._reserve_dropout(input.numel())
    if inplace:
        return in_place(ops.dropout, input, float(p), seed, offset)
    return ops.dropout(input, float(p), seed, offset)


def _drop_planes(input: Tensor, p: float, inplace: bool) -> Tensor:
    """One draw for each channel of each sample."""
    shape = [*input.shape[:2], *[1] * (input.ndim - 2)]
    seed, offset = default_generator._reserve_dropout(math.prod(shape))
    mask = _core.dropout(_core.full(shape, 1.0, input.dtype), float(p), seed, offset)[0]
    return in_place(ops.mul, input, mask) if inplace else ops.mul(input, mask)


def _channels(
    op: str, input: Tensor, p: float, training: bool, inplace: bool, axes: tuple[int, ...]
) -> Tensor:
    _check(op, input, p)
    if input.ndim not in axes:
        raise ShapeError(
            f"{op}: expected an input of {' or '.join(map(str, axes))} axes, got shape {list(input.shape)}"
        )
    if not training or p == 0.0 or input.numel() == 0:
        return input
    return _drop_planes(input, p, inplace)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Whole channels of ``[N, C, L]`` (or ``[C, L]``) zeroed with probability ``p``.

    Errors: ValueError for ``p`` outside 0 to 1, ShapeError for other shapes.

    Example:
        >>> _ = lt.manual_seed(0)
        >>> lt.nn.functional.dropout1d(lt.ones(1, 3, 4))
        tensor([[[0., 0., 0., 0.],
                 [2., 2., 2., 2.],
                 [0., 0., 0., 0.]]])
    """
    if tensor_of("dropout1d", input).ndim == 2 and training:
        out = _channels("dropout1d", ops.unsqueeze(input, 0), p, training, inplace, (3,))
        return input if inplace else ops.squeeze(out, (0,))
    return _channels("dropout1d", input, p, training, inplace, (2, 3))


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Whole channels of ``[N, C, H, W]`` zeroed with probability ``p`` (Tompson et al. 2014).

    Three axes are read as ``[N, C, L]``, as PyTorch does.

    Example:
        >>> y = lt.nn.functional.dropout2d(lt.ones(1, 100, 2, 2))
        >>> bool((y[0, :, 0, 0] == y[0, :, 1, 1]).all())
        True
    """
    return _channels("dropout2d", input, p, training, inplace, (2, 3, 4))


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Whole channels of ``[N, C, D, H, W]`` zeroed with probability ``p``.

    Example:
        >>> y = lt.nn.functional.dropout3d(lt.ones(1, 100, 2, 2, 2), p=0.5)
        >>> y.sum((2, 3, 4)).unique()
        tensor([ 0., 16.])
    """
    return _channels("dropout3d", input, p, training, inplace, (4, 5))


# The value that SELU goes to at minus infinity.
_SELU_FLOOR = -1.7580993408473766


def _alpha(op: str, input: Tensor, p: float, training: bool, inplace: bool, shape: list[int]) -> Tensor:
    _check(op, input, p)
    if not training or p == 0.0 or input.numel() == 0:
        return input
    if p == 1.0:
        return in_place(ops.mul, input, 0.0) if inplace else ops.mul(input, 0.0)
    seed, offset = default_generator._reserve_dropout(math.prod(shape))
    kept = _core.dropout(_core.full(shape, 1.0 - p, input.dtype), float(p), seed, offset)[0]
    a = 1.0 / math.sqrt((_SELU_FLOOR * _SELU_FLOOR * p + 1.0) * (1.0 - p))
    shift = _core.add(_core.mul(_core.sub(1.0, kept), _SELU_FLOOR * a), -_SELU_FLOOR * a * p)
    scale = _core.mul(kept, a)

    def alpha_dropout_(x: Tensor) -> Tensor:
        return ops.add(ops.mul(x, scale), shift)

    return in_place(alpha_dropout_, input) if inplace else alpha_dropout_(input)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout that keeps mean and variance of SELU activations (Klambauer et al. 2017).

    Errors: ValueError for ``p`` outside 0 to 1.

    Example:
        >>> x = lt.nn.functional.selu(lt.randn(100000))
        >>> y = lt.nn.functional.alpha_dropout(x, 0.2, training=True)
        >>> abs(round(y.mean().item(), 1)), round(y.std().item(), 1)
        (0.0, 1.0)
    """
    shape = list(tensor_of("alpha_dropout", input).shape)
    return _alpha("alpha_dropout", input, p, training, inplace, shape)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """``alpha_dropout`` of whole channels of ``[N, C, ...]``.

    Example:
        >>> _ = lt.manual_seed(0)
        >>> lt.nn.functional.feature_alpha_dropout(lt.ones(1, 3, 2), 0.5, training=True)
        tensor([[[-0.7792, -0.7792],
                 [ 1.6656,  1.6656],
                 [-0.7792, -0.7792]]])
    """
    axes = tensor_of("feature_alpha_dropout", input).ndim
    shape = [*input.shape[:2], *[1] * (axes - 2)]
    return _alpha("feature_alpha_dropout", input, p, training, inplace, shape)
