"""A module's state as a flat dict of tensors, and back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from .. import _core
from .._core import Tensor


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict`` did not find, and what it found and did not need."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"

    __str__ = __repr__


class State:
    """The part of ``Module`` that saves and loads."""

    _parameters: Any
    _buffers: Any
    _modules: Any
    _non_persistent_buffers_set: set[str]

    def _own_state(self) -> dict[str, Tensor]:
        """Parameters and persistent buffers of this module alone."""
        own = {n: p for n, p in self._parameters.items() if p is not None}
        hidden = self._non_persistent_buffers_set
        own.update((n, b) for n, b in self._buffers.items() if b is not None and n not in hidden)
        return own

    def state_dict(
        self, *, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Parameters and persistent buffers by path, as plain tensors on the same memory.

        ``keep_vars=True`` gives the parameters themselves.

        Example:
            >>> list(lt.nn.Sequential(lt.nn.Linear(2, 1)).state_dict())
            ['0.weight', '0.bias']
        """
        state: dict[str, Any] = OrderedDict() if destination is None else destination
        for name, value in self._own_state().items():
            state[prefix + name] = value if keep_vars else value.detach()
        for name, child in self._modules.items():
            if child is not None:
                child.state_dict(destination=state, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        return state

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copies the values in (``assign``: takes the tensors themselves); dtypes are converted.

        ``strict``: keys that are missing or unexpected are an error. Shapes that differ always are.

        Errors: RuntimeError listing every missing and unexpected key and every size mismatch; nothing is
        copied then.

        Example:
            >>> a, b = lt.nn.Linear(2, 1), lt.nn.Linear(2, 1)
            >>> a.load_state_dict(b.state_dict())
            <All keys matched successfully>
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict: expected a dict of tensors, got {type(state_dict).__name__}")
        places: dict[str, tuple[Any, str]] = {}
        self._places("", places)
        missing = [k for k in places if k not in state_dict]
        unexpected = [k for k in state_dict if k not in places]
        problems: list[str] = []
        for key, (module, name) in places.items():
            if key in state_dict:
                problem = _mismatch(key, state_dict[key], module._own_state()[name])
                problems += [problem] if problem else []
        if strict:
            quoted = ", ".join(f'"{k}"' for k in unexpected)
            problems = [f"Unexpected key(s) in state_dict: {quoted}. "] * bool(unexpected) + problems
            quoted = ", ".join(f'"{k}"' for k in missing)
            problems = [f"Missing key(s) in state_dict: {quoted}. "] * bool(missing) + problems
        if problems:
            lines = "\n\t".join(problems)
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{lines}")
        for key, (module, name) in places.items():
            if key in state_dict:
                _put(module, name, state_dict[key], assign)
        return IncompatibleKeys(missing, unexpected)

    def _places(self, prefix: str, places: dict[str, tuple[Any, str]]) -> None:
        for name in self._own_state():
            places[prefix + name] = (self, name)
        for name, child in self._modules.items():
            if child is not None:
                child._places(f"{prefix}{name}.", places)


def _mismatch(key: str, value: Any, own: Tensor) -> str | None:
    if not isinstance(value, Tensor):
        return f'While copying "{key}": expected a lectorium.Tensor, got {type(value).__name__}. '
    if value.shape == own.shape or (own.shape == () and value.shape == (1,)):
        return None
    return (
        f"size mismatch for {key}: copying a param with shape {list(value.shape)} from checkpoint, "
        f"the shape in current model is {list(own.shape)}."
    )


def _put(module: Any, name: str, value: Tensor, assign: bool) -> None:
    is_parameter = name in module._parameters
    own = module._parameters[name] if is_parameter else module._buffers[name]
    if value.shape != own.shape:  # a number saved with one axis
        value = _core.reshape(value.detach(), list(own.shape))
    if not assign:
        source = value.detach()
        if source.device_type != own.device_type:
            source = _core.to_gpu(source) if own.device_type == "gpu" else _core.to_cpu(source)
        _core.copy_into(own, source)
    elif is_parameter:
        module._parameters[name] = (
            value if isinstance(value, type(own)) else type(own)(value, own.requires_grad)
        )
    else:
        module._buffers[name] = value
