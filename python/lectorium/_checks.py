"""Looking at values whose type nothing vouches for."""

from __future__ import annotations

from typing import Any

from ._core import Tensor


def is_a(value: Any, *kinds: type) -> bool:
    """``isinstance`` that leaves the static type alone: what comes from outside stays ``Any``."""
    return isinstance(value, kinds)


def tensor_of(op: str, value: Any, name: str = "input") -> Tensor:
    """The value, if it is a tensor."""
    if not isinstance(value, Tensor):
        hint = (
            "; convert it with lectorium.from_numpy(array)" if hasattr(value, "__array_interface__") else ""
        )
        raise TypeError(f"{op}: {name} must be a Tensor, got {type(value).__name__}{hint}")
    return value
