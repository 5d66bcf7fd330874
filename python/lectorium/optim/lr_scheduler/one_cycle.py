"""One rise and fall of the learning rate over the whole training."""

from __future__ import annotations

import math
from typing import Any, Literal

from ..optimizer import Optimizer
from ._momentum import set_momentum, start_momentum, uses_betas
from .base import LRScheduler, check_optimizer, per_group


def _whole(what: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ValueError(f"OneCycleLR: Expected positive integer {what}, but got {value}")
    return value


def _cos(start: float, end: float, done: float) -> float:
    return end + (start - end) / 2.0 * (math.cos(math.pi * done) + 1)


def _linear(start: float, end: float, done: float) -> float:
    return (end - start) * done + start


class OneCycleLR(LRScheduler):
    """Up from ``max_lr / div_factor`` to ``max_lr`` and down to almost nothing, stepped after every batch.

    The momentum goes the other way. Give ``total_steps``, or ``epochs`` and ``steps_per_epoch``. Smith and
    Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates" (2017).

    Example:
        >>> sgd = lt.optim.SGD([lt.zeros(1, requires_grad=True)], lr=0.1, momentum=0.9)
        >>> scheduler = lt.optim.lr_scheduler.OneCycleLR(sgd, max_lr=1.0, total_steps=10)
        >>> [round(lr, 6) for lr in scheduler.get_last_lr()]
        [0.04]
        >>> sgd.step(); scheduler.step(); sgd.step(); scheduler.step()
        >>> scheduler.get_last_lr()
        [1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer("OneCycleLR", optimizer)
        if total_steps is not None:
            self.total_steps = _whole("total_steps", total_steps)
        elif epochs is not None and steps_per_epoch is not None:
            self.total_steps = _whole("epochs", epochs) * _whole("steps_per_epoch", steps_per_epoch)
        else:
            raise ValueError("OneCycleLR: You must define either total_steps OR (epochs AND steps_per_epoch)")
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"OneCycleLR: anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        # Each phase: its last step, the learning rates and the momenta it goes between (keys of the groups).
        rise = float(pct_start * self.total_steps) - 1
        end = self.total_steps - 1
        up = ["initial_lr", "max_lr", "max_momentum", "base_momentum"]
        if three_phase:
            down = ["max_lr", "initial_lr", "base_momentum", "max_momentum"]
            out = ["initial_lr", "min_lr", "max_momentum", "max_momentum"]
            turn = float(2 * pct_start * self.total_steps) - 2
            self._phases: list[list[Any]] = [[rise, *up], [turn, *down], [end, *out]]
        else:
            self._phases = [[rise, *up], [end, "max_lr", "min_lr", "base_momentum", "max_momentum"]]
        self._anneal_func_type = anneal_strategy
        tops = per_group("OneCycleLR", "max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, top in zip(optimizer.param_groups, tops, strict=True):
                group["initial_lr"] = top / div_factor
                group["max_lr"] = top
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        self.use_beta1 = cycle_momentum and uses_betas("OneCycleLR", optimizer)
        if cycle_momentum and last_epoch == -1:
            start_momentum("OneCycleLR", optimizer, base_momentum, max_momentum, self.use_beta1)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._rates()
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(
                f"OneCycleLR: Tried to step {step} times. The specified number of total steps is "
                f"{self.total_steps}"
            )
        start = 0.0
        phase = self._phases[-1]
        for phase in self._phases:
            if step <= phase[0]:
                break
            if phase is not self._phases[-1]:
                start = phase[0]
        end, lr0, lr1, momentum0, momentum1 = phase
        # A phase may have no length when there are few steps.
        done = (step - start) / (end - start) if end != start else 1.0
        between = _cos if self._anneal_func_type == "cos" else _linear
        if self.cycle_momentum:
            for group in self.optimizer.param_groups:
                set_momentum(group, between(group[momentum0], group[momentum1], done), self.use_beta1)
        return [between(group[lr0], group[lr1], done) for group in self.optimizer.param_groups]


__all__ = ["OneCycleLR"]
