"""The base of all layers and models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from .. import _core
from .._core import Tensor
from ._convert import Convert
from ._hooks import Hooks, RemovableHandle
from ._state import State
from ._where import say_where
from .parameter import Buffer, Parameter

Self = TypeVar("Self", bound="Module")

_INTERNAL = frozenset(("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "training"))


class Module(Convert, State, Hooks):
    """A part of a model: parameters, buffers and other modules, and a ``forward`` that uses them.

    Parameters, buffers and modules that are assigned as attributes are registered under that name. Calling
    the module calls ``forward``; an error inside names the module by its path.

    Example:
        >>> class Net(lt.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.fc = lt.nn.Linear(3, 2)
        ...     def forward(self, x):
        ...         return lt.nn.functional.relu(self.fc(x))
        >>> net = Net()
        >>> net
        Net(
          (fc): Linear(in_features=3, out_features=2, bias=True)
        )
        >>> [name for name, _ in net.named_parameters()]
        ['fc.weight', 'fc.bias']
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers_set: set[str]

    def __init__(self) -> None:
        d = self.__dict__
        d["training"] = True
        d["_parameters"] = {}
        d["_buffers"] = {}
        d["_non_persistent_buffers_set"] = set()
        d["_modules"] = {}
        self._init_hooks()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; to be written by the subclass.

        Example:
            >>> class Doubled(lt.nn.Module):
            ...     def forward(self, x):
            ...         return 2 * x
            >>> Doubled()(lt.ones(2))
            tensor([2., 2.])
        """
        raise NotImplementedError(f"{type(self).__name__}: the subclass must define forward(...)")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if self._hooked:
                return self._call_with_hooks(args, kwargs)
            return self.forward(*args, **kwargs)
        except Exception as error:
            say_where(error, self)
            raise

    # Attributes.

    def __getattr__(self, name: str) -> Any:
        # Only asked for what is not in the object or its class.
        d = self.__dict__
        for kind in ("_parameters", "_modules", "_buffers"):
            members = d.get(kind)
            if members is None:
                break
            if name in members:
                return members[name]
        if name in _INTERNAL and name not in d:
            raise AttributeError(
                f"{type(self).__name__}: Module.__init__() was not called; "
                f"begin {type(self).__name__}.__init__ with super().__init__()"
            )
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        d = self.__dict__
        if isinstance(value, Parameter):
            self._ready("parameters", name)
            self._forget(name, "_parameters")
            self.register_parameter(name, value)
            return
        parameters = d.get("_parameters")
        if parameters is not None and name in parameters:
            if value is not None:
                raise TypeError(
                    f"{type(self).__name__}: cannot assign {type(value).__name__} as parameter '{name}' "
                    "(lectorium.nn.Parameter or None expected); to change its values use "
                    f"lectorium.nn.Parameter(value), or copy_ under no_grad"
                )
            parameters[name] = None
            return
        modules = d.get("_modules")
        if isinstance(value, Module):
            self._ready("module", name)
            self._forget(name, "_modules")
            self._modules[name] = value
            return
        if modules is not None and name in modules:
            if value is not None:
                raise TypeError(
                    f"{type(self).__name__}: cannot assign {type(value).__name__} as child module '{name}' "
                    "(lectorium.nn.Module or None expected)"
                )
            modules[name] = None
            return
        buffers = d.get("_buffers")
        if isinstance(value, Buffer) or (buffers is not None and name in buffers):
            self._ready("buffer", name)
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"{type(self).__name__}: cannot assign {type(value).__name__} as buffer '{name}' "
                    "(lectorium.Tensor or None expected)"
                )
            persistent = (
                value.persistent
                if isinstance(value, Buffer)
                else name not in self._non_persistent_buffers_set
            )
            self._forget(name, "_buffers")
            self.register_buffer(name, value, persistent)
            return
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        for kind in ("_parameters", "_buffers", "_modules"):
            if name in getattr(self, kind):
                del getattr(self, kind)[name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = {*object.__dir__(self), *self._parameters, *self._buffers, *self._modules}
        return sorted(n for n in names if not n[:1].isdigit())

    def _ready(self, what: str, name: str) -> None:
        if "_modules" not in self.__dict__:
            raise AttributeError(
                f"{type(self).__name__}: cannot assign {what} '{name}' before Module.__init__() call; "
                f"begin {type(self).__name__}.__init__ with super().__init__()"
            )

    def _forget(self, name: str, keep: str) -> None:
        """Takes the name from where it was, so that each name is one thing; order stays within a kind."""
        d = self.__dict__
        d.pop(name, None)
        for kind in ("_parameters", "_buffers", "_modules"):
            if kind != keep:
                d[kind].pop(name, None)
        if keep != "_buffers":
            d["_non_persistent_buffers_set"].discard(name)

    def _check_name(self, what: str, name: Any, members: dict[str, Any]) -> None:
        self._ready(what, str(name))
        if not isinstance(name, str):
            raise TypeError(f"{what} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{what} name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError(f'{what} name can\'t be empty string ""')
        if name not in members and (name in self.__dict__ or hasattr(self, name)):
            raise KeyError(f"attribute '{name}' already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter (or None, a place for one) under a name.

        Errors: TypeError for what is no Parameter, ValueError for a tensor that was computed.

        Example:
            >>> layer = lt.nn.Module()
            >>> layer.register_parameter("scale", lt.nn.Parameter(lt.ones(2)))
            >>> layer.register_parameter("bias", None)
            >>> layer.scale.shape, layer.bias, [name for name, _ in layer.named_parameters()]
            ((2,), None, ['scale'])
        """
        self._check_name("parameter", name, self.__dict__.get("_parameters", {}))
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' "
                "(lectorium.nn.Parameter or None required)"
            )
        if param is not None and not param.is_leaf:
            raise ValueError(
                f"cannot assign non-leaf Tensor to parameter '{name}'; parameters must be created explicitly"
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds a tensor that is part of the state but not trained; not persistent: not in ``state_dict``.

        Example:
            >>> m = lt.nn.Module()
            >>> m.register_buffer("count", lt.zeros(1))
            >>> m.count
            tensor([0.])
        """
        self._check_name("buffer", name, self.__dict__.get("_buffers", {}))
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' "
                "(lectorium.Tensor or None required)"
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Adds a child module under a name.

        Errors: TypeError for what is no Module, KeyError for a name that is taken, empty or has a dot.

        Example:
            >>> net = lt.nn.Module()
            >>> net.add_module("out", lt.nn.Linear(3, 1))
            >>> list(net.state_dict())
            ['out.weight', 'out.bias']
        """
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._check_name("module", name, self.__dict__.get("_modules", {}))
        self._modules[name] = module

    register_module = add_module

    # All parameters and buffers at once.

    def apply(self: Self, fn: Callable[[Module], Any]) -> Self:
        """Calls ``fn`` with every module, children first; for initialising weights.

        Example:
            >>> net = lt.nn.Sequential(lt.nn.Linear(2, 2))
            >>> _ = net.apply(lambda m: isinstance(m, lt.nn.Linear) and lt.nn.init.zeros_(m.bias))
            >>> net[0].bias.tolist()
            [0.0, 0.0]
        """
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self: Self, mode: bool = True) -> Self:
        """Training mode (dropout drops, batch norm uses the batch) for this module and all below.

        Errors: ValueError unless ``mode`` is a bool.

        Example:
            >>> net = lt.nn.Sequential(lt.nn.Linear(2, 2), lt.nn.Dropout())
            >>> net.training, net.train(False)[1].training
            (True, False)
        """
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        # Through the children's own `train`: a module may override it, to keep a part frozen.
        for child in self.children():
            child.train(mode)
        return self

    def eval(self: Self) -> Self:
        """Evaluation mode: ``train(False)``.

        Example:
            >>> drop = lt.nn.Dropout(0.9)
            >>> drop.eval()(lt.ones(4))
            tensor([1., 1., 1., 1.])
        """
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Whether gradients are computed for all parameters.

        Example:
            >>> body = lt.nn.Linear(2, 2).requires_grad_(False)
            >>> net = lt.nn.Sequential(body, lt.nn.Linear(2, 1))
            >>> [name for name, p in net.named_parameters() if p.requires_grad]
            ['1.weight', '1.bias']
        """
        for p in self.parameters():
            p.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients of all parameters (or fills them with zeros).

        Example:
            >>> layer = lt.nn.Linear(2, 1, bias=False)
            >>> layer(lt.ones(1, 2)).sum().backward()
            >>> layer.zero_grad(set_to_none=False)
            >>> layer.weight.grad
            tensor([[0., 0.]])
        """
        for p in self.parameters():
            if p.grad is not None:
                if set_to_none:
                    p.grad = None
                else:
                    p.grad = p.grad.detach()
                    _core.fill_into(p.grad, 0)

    # How it looks.

    def _get_name(self) -> str:
        return self.__class__.__name__

    def extra_repr(self) -> str:
        """What stands between the brackets of the repr; to be written by subclasses.

        Example:
            >>> class Scaled(lt.nn.Module):
            ...     def extra_repr(self):
            ...         return "factor=3"
            >>> Scaled()
            Scaled(factor=3)
        """
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        below = [f"({name}): {_indent(repr(child))}" for name, child in self._modules.items()]
        if lines and not below and len(lines) == 1:
            return f"{self._get_name()}({lines[0]})"
        if lines or below:
            return f"{self._get_name()}(\n  " + "\n  ".join(lines + below) + "\n)"
        return f"{self._get_name()}()"

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _indent(text: str) -> str:
    return text.replace("\n", "\n  ")


__all__ = ["Module", "RemovableHandle"]
