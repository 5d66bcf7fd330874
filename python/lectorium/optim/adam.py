"""Adam."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._core import Tensor
from .optimizer import Group, Optimizer, State, count_steps, flags, keep_steps, number, zero_step, zeros_like


class Adam(Optimizer):
    """Adam: steps scaled by running means of the gradient and of its square.

    Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2014); ``amsgrad`` as in Reddi et al., "On
    the Convergence of Adam and Beyond" (2018). ``decoupled_weight_decay`` makes it ``AdamW``. ``foreach``,
    ``fused`` and ``capturable`` are accepted for PyTorch's sake: the step is always one fused call.

    Example:
        >>> x = lt.tensor([1.0, -2.0], requires_grad=True)
        >>> adam = lt.optim.Adam([x], lr=0.1)
        >>> (x * x).sum().backward()
        >>> adam.step()
        >>> x
        tensor([ 0.9000, -1.9000], requires_grad=True)
    """

    _shaped = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[Any, Any] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        name = type(self).__name__
        flags(name, differentiable)
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ValueError(f"{name}: betas must be two numbers, got {betas!r}")
        defaults = {
            "lr": number(name, lr, "learning rate"),
            "betas": tuple(
                number(name, b, f"beta parameter at index {i}", below=1.0) for i, b in enumerate(betas)
            ),
            "eps": number(name, eps, "epsilon value"),
            "weight_decay": number(name, weight_decay, "weight_decay value"),
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _update(self, group: Group, params: list[Tensor], grads: list[Tensor], states: list[State]) -> None:
        amsgrad = group["amsgrad"]
        for p, s in zip(params, states, strict=True):
            if "exp_avg" not in s:
                s["step"], s["exp_avg"], s["exp_avg_sq"] = zero_step(), zeros_like(p), zeros_like(p)
            if amsgrad and "max_exp_avg_sq" not in s:
                s["max_exp_avg_sq"] = zeros_like(p)
        steps = count_steps(states)
        beta1, beta2 = group["betas"]
        _core.adam_step(
            params,
            grads,
            [s["exp_avg"] for s in states],
            [s["exp_avg_sq"] for s in states],
            [s["max_exp_avg_sq"] if amsgrad else None for s in states],
            steps,
            lr=float(group["lr"]),
            beta1=beta1,
            beta2=beta2,
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            decoupled=group["decoupled_weight_decay"],
            amsgrad=amsgrad,
            maximize=group["maximize"],
        )
        keep_steps(states, steps)


__all__ = ["Adam"]
