"""Parameters in lists and dicts."""

from __future__ import annotations

import operator
from collections.abc import Container, Iterable, Iterator
from typing import Any, overload

from .._core import Tensor
from .container import _pairs
from .module import Module
from .parameter import Parameter


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
        return f"{kind} containing: [{value.dtype!r} of size {_by(value.shape)}]"
    return f"Object of type: {type(value).__name__}"


def _by(shape: Iterable[int]) -> str:
    return "x".join(str(s) for s in shape)


class ParameterList(Module):
    """A list of parameters, all of them registered; tensors become parameters.

    Example:
        >>> weights = lt.nn.ParameterList([lt.zeros(2), lt.zeros(3)])
        >>> [p.numel() for p in weights]
        [2, 3]
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def _index(self, index: int) -> str:
        i = operator.index(index)
        if not -self._size <= i < self._size:
            raise IndexError(f"ParameterList: index {i} is out of range for {self._size} values")
        return str(i % self._size)

    @overload
    def __getitem__(self, idx: slice) -> ParameterList: ...
    @overload
    def __getitem__(self, idx: int) -> Any: ...
    def __getitem__(self, idx: slice | int) -> Any:
        if isinstance(idx, slice):
            return self.__class__([self[i] for i in range(self._size)[idx]])
        return getattr(self, self._index(idx))

    def __setitem__(self, idx: int, param: Any) -> None:
        setattr(self, self._index(idx), _as_parameter(param))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(self._size))

    def append(self, value: Any) -> ParameterList:
        """Adds a value at the end.

        Example:
            >>> held = lt.nn.ParameterList().append(lt.nn.Parameter(lt.ones(2)))
            >>> [name for name, _ in held.named_parameters()]
            ['0']
        """
        self._size += 1
        self[self._size - 1] = value
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Adds values at the end.

        Example:
            >>> held = lt.nn.ParameterList().extend([lt.ones(2), lt.zeros(3)])
            >>> [p.numel() for p in held.parameters()]
            [2, 3]
        """
        if not isinstance(values, Iterable) or isinstance(values, Tensor):
            raise TypeError(f"ParameterList.extend: expected an iterable, got {type(values).__name__}")
        for value in values:
            self.append(value)
        return self

    def __iadd__(self, values: Iterable[Any]) -> ParameterList:
        return self.extend(values)

    def extra_repr(self) -> str:
        return "\n".join(f"  ({i}): {_described(v)}" for i, v in enumerate(self))


class ParameterDict(Module):
    """Parameters by name, all of them registered; tensors become parameters.

    Example:
        >>> weights = lt.nn.ParameterDict({"left": lt.zeros(2)})
        >>> list(weights), weights["left"].requires_grad
        (['left'], True)
    """

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"ParameterDict: a key must be a string, got {type(key).__name__}")
        self._keys[key] = None
        setattr(self, key, _as_parameter(value))

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def keys(self) -> Container[str]:
        """The names.

        Example:
            >>> list(lt.nn.ParameterDict({"w": lt.ones(1), "b": lt.zeros(1)}).keys())
            ['w', 'b']
        """
        return self._keys.keys()

    def values(self) -> list[Any]:
        """The parameters.

        Example:
            >>> [p.numel() for p in lt.nn.ParameterDict({"w": lt.ones(2, 3), "b": lt.zeros(3)}).values()]
            [6, 3]
        """
        return [self[k] for k in self._keys]

    def items(self) -> list[tuple[str, Any]]:
        """Names and parameters.

        Example:
            >>> {name: p.shape for name, p in lt.nn.ParameterDict({"w": lt.ones(2, 3)}).items()}
            {'w': (2, 3)}
        """
        return [(k, self[k]) for k in self._keys]

    def get(self, key: str, default: Any = None) -> Any:
        """The parameter of a name, or the default.

        Example:
            >>> lt.nn.ParameterDict({"w": lt.ones(1)}).get("b", "none")
            'none'
        """
        return self[key] if key in self._keys else default

    def pop(self, key: str) -> Any:
        """Takes a parameter out.

        Example:
            >>> held = lt.nn.ParameterDict({"w": lt.ones(1), "b": lt.zeros(1)})
            >>> held.pop("b").item(), list(held.keys())
            (0.0, ['w'])
        """
        value = self[key]
        del self[key]
        return value

    def update(self, parameters: Any) -> None:
        """Adds parameters from a dict or from pairs.

        Example:
            >>> held = lt.nn.ParameterDict({"w": lt.ones(1)})
            >>> held.update({"w": lt.zeros(1), "b": lt.zeros(1)})
            >>> held["w"].item(), len(list(held.parameters()))
            (0.0, 2)
        """
        pairs: Any = _pairs(parameters)
        for key, value in pairs:
            self[key] = value

    def extra_repr(self) -> str:
        return "\n".join(f"  ({k}): {_described(v)}" for k, v in self.items())


def _as_parameter(value: Any) -> Any:
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        return Parameter(value.detach(), value.dtype.is_floating_point)
    return value
