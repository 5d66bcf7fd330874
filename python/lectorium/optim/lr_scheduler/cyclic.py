"""Schedules that go up and down again and again."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

from ..optimizer import Optimizer
from ._momentum import set_momentum, start_momentum, uses_betas
from .base import LRScheduler, check_optimizer, function_state, per_group


class CyclicLR(LRScheduler):
    """Between two learning rates in straight lines, up and down, stepped after every batch.

    ``mode``: "triangular", "triangular2" (half as high each cycle) or "exp_range" (``gamma`` to the number of
    steps as height); ``scale_fn`` of the cycle or of the step (``scale_mode``) instead. The momentum goes the
    other way. Smith, "Cyclical Learning Rates for Training Neural Networks" (2015).

    Example:
        >>> sgd = lt.optim.SGD([lt.zeros(1, requires_grad=True)], lr=0.1, momentum=0.9)
        >>> scheduler = lt.optim.lr_scheduler.CyclicLR(sgd, base_lr=0.0, max_lr=1.0, step_size_up=2)
        >>> sgd.step(); scheduler.step()
        >>> scheduler.get_last_lr()
        [0.5]
    """

    _unsaved = (*LRScheduler._unsaved, "_scale_fn_custom")

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: Literal["cycle", "iterations"] = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer("CyclicLR", optimizer)
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError(f"CyclicLR: mode {mode!r} is invalid and scale_fn is None")
        if step_size_up < 1:
            raise ValueError(f"CyclicLR: step_size_up must be at least 1, got {step_size_up}")
        bases = per_group("CyclicLR", "base_lr", optimizer, base_lr)
        self.max_lrs = per_group("CyclicLR", "max_lr", optimizer, max_lr)
        up = float(step_size_up)
        down = up if step_size_down is None else float(step_size_down)
        self.total_size = up + down
        self.step_ratio = up / self.total_size
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom: Any = scale_fn
        self.scale_mode = scale_mode if scale_fn else "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = uses_betas("CyclicLR", optimizer)
            self.base_momentums = per_group("CyclicLR", "base_momentum", optimizer, base_momentum)
            self.max_momentums = per_group("CyclicLR", "max_momentum", optimizer, max_momentum)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, bases, strict=True):
                group["lr"] = lr
            if cycle_momentum:
                start_momentum("CyclicLR", optimizer, base_momentum, max_momentum, self.use_beta1)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = bases

    def scale_fn(self, x: float) -> float:
        """The height of a cycle as a part of the full one.

        Example:
            >>> sgd = lt.optim.SGD([lt.zeros(1, requires_grad=True)], lr=0.1)
            >>> scheduler = lt.optim.lr_scheduler.CyclicLR(sgd, 0.1, 1.0, mode="triangular2")
            >>> [scheduler.scale_fn(cycle) for cycle in (1, 2, 3)]
            [1.0, 0.5, 0.25]
        """
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "exp_range":
            return self.gamma**x
        return 1 / 2.0 ** (x - 1) if self.mode == "triangular2" else 1.0

    def get_lr(self) -> list[float]:
        self._rates()
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        part = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            limits = zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True)
            for group, low, high in limits:
                set_momentum(group, high - (high - low) * part * scale, self.use_beta1)
        return [
            low + (high - low) * part * scale for low, high in zip(self.base_lrs, self.max_lrs, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        (saved,) = function_state([self._scale_fn_custom])
        return {**super().state_dict(), "_scale_fn_custom": saved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        saved = state_dict.get("_scale_fn_custom")
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_scale_fn_custom"})
        if saved is not None:
            self._scale_fn_custom.__dict__.update(saved)


class CosineAnnealingWarmRestarts(LRScheduler):
    """Down along half a cosine, then back to the initial learning rate at once; again and again.

    The first period takes ``T_0`` epochs, each further one ``T_mult`` times as many. ``step(epoch)`` takes
    fractions too, ``epoch + batch / batches``. Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with
    Warm Restarts" (2016).

    Example:
        >>> sgd = lt.optim.SGD([lt.zeros(1, requires_grad=True)], lr=1.0)
        >>> scheduler = lt.optim.lr_scheduler.CosineAnnealingWarmRestarts(sgd, T_0=2)
        >>> for _ in range(3):
        ...     print(round(scheduler.get_last_lr()[0], 6))
        ...     sgd.step(); scheduler.step()
        1.0
        0.5
        1.0
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        name = type(self).__name__
        if not isinstance(T_0, int) or T_0 <= 0:
            raise ValueError(f"{name}: Expected positive integer T_0, but got {T_0}")
        if not isinstance(T_mult, int) or T_mult < 1:
            raise ValueError(f"{name}: Expected integer T_mult >= 1, but got {T_mult}")
        if not isinstance(eta_min, (float, int)):
            raise ValueError(f"{name}: Expected float or int eta_min, but got {type(eta_min).__name__}")
        self.T_0 = T_0
        self.T_i: float = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._rates()
        height = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return [self.eta_min + (base - self.eta_min) * height / 2 for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Sets the next learning rates, or those of ``epoch`` (a fraction of one too)."""
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            self._place(epoch)
        self.last_epoch = math.floor(epoch)
        self._in_step = True
        try:
            values = self.get_lr()
        finally:
            self._in_step = False
        self._set(values)

    def _place(self, epoch: float) -> None:
        """Finds the period that an epoch lies in."""
        if epoch < 0:
            raise ValueError(f"{type(self).__name__}: Expected non-negative epoch, but got {epoch}")
        if epoch < self.T_0:
            self.T_i, self.T_cur = self.T_0, epoch
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        else:
            n = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult**n - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**n


__all__ = ["CosineAnnealingWarmRestarts", "CyclicLR"]
