"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._core import Tensor
from .optimizer import Group, Optimizer, State, flags, number, zeros_like


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, Nesterov's momentum, dampening and weight decay.

    ``maximize`` climbs instead. ``foreach`` and ``fused`` are accepted for PyTorch's sake: the step is always
    one fused call. Nesterov's momentum as in Sutskever et al., "On the importance of initialization and
    momentum in deep learning" (2013).

    Example:
        >>> x = lt.tensor([1.0, 2.0], requires_grad=True)
        >>> sgd = lt.optim.SGD([x], lr=0.1)
        >>> (x * x).sum().backward()
        >>> sgd.step()
        >>> x
        tensor([0.8000, 1.6000], requires_grad=True)
    """

    _shaped = ("momentum_buffer",)

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: Any = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        flags("SGD", differentiable)
        if isinstance(dampening, bool) or not isinstance(dampening, (int, float)):
            raise TypeError(f"SGD: dampening must be a number, got {type(dampening).__name__}")
        defaults = {
            "lr": number("SGD", lr, "learning rate"),
            "momentum": number("SGD", momentum, "momentum value"),
            "dampening": dampening,
            "weight_decay": number("SGD", weight_decay, "weight_decay value"),
            "nesterov": nesterov,
            "maximize": maximize,
        }
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(
                "SGD: Nesterov momentum requires a momentum and zero dampening, got "
                f"momentum={momentum}, dampening={dampening}"
            )
        super().__init__(params, defaults)

    def _update(self, group: Group, params: list[Tensor], grads: list[Tensor], states: list[State]) -> None:
        momentum = group["momentum"]
        buffers: list[Tensor | None] = []
        first: list[bool] = []
        if momentum != 0:
            for p, s in zip(params, states, strict=True):
                first.append(s.get("momentum_buffer") is None)
                if first[-1]:
                    s["momentum_buffer"] = zeros_like(p)
                buffers.append(s["momentum_buffer"])
        _core.sgd_step(
            params,
            grads,
            buffers,
            first,
            lr=float(group["lr"]),
            momentum=momentum,
            dampening=group["dampening"],
            weight_decay=group["weight_decay"],
            nesterov=group["nesterov"],
            maximize=group["maximize"],
        )


__all__ = ["SGD"]
