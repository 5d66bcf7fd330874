"""Adagrad."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._core import Tensor
from .optimizer import Group, Optimizer, State, count_steps, flags, keep_steps, number, zero_step


class Adagrad(Optimizer):
    """Adagrad: gradients divided by the root of the sum of all their squares so far.

    Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization"
    (2011). ``foreach`` and ``fused`` are accepted for PyTorch's sake: the step is always one fused call.

    Example:
        >>> x = lt.tensor([1.0, -2.0], requires_grad=True)
        >>> adagrad = lt.optim.Adagrad([x], lr=0.1)
        >>> (x * x).sum().backward()
        >>> adagrad.step()
        >>> x
        tensor([ 0.9000, -1.9000], requires_grad=True)
    """

    _shaped = ("sum",)

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        flags("Adagrad", differentiable)
        start = number("Adagrad", initial_accumulator_value, "initial_accumulator_value value")
        defaults = {
            "lr": number("Adagrad", lr, "learning rate"),
            "lr_decay": number("Adagrad", lr_decay, "lr_decay value"),
            "eps": number("Adagrad", eps, "epsilon value"),
            "weight_decay": number("Adagrad", weight_decay, "weight_decay value"),
            "initial_accumulator_value": start,
            "maximize": maximize,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                self._start(p, self.state[p])

    def _start(self, p: Tensor, state: State) -> None:
        state["step"] = zero_step()
        state["sum"] = _core.full(list(p.shape), self.defaults["initial_accumulator_value"], p.dtype)

    def _update(self, group: Group, params: list[Tensor], grads: list[Tensor], states: list[State]) -> None:
        for p, s in zip(params, states, strict=True):
            if "sum" not in s:
                self._start(p, s)
        steps = count_steps(states)
        _core.adagrad_step(
            params,
            grads,
            [s["sum"] for s in states],
            steps,
            lr=float(group["lr"]),
            lr_decay=group["lr_decay"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=group["maximize"],
        )
        keep_steps(states, steps)


__all__ = ["Adagrad"]
