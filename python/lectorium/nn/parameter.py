"""Tensors that a module owns: trained (Parameter) or only kept (Buffer)."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._core import Tensor


class Parameter(Tensor):
    """A tensor that a module trains: assigned to a module it shows up in ``parameters()``.

    It aliases the memory of ``data``.

    Example:
        >>> p = lt.nn.Parameter(lt.zeros(2))
        >>> p.requires_grad, p.is_leaf
        (True, True)
    """

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            data = _core.empty([0], _core.get_default_dtype())
        elif not isinstance(data, Tensor):
            raise TypeError(
                f"{cls.__name__}: expected a Tensor, got {type(data).__name__}; use lectorium.tensor(data)"
            )
        made = super().__new__(cls, data)
        if requires_grad:
            made.requires_grad = True
        return made

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        # Everything happens in __new__; this only gives type checkers the signature.
        super().__init__()

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        if id(self) not in memo:
            memo[id(self)] = type(self)(_core.clone(self), self.requires_grad)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _restored_parameter, (type(self), self.detach(), self.requires_grad)


class Buffer(Tensor):
    """A tensor that belongs to a module's state but is not trained.

    ``persistent=False`` keeps it out of ``state_dict``.

    Example:
        >>> m = lt.nn.Module()
        >>> m.total = lt.nn.Buffer(lt.zeros(1))
        >>> list(m.state_dict())
        ['total']
    """

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        if data is None:
            data = _core.empty([0], _core.get_default_dtype())
        elif not isinstance(data, Tensor):
            raise TypeError(
                f"{cls.__name__}: expected a Tensor, got {type(data).__name__}; use lectorium.tensor(data)"
            )
        made = super().__new__(cls, data)
        made.persistent = persistent
        return made

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        super().__init__()

    def __repr__(self) -> str:
        return "Buffer containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Buffer:
        if id(self) not in memo:
            memo[id(self)] = type(self)(_core.clone(self), persistent=self.persistent)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _restored_buffer, (type(self), self.detach(), self.persistent)


def _restored_parameter(cls: type[Parameter], data: Tensor, requires_grad: bool) -> Parameter:
    return cls(data, requires_grad)


def _restored_buffer(cls: type[Buffer], data: Tensor, persistent: bool) -> Buffer:
    return cls(data, persistent=persistent)


__all__ = ["Buffer", "Parameter"]
