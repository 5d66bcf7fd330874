"""Adadelta."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._core import Tensor
from .optimizer import Group, Optimizer, State, count_steps, flags, keep_steps, number, zero_step, zeros_like


class Adadelta(Optimizer):
    """Adadelta: steps in the units of the parameters, from running means of squared gradients and steps.

    Zeiler, "ADADELTA: An Adaptive Learning Rate Method" (2012). ``foreach`` and ``capturable`` are accepted
    for PyTorch's sake: the step is always one fused call.

    Example:
        >>> x = lt.tensor([1.0, -2.0], requires_grad=True)
        >>> adadelta = lt.optim.Adadelta([x])
        >>> (x * x).sum().backward()
        >>> adadelta.step()
        >>> x
        tensor([ 0.9968, -1.9968], requires_grad=True)
    """

    _shaped = ("square_avg", "acc_delta")

    def __init__(
        self,
        params: Any,
        lr: Any = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        flags("Adadelta", differentiable)
        if number("Adadelta", rho, "rho value") > 1.0:
            raise ValueError(f"Adadelta: Invalid rho value: {rho}; expected 0 to 1")
        defaults = {
            "lr": number("Adadelta", lr, "learning rate"),
            "rho": rho,
            "eps": number("Adadelta", eps, "epsilon value"),
            "weight_decay": number("Adadelta", weight_decay, "weight_decay value"),
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _update(self, group: Group, params: list[Tensor], grads: list[Tensor], states: list[State]) -> None:
        for p, s in zip(params, states, strict=True):
            if "square_avg" not in s:
                s["step"], s["square_avg"], s["acc_delta"] = zero_step(), zeros_like(p), zeros_like(p)
        steps = count_steps(states)
        _core.adadelta_step(
            params,
            grads,
            [s["square_avg"] for s in states],
            [s["acc_delta"] for s in states],
            lr=float(group["lr"]),
            rho=group["rho"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
        )
        keep_steps(states, steps)


__all__ = ["Adadelta"]
