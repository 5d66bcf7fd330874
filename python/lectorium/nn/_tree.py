"""Walking over a module's children, parameters and buffers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .._core import Tensor

if TYPE_CHECKING:
    from .module import Module
    from .parameter import Parameter


class Tree:
    """The part of ``Module`` that lists what is in it."""

    _modules: Any
    _parameters: Any
    _buffers: Any

    def children(self) -> Iterator[Module]:
        """The modules directly below, each once.

        Example:
            >>> net = lt.nn.Sequential(lt.nn.Linear(2, 3), lt.nn.Sequential(lt.nn.ReLU()))
            >>> [type(child).__name__ for child in net.children()]
            ['Linear', 'Sequential']
        """
        for _, module in self.named_children():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly below with their names, each once.

        Example:
            >>> net = lt.nn.Sequential(lt.nn.Linear(2, 3), lt.nn.Sequential(lt.nn.ReLU()))
            >>> [name for name, _ in net.named_children()]
            ['0', '1']
        """
        seen: set[int] = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below it, each once.

        Example:
            >>> net = lt.nn.Sequential(lt.nn.Linear(2, 3), lt.nn.Sequential(lt.nn.ReLU()))
            >>> [type(module).__name__ for module in net.modules()]
            ['Sequential', 'Linear', 'Sequential', 'ReLU']
        """
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module (name ``""``) and all below it with their paths.

        Example:
            >>> net = lt.nn.Sequential(lt.nn.Sequential(lt.nn.ReLU()))
            >>> [name for name, _ in net.named_modules()]
            ['', '0', '0.0']
        """
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self  # pyright: ignore[reportReturnType]
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(
                    memo, f"{prefix}.{name}" if prefix else name, remove_duplicate
                )

    def _named_members(
        self, kind: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules: Iterable[tuple[str, Any]] = [(prefix, self)]
        if recurse:
            modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for path, module in modules:
            for name, value in getattr(module, kind).items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters; one used in several places comes once.

        Example:
            >>> sum(p.numel() for p in lt.nn.Linear(3, 2).parameters())
            8
        """
        for _, p in self.named_parameters(recurse=recurse):
            yield p

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their paths; one used in several places comes once.

        Example:
            >>> [(name, p.shape) for name, p in lt.nn.Linear(2, 3).named_parameters()]
            [('weight', (3, 2)), ('bias', (3,))]
        """
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, each once.

        Example:
            >>> [tuple(b.shape) for b in lt.nn.BatchNorm1d(4).buffers()]
            [(4,), (4,), ()]
        """
        for _, b in self.named_buffers(recurse=recurse):
            yield b

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """All buffers with their paths, each once.

        Example:
            >>> [name for name, _ in lt.nn.BatchNorm1d(4).named_buffers()]
            ['running_mean', 'running_var', 'num_batches_tracked']
        """
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def get_submodule(self, target: str) -> Module:
        """The module at a path such as ``"features.3"``; ``""`` is this one.

        Errors: AttributeError naming the step that is not there.

        Example:
            >>> lt.nn.Sequential(lt.nn.ReLU()).get_submodule("0")
            ReLU()
        """
        here: Any = self
        for step in target.split(".") if target else ():
            children: dict[str, Any] = here._modules
            if children.get(step) is None:
                known = ", ".join(children) or "none"
                raise AttributeError(
                    f"get_submodule: {type(here).__name__} has no module '{step}' (of '{target}'); "
                    f"it has: {known}"
                )
            here = children[step]
        return here

    def _get_member(self, kind: str, what: str, target: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        value = getattr(module, kind).get(name)
        if value is None:
            raise AttributeError(
                f"get_{what}: {type(module).__name__} has no {what} '{name}' (of '{target}')"
            )
        return value

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a path such as ``"features.3.weight"``.

        Example:
            >>> net = lt.nn.Sequential(lt.nn.Linear(2, 3))
            >>> net.get_parameter("0.bias").shape
            (3,)
        """
        return self._get_member("_parameters", "parameter", target)

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a path such as ``"features.4.running_mean"``.

        Example:
            >>> net = lt.nn.Sequential(lt.nn.BatchNorm1d(2))
            >>> net.get_buffer("0.running_var")
            tensor([1., 1.])
        """
        return self._get_member("_buffers", "buffer", target)

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Puts a module at a path, in place of the one there (``strict``: there must be one).

        Example:
            >>> net = lt.nn.Sequential(lt.nn.ReLU())
            >>> net.set_submodule("0", lt.nn.Tanh())
            >>> net[0]
            Tanh()
        """
        if not target:
            raise ValueError("set_submodule: a module cannot be put in place of itself; give a path")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and parent._modules.get(name) is None:
            raise AttributeError(
                f"set_submodule: {type(parent).__name__} has no module '{name}' (of '{target}')"
            )
        setattr(parent, name, module)
