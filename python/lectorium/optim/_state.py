"""Reading an optimizer's state_dict: checked against the parameters, tensors of others converted."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from .. import _core
from .._checks import is_a
from .._core import Tensor


@dataclass
class LoadedState:
    """What ``read_state`` found: options of each group, and the state of each parameter."""

    groups: list[dict[str, Any]]
    state: list[tuple[Any, dict[str, Any]]]


def read_state(
    name: str, state_dict: Any, groups: list[dict[str, Any]], shaped: tuple[str, ...]
) -> LoadedState:
    """Checks a state_dict against an optimizer's groups and copies it."""
    where = f"{name}.load_state_dict"
    if not is_a(state_dict, dict):
        raise TypeError(f"{where}: expected a dict, got {type(state_dict).__name__}")
    missing = [key for key in ("state", "param_groups") if key not in state_dict]
    if missing:
        raise ValueError(f"{where}: {missing[0]!r} is missing; this is not the state_dict of an optimizer")
    saved = state_dict["param_groups"]
    if len(saved) != len(groups):
        raise ValueError(
            f"{where}: loaded state dict has a different number of parameter groups: {len(saved)}, "
            f"the optimizer has {len(groups)}"
        )
    by_number: dict[Any, Tensor] = {}
    for i, (own, other) in enumerate(zip(groups, saved, strict=True)):
        if len(own["params"]) != len(other["params"]):
            raise ValueError(
                f"{where}: loaded state dict contains a parameter group that doesn't match the size of the "
                f"optimizer's: group {i} has {len(other['params'])} parameters, the optimizer's "
                f"{len(own['params'])}"
            )
        by_number.update(zip(other["params"], own["params"], strict=True))
    state: list[tuple[Any, dict[str, Any]]] = []
    for key, entry in state_dict["state"].items():
        p = by_number.get(key)
        if p is None:
            state.append((key, copy.deepcopy(entry)))
            continue
        own_state = {what: _value(where, what, value, p) for what, value in entry.items()}
        for what in shaped:
            value = own_state.get(what)
            if isinstance(value, Tensor) and value.shape != p.shape:
                raise ValueError(
                    f"{where}: {what} of parameter {key} has shape {list(value.shape)}, the parameter has "
                    f"{list(p.shape)}; the state belongs to another model"
                )
        state.append((p, own_state))
    options = [{k: _option(v) for k, v in g.items() if k not in ("params", "param_names")} for g in saved]
    return LoadedState(options, state)


def _option(value: Any) -> Any:
    """An option of a group; a scalar tensor (a learning rate of PyTorch's, say) becomes a number."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    return copy.deepcopy(value)


def _value(where: str, what: str, value: Any, p: Tensor) -> Any:
    if what == "step":
        step = value.item() if hasattr(value, "item") else value
        if isinstance(step, bool) or not isinstance(step, (int, float)):
            raise ValueError(f"{where}: step must be a number, got {type(value).__name__}")
        return _core.full([], float(step), _core.float32)
    tensor = _tensor(value)
    if tensor is None:
        return copy.deepcopy(value)
    if tensor.dtype.is_floating_point:
        tensor = _core.cast(tensor, p.dtype)
    return tensor


def _tensor(value: Any) -> Tensor | None:
    """A row-major copy of a tensor of ours, of PyTorch's or of NumPy's; None for anything else."""
    if isinstance(value, Tensor):
        return _core.clone(value if value.is_cpu else _core.to_cpu(value))
    if not hasattr(value, "__array__"):
        return None
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
    from ..creation import from_numpy

    return _core.clone(from_numpy(value))
