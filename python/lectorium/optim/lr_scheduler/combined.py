"""Schedules made of schedules: one after the other, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from ..optimizer import Optimizer
from .base import LRScheduler
from .plateau import plain


class _Combined(LRScheduler):
    _unsaved = (*LRScheduler._unsaved, "_schedulers")
    _schedulers: list[LRScheduler]

    def _check(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer) -> None:
        name = type(self).__name__
        for i, s in enumerate(schedulers):
            if not hasattr(s, "optimizer"):
                raise TypeError(f"{name}: number {i} is a {type(s).__name__}, not a schedule")
            if s.optimizer is not optimizer:
                raise ValueError(
                    f"{name}: all schedules must belong to the same optimizer; number {i} has another"
                )
        plain(name, schedulers)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        states = state_dict.get("_schedulers", [])
        if len(states) != len(self._schedulers):
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: the state is of {len(states)} schedules, "
                f"this one has {len(self._schedulers)}"
            )
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_schedulers"})
        for s, state in zip(self._schedulers, states, strict=True):
            s.load_state_dict(state)


class SequentialLR(_Combined):
    """One schedule after the other; the next one begins at each of the ``milestones``.

    Example:
        >>> sgd = lt.optim.SGD([lt.zeros(1, requires_grad=True)], lr=1.0)
        >>> warm_up = lt.optim.lr_scheduler.LinearLR(sgd, start_factor=0.5, total_iters=2)
        >>> then = lt.optim.lr_scheduler.ExponentialLR(sgd, gamma=0.9)
        >>> scheduler = lt.optim.lr_scheduler.SequentialLR(sgd, [warm_up, then], milestones=[2])
        >>> for _ in range(4):
        ...     print(scheduler.get_last_lr())
        ...     sgd.step(); scheduler.step()
        [0.5]
        [0.75]
        [1.0]
        [0.9]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1
    ) -> None:
        if len(schedulers) < 1:
            raise ValueError("SequentialLR: expects at least one scheduler, but got no scheduler")
        self._check(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: expects one milestone less than schedules, got {len(schedulers)} schedules "
                f"and {len(milestones)} milestones"
            )
        self._schedulers = schedulers
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        # The schedules have each taken their first step: back to the start, then only the first one's.
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self._undo(self)
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def _undo(self, scheduler: LRScheduler) -> None:
        if isinstance(scheduler, _Combined):
            for s in scheduler._schedulers:
                self._undo(s)
        else:
            scheduler.last_epoch -= 1

    def _initial_step(self) -> None:
        # Within another SequentialLR: the first schedule begins.
        self._schedulers[0]._initial_step()
        self._last_lr = self._schedulers[0].get_last_lr()

    def _update_lr(self, epoch: int | None = None) -> None:
        # As a later part of another SequentialLR.
        self.last_epoch = 0
        self._schedulers[0]._update_lr(epoch)
        self._last_lr = self._schedulers[0].get_last_lr()

    def step(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Sets the next learning rates."""
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        current = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            current._update_lr(0)
        else:
            current.step()
        self._last_lr = current.get_last_lr()


class ChainedScheduler(_Combined):
    """Several schedules at once: each multiplies what the others make.

    Example:
        >>> sgd = lt.optim.SGD([lt.zeros(1, requires_grad=True)], lr=1.0)
        >>> one = lt.optim.lr_scheduler.ConstantLR(sgd, factor=0.5, total_iters=4)
        >>> two = lt.optim.lr_scheduler.ExponentialLR(sgd, gamma=0.5)
        >>> scheduler = lt.optim.lr_scheduler.ChainedScheduler([one, two], sgd)
        >>> sgd.step(); scheduler.step()
        >>> scheduler.get_last_lr()
        [0.25]
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        if len(schedulers) < 1:
            raise ValueError(
                "ChainedScheduler: expects at least one scheduler to be chained, but got no scheduler"
            )
        optimizer = optimizer or schedulers[0].optimizer
        self._check(schedulers, optimizer)
        self._schedulers = list(schedulers)
        self.optimizer = optimizer
        self._last_lr = [group["lr"] for group in optimizer.param_groups]

    def _initial_step(self) -> None:
        # As the first part of a SequentialLR.
        for s in self._schedulers:
            s._initial_step()
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _update_lr(self, epoch: int | None = None) -> None:
        # As a later part of a SequentialLR.
        for s in self._schedulers:
            s._update_lr(epoch)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def step(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Steps every schedule."""
        for s in self._schedulers:
            s.step()
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


__all__ = ["ChainedScheduler", "SequentialLR"]
