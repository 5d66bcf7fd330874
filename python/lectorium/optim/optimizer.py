"""The base of all optimizers: parameter groups, state, hooks and the step around the fused kernels."""

from __future__ import annotations

import copy
import functools
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from .. import _core
from .._checks import is_a
from .._core import Tensor
from .._handles import HookDict, RemovableHandle
from ..autograd import enable_grad
from ._state import LoadedState, read_state

Group = dict[str, Any]
State = dict[str, Any]


def number(name: str, value: Any, what: str, *, below: float = float("inf")) -> float:
    """An option of an optimizer as a Python number from 0 to below (or at) a limit."""
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise ValueError(f"{name}: Tensor {what} must be 1-element, got shape {list(value.shape)}")
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: {what} must be a number, got {type(value).__name__}")
    # Written so that NaN fails too.
    if not (value >= 0.0 and (value < below or below == float("inf"))):
        limit = "at least 0" if below == float("inf") else f"at least 0 and below {below:g}"
        raise ValueError(f"{name}: Invalid {what}: {value}; expected {limit}")
    return value


def flags(name: str, differentiable: bool) -> None:
    """PyTorch's choices of implementation are accepted; the one that changes the result is not."""
    if differentiable:
        raise ValueError(
            f"{name}: differentiable=True is not supported: the step is not recorded for backward"
        )


def count_steps(states: list[State]) -> list[float]:
    """The number of the step to be taken, for each parameter (from 1)."""
    return [s["step"].item() + 1.0 for s in states]


def keep_steps(states: list[State], steps: list[float]) -> None:
    """Notes that the steps were taken."""
    for s, step in zip(states, steps, strict=True):
        _core.fill_into(s["step"], step)


def zeros_like(p: Tensor) -> Tensor:
    """State in the shape of a parameter, row-major whatever the parameter's strides are."""
    return _core.zeros(list(p.shape), p.dtype)


def zero_step() -> Tensor:
    """PyTorch's step counter: a float32 scalar."""
    return _core.zeros([], _core.float32)


def _with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """``step`` with the hooks around it; an override that calls ``super().step()`` runs them once."""

    @functools.wraps(step)
    def wrapped(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if self._stepping:
            return step(self, *args, **kwargs)
        self._stepping = True
        try:
            for hook in list(self._hooks_before.values()):
                changed = hook(self, args, kwargs)
                if changed is not None:
                    if not (is_a(changed, tuple) and len(changed) == 2):
                        raise RuntimeError(
                            f"{type(self).__name__}.step: a pre hook must return None or (args, kwargs), "
                            f"got {type(changed).__name__}"
                        )
                    args, kwargs = changed
            self._opt_called = True
            result = step(self, *args, **kwargs)
            for hook in list(self._hooks_after.values()):
                hook(self, args, kwargs)
        finally:
            self._stepping = False
        return result

    return wrapped


class Optimizer:
    """The base class: holds ``param_groups`` and ``state``; subclasses define how a group is updated.

    ``params``: tensors, ``(name, tensor)`` pairs, or dicts ``{"params": …, "lr": …}`` with options of a
    group's own. A parameter listed twice in one group is updated once; one in two groups is a ValueError.
    Parameters without ``.grad`` are left alone by ``step``. An optimizer of one's own overrides ``step``.

    Example:
        >>> class SignSGD(lt.optim.Optimizer):
        ...     def __init__(self, params, lr=0.1):
        ...         super().__init__(params, {"lr": lr})
        ...     def step(self):
        ...         with lt.no_grad():
        ...             for group in self.param_groups:
        ...                 for p in group["params"]:
        ...                     p -= group["lr"] * p.grad.sign()
        >>> x = lt.tensor([1.0, -1.0], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> SignSGD([x]).step()
        >>> x
        tensor([ 0.9000, -0.9000], requires_grad=True)
    """

    #: State tensors of the parameter's shape; ``load_state_dict`` checks them.
    _shaped: ClassVar[tuple[str, ...]] = ()
    _stepping = False
    _opt_called = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _with_hooks(cls.__dict__["step"])

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        name = type(self).__name__
        if isinstance(params, (Tensor, str, bytes)) or not is_a(params, Iterable):
            hint = "; put the tensor in a list" if isinstance(params, Tensor) else ""
            raise TypeError(
                f"{name}: params must be an iterable of tensors or dicts, got {type(params).__name__}{hint}"
            )
        if isinstance(params, dict):
            raise TypeError(
                f"{name}: params must be an iterable of tensors or dicts, got a dict; put it in a list"
            )
        self.defaults = defaults
        self.state: defaultdict[Any, State] = defaultdict(dict)
        self.param_groups: list[Group] = []
        self._hooks_before, self._hooks_after = HookDict(), HookDict()
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError(f"{name}: optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._hooks_before, self._hooks_after = HookDict(), HookDict()

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])

    def add_param_group(self, param_group: Group) -> None:
        """Adds parameters with options of their own: ``{"params": …, "lr": …}``.

        Example:
            >>> a, b = lt.zeros(1, requires_grad=True), lt.zeros(1, requires_grad=True)
            >>> sgd = lt.optim.SGD([a], lr=0.1)
            >>> sgd.add_param_group({"params": [b], "lr": 0.01})
            >>> [g["lr"] for g in sgd.param_groups]
            [0.1, 0.01]
        """
        name = type(self).__name__
        if not isinstance(param_group, dict):
            raise TypeError(f"{name}: param_group must be a dict, got {type(param_group).__name__}")
        if "params" not in param_group:
            raise ValueError(f"{name}: a parameter group needs the key 'params', got {sorted(param_group)}")
        params = param_group["params"]
        if isinstance(params, (set, frozenset)):
            raise TypeError(f"{name}: parameters in a set have no order, which saved state needs; use a list")
        listed = [params] if isinstance(params, Tensor) else list(params)
        names = [p[0] for p in listed if is_a(p, tuple) and len(p) == 2 and isinstance(p[0], str)]
        if names and len(names) != len(listed):
            raise ValueError(f"{name}: all parameters must be given with names, or none")
        tensors = [p[1] for p in listed] if names else listed
        for i, p in enumerate(tensors):
            _check_parameter(name, i, p)
        if any(("param_names" in group) != bool(names) for group in self.param_groups):
            raise ValueError(f"{name}: all parameter groups must come with names, or none")
        taken = {id(p) for group in self.param_groups for p in group["params"]}
        if any(id(p) in taken for p in tensors):
            raise ValueError(f"{name}: some parameters appear in more than one parameter group")
        first = list({id(p): i for i, p in reversed(list(enumerate(tensors)))}.values())[::-1]
        group = {**param_group, "params": [tensors[i] for i in first]}
        if names:
            group["param_names"] = [names[i] for i in first]
        for key, value in self.defaults.items():
            group.setdefault(key, value)
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients of all parameters (or sets them to zeros).

        Example:
            >>> w = lt.ones(1, requires_grad=True)
            >>> sgd = lt.optim.SGD([w], lr=0.5)
            >>> (w * 3).backward()
            >>> sgd.zero_grad()
            >>> w.grad is None
            True
        """
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad = p.grad.detach()
                    _core.fill_into(p.grad, 0)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates every parameter that has a gradient; ``closure`` computes the loss anew and is returned.

        Example:
            >>> w = lt.ones(1, requires_grad=True)
            >>> sgd = lt.optim.SGD([w], lr=0.5)
            >>> (w * w).backward()
            >>> sgd.step()
            >>> w.item()
            0.0
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            # The kernels write row-major memory; a parameter that is a transposed view goes through a copy.
            work = [p if p.is_contiguous() else _core.contiguous(p) for p in params]
            self._update(group, work, [p.grad for p in params], [self.state[p] for p in params])
            for p, w in zip(params, work, strict=True):
                if p is not w:
                    _core.copy_into(p, w)
        return loss

    def _update(self, group: Group, params: list[Tensor], grads: list[Tensor], states: list[State]) -> None:
        """One fused call for all parameters of a group."""
        raise NotImplementedError(f"{type(self).__name__}: an optimizer must define step()")

    def state_dict(self) -> dict[str, Any]:
        """State by the parameters' numbers, and the groups with numbers in place of parameters.

        Example:
            >>> x = lt.ones(2, requires_grad=True)
            >>> lt.optim.SGD([x], lr=0.1).state_dict()["param_groups"][0]["params"]
            [0]
        """
        numbers: dict[int, int] = {}
        for group in self.param_groups:
            for p in group["params"]:
                numbers[id(p)] = len(numbers)
        groups = [
            {**{k: v for k, v in g.items() if k != "params"}, "params": [numbers[id(p)] for p in g["params"]]}
            for g in self.param_groups
        ]
        state = {numbers.get(id(p), p): dict(s) for p, s in self.state.items() if s}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from what ``state_dict`` returned, here or in PyTorch; the tensors are copied.

        Errors: ValueError when groups, their sizes or shapes in the state differ; nothing is changed then.

        Example:
            >>> w = lt.ones(1, requires_grad=True)
            >>> state = lt.optim.SGD([w], lr=0.5).state_dict()
            >>> sgd = lt.optim.SGD([w], lr=0.1)
            >>> sgd.load_state_dict(state)
            >>> sgd.param_groups[0]["lr"]
            0.5
        """
        loaded: LoadedState = read_state(type(self).__name__, state_dict, self.param_groups, self._shaped)
        groups: list[Group] = []
        for own, saved in zip(self.param_groups, loaded.groups, strict=True):
            kept = {k: own[k] for k in ("params", "param_names") if k in own}
            groups.append({**copy.deepcopy(self.defaults), **saved, **kept})
        self.param_groups = groups
        self.state = defaultdict(dict)
        for p, s in loaded.state:
            self.state[p] = s

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Calls ``hook(optimizer, args, kwargs)`` before each step; it may return new ``(args, kwargs)``.

        Example:
            >>> w = lt.ones(1, requires_grad=True)
            >>> sgd = lt.optim.SGD([w], lr=0.5)
            >>> handle = sgd.register_step_pre_hook(lambda optimizer, args, kwargs: print("before"))
            >>> sgd.step()
            before
        """
        handle = RemovableHandle(self._hooks_before)
        self._hooks_before[handle.id] = hook
        return handle

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Calls ``hook(optimizer, args, kwargs)`` after each step.

        Example:
            >>> w = lt.ones(1, requires_grad=True)
            >>> sgd = lt.optim.SGD([w], lr=0.5)
            >>> steps = []
            >>> handle = sgd.register_step_post_hook(lambda optimizer, args, kwargs: steps.append(w.item()))
            >>> (2 * w).backward()
            >>> sgd.step()
            >>> steps
            [0.0]
        """
        handle = RemovableHandle(self._hooks_after)
        self._hooks_after[handle.id] = hook
        return handle


Optimizer.step = _with_hooks(Optimizer.step)


def _check_parameter(name: str, i: int, p: Any) -> None:
    if not isinstance(p, Tensor):
        raise TypeError(
            f"{name}: optimizers can only optimize tensors, parameter {i} is a {type(p).__name__}"
        )
    if not (p.is_leaf or getattr(p, "retains_grad", False)):
        raise ValueError(
            f"{name}: can't optimize a non-leaf Tensor: parameter {i} is the result of an operation"
        )
    if not p.is_cpu:
        raise RuntimeError(
            f"{name}: parameter {i} is on the GPU; optimizers update parameters on the CPU only: "
            'move the model with .to("cpu") before making the optimizer'
        )
