"""Keeping gradients from exploding."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ... import _core
from ..._core import Tensor


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p.grad for p in listed if p.grad is not None]


def _limit(op: str, name: str, value: Any) -> float:
    """Below 0 it would turn gradients round, and NaN would spoil them."""
    if not float(value) >= 0:
        raise ValueError(f"{op}: {name} must be 0 or more, got {value}")
    return float(value)


def _scale_down(grads: list[Tensor], max_norm: float, total: float) -> None:
    # PyTorch's 1e-6; a total that is not a number makes every gradient one.
    factor = max_norm / (total + 1e-6)
    if grads and not factor >= 1.0:
        _core.scale_all(grads, factor)


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all tensors together, as if they were one vector.

    Example:
        >>> lt.nn.utils.get_total_norm([lt.tensor([3.0]), lt.tensor([4.0])])
        tensor(5.)
    """
    listed = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    value = _norm("get_total_norm", listed, norm_type, error_if_nonfinite)
    return _core.full([], value, listed[0].dtype if listed else _core.get_default_dtype())


def _norm(op: str, tensors: list[Tensor], norm_type: Any, error_if_nonfinite: bool) -> float:
    value = _core.grad_norm(tensors, float(norm_type)) if tensors else 0.0
    if error_if_nonfinite and not math.isfinite(value):
        raise RuntimeError(
            f"{op}: the total norm of order {norm_type} is non-finite, so it cannot be clipped; "
            "pass error_if_nonfinite=False to go on regardless"
        )
    return value


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scales all gradients down together, in place, so that their total norm is at most ``max_norm``.

    Returns the total norm before (Pascanu et al. 2013).

    Errors: ValueError for a negative ``max_norm``; RuntimeError for a norm that is not finite, with
    ``error_if_nonfinite``.

    Example:
        >>> p = lt.nn.Parameter(lt.zeros(2))
        >>> p.grad = lt.tensor([3.0, 4.0])
        >>> lt.nn.utils.clip_grad_norm_([p], max_norm=1.0)
        tensor(5.)
        >>> p.grad
        tensor([0.6000, 0.8000])
    """
    limit, grads = _limit("clip_grad_norm_", "max_norm", max_norm), _gradients(parameters)
    total = _norm("clip_grad_norm_", grads, norm_type, error_if_nonfinite)
    _scale_down(grads, limit, total)
    return _core.full([], total, grads[0].dtype if grads else _core.get_default_dtype())


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scales all gradients, in place, by ``max_norm / total_norm`` if that is below 1.

    ``total_norm`` is what ``get_total_norm`` said, so the gradients of several models can share one norm.

    Example:
        >>> p = lt.nn.Parameter(lt.zeros(2))
        >>> p.grad = lt.tensor([3.0, 4.0])
        >>> lt.nn.utils.clip_grads_with_norm_([p], max_norm=1.0, total_norm=lt.tensor(10.0))
        >>> p.grad
        tensor([0.3000, 0.4000])
    """
    limit = _limit("clip_grads_with_norm_", "max_norm", max_norm)
    _scale_down(_gradients(parameters), limit, float(total_norm.item()))


def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Holds every element of every gradient between ``-clip_value`` and ``clip_value``, in place.

    Example:
        >>> p = lt.nn.Parameter(lt.zeros(2))
        >>> p.grad = lt.tensor([3.0, -0.5])
        >>> lt.nn.utils.clip_grad_value_([p], 1.0)
        >>> p.grad
        tensor([ 1.0000, -0.5000])
    """
    limit = _limit("clip_grad_value_", "clip_value", clip_value)
    for g in _gradients(parameters):
        _core.copy_into(g, _core.clamp(g.detach(), -limit, limit))
