"""The base of the learning rate schedules."""

from __future__ import annotations

import copy
import types
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

from ..._checks import is_a
from ..optimizer import Optimizer

_ORDER = (
    "Detected call of `lr_scheduler.step()` before `optimizer.step()`: call `optimizer.step()` first, else "
    "the first value of the learning rate schedule is skipped"
)


def check_optimizer(name: str, optimizer: Any) -> None:
    """TypeError unless ``optimizer`` is one."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{name}: {type(optimizer).__name__} is not an Optimizer")


def per_group(name: str, what: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """One value for each parameter group, from one for all or a list."""
    groups = len(optimizer.param_groups)
    if not is_a(value, list, tuple):
        return [value] * groups
    if len(value) != groups:
        raise ValueError(
            f"{name}: {what} must have the same length as optimizer.param_groups: it has {len(value)} "
            f"values, param_groups has {groups}"
        )
    return list(value)


def function_state(functions: list[Any]) -> list[Any]:
    """What can be saved of functions: the attributes of callable objects, nothing of plain functions."""
    plain = [isinstance(f, types.FunctionType) or not hasattr(f, "__dict__") for f in functions]
    return [None if p else dict(f.__dict__) for p, f in zip(plain, functions, strict=True)]


class LRScheduler:
    """The base class: a subclass defines ``get_lr``, the learning rates at ``last_epoch``.

    Making a schedule sets the optimizer's learning rates to the first ones (``last_epoch=-1``), or goes on
    after ``last_epoch``, which needs ``initial_lr`` in the parameter groups.

    Example:
        >>> class Halves(lt.optim.lr_scheduler.LRScheduler):
        ...     def get_lr(self):
        ...         return [lr / 2**self.last_epoch for lr in self.base_lrs]
        >>> sgd = lt.optim.SGD([lt.zeros(1, requires_grad=True)], lr=0.8)
        >>> scheduler = Halves(sgd)
        >>> sgd.step(); scheduler.step()
        >>> scheduler.get_last_lr()
        [0.4]
    """

    #: Attributes that ``state_dict`` leaves out.
    _unsaved: ClassVar[tuple[str, ...]] = ("optimizer", "_is_initial", "_in_step")
    # True while the schedule is being made: the first learning rates are the optimizer's own.
    _is_initial = False
    _in_step = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        name = type(self).__name__
        check_optimizer(name, optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{name}: param 'initial_lr' is not specified in param_groups[{i}], which "
                    f"last_epoch={last_epoch} needs; load the optimizer's state first, or "
                    "leave last_epoch out to start anew"
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._step_count = 0
        self._last_lr: list[float] = []
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and plain functions; of callable objects, their attributes.

        Example:
            >>> sgd = lt.optim.SGD([lt.zeros(1, requires_grad=True)], lr=0.8)
            >>> state = lt.optim.lr_scheduler.ExponentialLR(sgd, 0.5).state_dict()
            >>> state["gamma"], state["last_epoch"], state["base_lrs"]
            (0.5, 0, [0.8])
        """
        return {k: copy.copy(v) for k, v in self.__dict__.items() if k not in self._unsaved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from what ``state_dict`` returned. The optimizer's own state holds its learning rates.

        Example:
            >>> sgd = lt.optim.SGD([lt.zeros(1, requires_grad=True)], lr=0.8)
            >>> before = lt.optim.lr_scheduler.StepLR(sgd, step_size=2)
            >>> sgd.step(); before.step()
            >>> after = lt.optim.lr_scheduler.StepLR(sgd, step_size=2)
            >>> after.load_state_dict(before.state_dict())
            >>> after.last_epoch
            1
        """
        if not isinstance(state_dict, dict) or "_last_lr" not in state_dict:
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: this is not the state_dict of a schedule"
            )
        self.__dict__.update({k: copy.copy(v) for k, v in state_dict.items()})

    def get_last_lr(self) -> list[float]:
        """The learning rate of each parameter group, as last set.

        Example:
            >>> sgd = lt.optim.SGD([lt.zeros(1, requires_grad=True)], lr=0.8)
            >>> lt.optim.lr_scheduler.ExponentialLR(sgd, 0.5).get_last_lr()
            [0.8]
        """
        return self._last_lr

    def get_lr(self) -> list[float]:
        """The learning rates at ``last_epoch``; to be written by the subclass.

        Example:
            >>> class Rising(lt.optim.lr_scheduler.LRScheduler):
            ...     def get_lr(self):
            ...         return [lr * (1 + self.last_epoch) for lr in self.base_lrs]
            >>> sgd = lt.optim.SGD([lt.zeros(1, requires_grad=True)], lr=2.0)
            >>> scheduler = Rising(sgd)
            >>> sgd.step(); scheduler.step()
            >>> sgd.param_groups[0]["lr"]
            4.0
        """
        raise NotImplementedError(f"{type(self).__name__}: a schedule must define get_lr()")

    def step(self, epoch: int | None = None) -> None:
        """Sets the next learning rates (those of ``epoch``, if given). Call it after the optimizer's step.

        Example:
            >>> sgd = lt.optim.SGD([lt.zeros(1, requires_grad=True)], lr=1.0)
            >>> scheduler = lt.optim.lr_scheduler.StepLR(sgd, step_size=2, gamma=0.5)
            >>> for epoch in range(4):
            ...     print(epoch, sgd.param_groups[0]["lr"])
            ...     sgd.step(); scheduler.step()
            0 1.0
            1 1.0
            2 0.5
            3 0.5
        """
        if self._step_count == 1 and not self.optimizer._opt_called:
            warnings.warn(_ORDER, UserWarning, stacklevel=2)
        self._step_count += 1
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        closed: Callable[[], list[float]] | None = getattr(self, "_get_closed_form_lr", None)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._in_step = True
        try:
            values = self.get_lr() if epoch is None or closed is None else closed()
        finally:
            self._in_step = False
        self._set(values)

    def _set(self, values: list[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, values, strict=True):
            group["lr"] = lr
        self._last_lr = list(values)

    def _rates(self) -> list[float]:
        """The learning rates in force."""
        if not self._in_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use `get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )
        return [group["lr"] for group in self.optimizer.param_groups]


__all__ = ["LRScheduler"]
