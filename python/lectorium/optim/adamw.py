"""AdamW."""

from __future__ import annotations

from typing import Any

from .adam import Adam


class AdamW(Adam):
    """Adam with the weight decay applied to the parameters themselves, not by way of the gradients.

    Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2017).

    Example:
        >>> x = lt.tensor([1.0], requires_grad=True)
        >>> adamw = lt.optim.AdamW([x], lr=0.1, weight_decay=0.5)
        >>> (0 * x).sum().backward()
        >>> adamw.step()
        >>> x
        tensor([0.9500], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[Any, Any] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            foreach=foreach,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As ``Optimizer.load_state_dict``; the decay stays decoupled, also with the state of an Adam."""
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True


__all__ = ["AdamW"]
