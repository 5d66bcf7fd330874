"""The momentum that goes down as the learning rate goes up."""

from __future__ import annotations

from typing import Any

from ..optimizer import Optimizer
from .base import per_group


def uses_betas(name: str, optimizer: Optimizer) -> bool:
    """Whether the momentum is Adam's first beta; ValueError for optimizers with neither."""
    if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
        raise ValueError(
            f"{name}: optimizer must support momentum or beta1 with `cycle_momentum` option enabled; "
            "pass cycle_momentum=False"
        )
    return "betas" in optimizer.defaults


def set_momentum(group: dict[str, Any], value: float, betas: bool) -> None:
    """Sets a group's momentum, or first beta."""
    if betas:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value


def start_momentum(name: str, optimizer: Optimizer, base: Any, top: Any, betas: bool) -> None:
    """Notes the limits in the groups and sets the momentum of the first step, the highest."""
    lows = per_group(name, "base_momentum", optimizer, base)
    highs = per_group(name, "max_momentum", optimizer, top)
    for group, low, high in zip(optimizer.param_groups, lows, highs, strict=True):
        set_momentum(group, high, betas)
        group["max_momentum"], group["base_momentum"] = high, low
