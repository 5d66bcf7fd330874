"""Modules in lists and dicts."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any, cast, overload

from . import functional as F
from ._where import say_where
from .batchnorm import BatchNorm1d, BatchNorm2d
from .conv import Conv2d
from .linear import Linear
from .module import Module
from .rectifier import ReLU


class _List(Module):
    """A numbered sequence of modules."""

    _modules: dict[str, Any]

    def _key(self, index: Any) -> str:
        n, i = len(self._modules), operator.index(index)
        if not -n <= i < n:
            raise IndexError(f"{type(self).__name__}: index {i} is out of range for {n} modules")
        return list(self._modules)[i]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __contains__(self, module: object) -> bool:
        return any(m is module for m in self._modules.values())

    def _renumber(self, modules: Iterable[Module]) -> None:
        made = {str(i): m for i, m in enumerate(modules)}
        self._modules.clear()
        self._modules.update(made)

    def __delitem__(self, index: int | slice) -> None:
        keys = list(self._modules)[index] if isinstance(index, slice) else [self._key(index)]
        gone = set(keys)
        self._renumber([m for k, m in self._modules.items() if k not in gone])

    def append(self, module: Module) -> Any:
        """Adds a module at the end.

        Example:
            >>> net = lt.nn.Sequential(lt.nn.Linear(2, 2))
            >>> net.append(lt.nn.ReLU())
            Sequential(
              (0): Linear(in_features=2, out_features=2, bias=True)
              (1): ReLU()
            )
        """
        self.add_module(str(len(self)), module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        """Puts a module before the given position.

        Errors: IndexError for a position that does not exist, TypeError for what is no Module.

        Example:
            >>> net = lt.nn.Sequential(lt.nn.Linear(2, 2))
            >>> net.insert(0, lt.nn.Flatten())
            Sequential(
              (0): Flatten(start_dim=1, end_dim=-1)
              (1): Linear(in_features=2, out_features=2, bias=True)
            )
        """
        if not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        n = len(self)
        if not -n <= index <= n:
            raise IndexError(f"{type(self).__name__}: index {index} is out of range for {n} modules")
        modules = list(self._modules.values())
        modules.insert(index if index >= 0 else n + index, module)
        self._renumber(modules)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Adds modules at the end.

        Example:
            >>> layers = lt.nn.ModuleList([lt.nn.Linear(2, 2)])
            >>> len(layers.extend([lt.nn.ReLU(), lt.nn.Linear(2, 1)]))
            3
        """
        if not isinstance(modules, Iterable):
            raise TypeError(
                f"{type(self).__name__}.extend: expected an iterable, got {type(modules).__name__}"
            )
        for module in list(modules):
            self.append(module)
        return self

    def pop(self, key: int) -> Module:
        """Takes a module out.

        Errors: IndexError for a position that does not exist.

        Example:
            >>> net = lt.nn.Sequential(lt.nn.Linear(2, 2), lt.nn.ReLU())
            >>> net.pop(-1), len(net)
            (ReLU(), 1)
        """
        module = self._modules[self._key(key)]
        del self[key]
        return module


# Modules that compute a ReLU behind them while they write their results, and the function that does.
_WITH_RELU: dict[type[Module], Any] = {
    BatchNorm1d: F.batch_norm_relu,
    BatchNorm2d: F.batch_norm_relu,
    Conv2d: F.conv2d_relu,
    Linear: F.linear_relu,
}
# As this library defines them: somebody may put others in their place, to count or to trace.
_CALL = Module.__call__
_FORWARD: dict[type[Module], Any] = {kind: kind.forward for kind in (*_WITH_RELU, ReLU)}


def _plain(module: Module) -> bool:
    """Whether a call of the module is the ``forward`` of this library and nothing else."""
    kind = type(module)
    ours = kind.forward is _FORWARD[kind] and kind.__call__ is _CALL
    return ours and not module._hooked and "forward" not in module.__dict__


def _with_relu(module: Any, input: Any) -> Any:
    """A module and the ReLU behind it, without a pass over memory for the ReLU."""
    try:
        return module._run_as(_WITH_RELU[type(module)], input)
    except Exception as error:
        say_where(error, module)
        raise


class Sequential(_List):
    """Modules that are called one after the other.

    Example:
        >>> net = lt.nn.Sequential(lt.nn.Linear(4, 3), lt.nn.ReLU(), lt.nn.Linear(3, 2))
        >>> net(lt.randn(5, 4)).shape, net[0]
        ((5, 2), Linear(in_features=4, out_features=3, bias=True))
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in cast("OrderedDict[str, Module]", args[0]).items():
                self.add_module(name, module)
        else:
            for i, module in enumerate(args):
                self.add_module(str(i), module)

    def forward(self, input: Any) -> Any:
        modules = list(self._modules.values())
        joined = False  # whether the step before has computed this ReLU
        for module, after in zip(modules, [*modules[1:], None], strict=True):
            if joined:
                joined = False
            elif type(after) is ReLU and type(module) in _WITH_RELU and _plain(module) and _plain(after):
                input, joined = _with_relu(module, input), True
            else:
                input = module(input)
        return input

    @overload
    def __getitem__(self, idx: slice) -> Sequential: ...
    @overload
    def __getitem__(self, idx: int) -> Module: ...
    def __getitem__(self, idx: slice | int) -> Module:
        if isinstance(idx, slice):
            return self.__class__(OrderedDict(list(self._modules.items())[idx]))
        return self._modules[self._key(idx)]

    def __setitem__(self, idx: int, module: Module) -> None:
        setattr(self, self._key(idx), module)

    def __delitem__(self, index: int | slice) -> None:
        keys = list(self._modules)[index] if isinstance(index, slice) else [self._key(index)]
        for key in keys:
            delattr(self, key)
        numbered = all(k.isdigit() for k in self._modules)
        if numbered:
            self._renumber(list(self._modules.values()))

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            raise ValueError(
                f"add operator supports only objects of Sequential class, but {type(other)} is given."
            )
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            raise ValueError(
                f"add operator supports only objects of Sequential class, but {type(other)} is given."
            )
        return self.extend(other)

    def __mul__(self, other: int) -> Sequential:
        if not isinstance(other, int):
            raise TypeError(f"unsupported operand type(s) for *: Sequential and {type(other).__name__}")
        if other <= 0:
            raise ValueError(f"Non-positive multiplication factor {other} for Sequential")
        return Sequential(*list(self) * other)

    __rmul__ = __mul__


class ModuleList(_List):
    """A list of modules, all of them registered; it has no ``forward``.

    Example:
        >>> layers = lt.nn.ModuleList([lt.nn.Linear(2, 2) for _ in range(3)])
        >>> len(layers), len(list(layers.parameters()))
        (3, 6)
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    @overload
    def __getitem__(self, idx: slice) -> ModuleList: ...
    @overload
    def __getitem__(self, idx: int) -> Module: ...
    def __getitem__(self, idx: slice | int) -> Module:
        if isinstance(idx, slice):
            return self.__class__(list(self._modules.values())[idx])
        return self._modules[self._key(idx)]

    def __setitem__(self, idx: int, module: Module) -> None:
        setattr(self, self._key(idx), module)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self, other: Iterable[Module]) -> ModuleList:
        return self.extend(other)

    def __repr__(self) -> str:
        """Equal neighbours are shown once, with how many there are."""
        groups: list[tuple[int, int, str]] = []
        for i, text in enumerate(repr(m) for m in self):
            if groups and groups[-1][2] == text:
                groups[-1] = (groups[-1][0], i, text)
            else:
                groups.append((i, i, text))
        if not groups:
            return f"{self._get_name()}()"
        lines: list[str] = []
        for first, last, text in groups:
            shown = (
                f"({first}): {text}" if first == last else f"({first}-{last}): {last - first + 1} x {text}"
            )
            lines.append(shown.replace("\n", "\n  "))
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"


def _pairs(given: Any) -> Any:
    """Names and values of a mapping, or pairs as they are."""
    return given.items() if hasattr(given, "items") else given


class ModuleDict(Module):
    """Modules by name, all of them registered; it has no ``forward``.

    Example:
        >>> choices = lt.nn.ModuleDict({"relu": lt.nn.ReLU(), "tanh": lt.nn.Tanh()})
        >>> choices["relu"], list(choices)
        (ReLU(), ['relu', 'tanh'])
    """

    _modules: dict[str, Any]

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Takes all modules out.

        Example:
            >>> layers = lt.nn.ModuleDict({"a": lt.nn.ReLU()})
            >>> layers.clear()
            >>> len(layers)
            0
        """
        self._modules.clear()

    def pop(self, key: str) -> Module:
        """Takes a module out.

        Example:
            >>> layers = lt.nn.ModuleDict({"a": lt.nn.ReLU(), "b": lt.nn.Tanh()})
            >>> layers.pop("a"), layers
            (ReLU(), ModuleDict(
              (b): Tanh()
            ))
        """
        return self._modules.pop(key)

    def keys(self) -> Any:
        """The names.

        Example:
            >>> list(lt.nn.ModuleDict({"a": lt.nn.ReLU(), "b": lt.nn.Tanh()}).keys())
            ['a', 'b']
        """
        return self._modules.keys()

    def items(self) -> Any:
        """Names and modules.

        Example:
            >>> for name, layer in lt.nn.ModuleDict({"a": lt.nn.ReLU(), "b": lt.nn.Tanh()}).items():
            ...     print(name, layer)
            a ReLU()
            b Tanh()
        """
        return self._modules.items()

    def values(self) -> Any:
        """The modules.

        Example:
            >>> layers = lt.nn.ModuleDict({"a": lt.nn.ReLU(), "b": lt.nn.Tanh()})
            >>> [layer(lt.tensor([-9.0])).item() for layer in layers.values()]
            [0.0, -1.0]
        """
        return self._modules.values()

    def update(self, modules: Any) -> None:
        """Adds modules from a dict or from pairs.

        Example:
            >>> layers = lt.nn.ModuleDict({"a": lt.nn.ReLU()})
            >>> layers.update({"a": lt.nn.Tanh(), "b": lt.nn.GELU()})
            >>> layers["a"], len(layers)
            (Tanh(), 2)
        """
        if not isinstance(modules, Iterable):
            raise TypeError(f"ModuleDict.update: expected a dict or pairs, got {type(modules).__name__}")
        pairs: Any = _pairs(modules)
        for pair in pairs:
            if len(pair) != 2:
                raise ValueError(
                    f"ModuleDict.update: expected pairs of name and module, got {len(pair)} parts"
                )
            self[pair[0]] = pair[1]
