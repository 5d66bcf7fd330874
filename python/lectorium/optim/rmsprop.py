"""RMSprop."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._core import Tensor
from .optimizer import Group, Optimizer, State, count_steps, flags, keep_steps, number, zero_step, zeros_like


class RMSprop(Optimizer):
    """RMSprop: gradients divided by a running root mean square of themselves.

    Hinton, "Neural Networks for Machine Learning", lecture 6 (2012); ``centered`` subtracts the squared mean
    as in Graves, "Generating Sequences With Recurrent Neural Networks" (2013). ``capturable`` and ``foreach``
    are accepted for PyTorch's sake: the step is always one fused call.

    Example:
        >>> x = lt.tensor([1.0, -2.0], requires_grad=True)
        >>> rmsprop = lt.optim.RMSprop([x], lr=0.1)
        >>> (x * x).sum().backward()
        >>> rmsprop.step()
        >>> [round(v, 4) for v in x.tolist()]
        [0.0, -1.0]
    """

    _shaped = ("square_avg", "momentum_buffer", "grad_avg")

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        flags("RMSprop", differentiable)
        defaults = {
            "lr": number("RMSprop", lr, "learning rate"),
            "momentum": number("RMSprop", momentum, "momentum value"),
            "alpha": number("RMSprop", alpha, "alpha value"),
            "eps": number("RMSprop", eps, "epsilon value"),
            "centered": centered,
            "weight_decay": number("RMSprop", weight_decay, "weight_decay value"),
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _update(self, group: Group, params: list[Tensor], grads: list[Tensor], states: list[State]) -> None:
        moving, centered = group["momentum"] > 0, group["centered"]
        for p, s in zip(params, states, strict=True):
            if "square_avg" not in s:
                s["step"], s["square_avg"] = zero_step(), zeros_like(p)
            if moving and "momentum_buffer" not in s:
                s["momentum_buffer"] = zeros_like(p)
            if centered and "grad_avg" not in s:
                s["grad_avg"] = zeros_like(p)
        steps = count_steps(states)
        _core.rmsprop_step(
            params,
            grads,
            [s["square_avg"] for s in states],
            [s["momentum_buffer"] for s in states] if moving else [],
            [s["grad_avg"] for s in states] if centered else [],
            lr=float(group["lr"]),
            alpha=group["alpha"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            centered=centered,
            maximize=group["maximize"],
        )
        keep_steps(states, steps)


__all__ = ["RMSprop"]
