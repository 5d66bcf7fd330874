"""Functions that users hang on modules: before and after ``forward``, and in the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from .._core import Tensor
from .._handles import HookDict, RemovableHandle
from ..autograd.function import Function


def _entries(hooks: HookDict | None) -> list[Any]:
    """A copy, so that a hook may remove itself."""
    return list(hooks.values()) if hooks else []


def _tuple(value: Any) -> tuple[Any, ...]:
    return cast("tuple[Any, ...]", value) if isinstance(value, tuple) else (value,)


class Hooks:
    """The part of ``Module`` that registers and runs hooks."""

    # True from the first hook on; until then a call goes straight to forward.
    _hooked = False
    _hooks_before: HookDict | None
    _hooks_after: HookDict | None
    _hooks_backward: HookDict | None
    _hooks_backward_before: HookDict | None
    forward: Callable[..., Any]

    def _init_hooks(self) -> None:
        d = self.__dict__
        d["_hooks_before"] = d["_hooks_after"] = d["_hooks_backward"] = d["_hooks_backward_before"] = None

    def _add_hook(self, kind: str, entry: Any, prepend: bool) -> RemovableHandle:
        d = self.__dict__
        if d.get(kind) is None:
            d[kind] = HookDict()
        hooks: HookDict = d[kind]
        handle = RemovableHandle(hooks)
        hooks[handle.id] = entry
        if prepend:
            others = [(i, h) for i, h in hooks.items() if i != handle.id]
            hooks.clear()
            hooks[handle.id] = entry
            hooks.update(others)
        d["_hooked"] = True
        return handle

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """``hook(module, args)`` runs before ``forward``; what it returns (if any) replaces the arguments.

        With ``with_kwargs`` it is ``hook(module, args, kwargs)`` and returns None or both.

        Example:
            >>> m = lt.nn.ReLU()
            >>> handle = m.register_forward_pre_hook(lambda module, args: (args[0] - 1,))
            >>> m(lt.tensor([1.5]))
            tensor([0.5000])
        """
        return self._add_hook("_hooks_before", (hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """``hook(module, args, output)`` runs after ``forward``; what it returns replaces the output.

        With ``with_kwargs`` it is ``hook(module, args, kwargs, output)``; with ``always_call`` it runs (with
        output None) also when ``forward`` raises.

        Example:
            >>> seen = []
            >>> m = lt.nn.Linear(3, 2)
            >>> handle = m.register_forward_hook(lambda module, args, output: seen.append(output.shape))
            >>> _ = m(lt.zeros(4, 3))
            >>> seen
            [(4, 2)]
        """
        return self._add_hook("_hooks_after", (hook, with_kwargs, always_call), prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """``hook(module, grad_input, grad_output)`` runs when the gradients of the module's inputs are known.

        What it returns (if not None) replaces ``grad_input``.

        Example:
            >>> layer = lt.nn.Tanh()
            >>> handle = layer.register_full_backward_hook(lambda module, into, out: print(into, out))
            >>> layer(lt.zeros(1, requires_grad=True)).sum().backward()
            (tensor([1.]),) (tensor([1.]),)
        """
        return self._add_hook("_hooks_backward", hook, prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """``hook(module, grad_output)`` runs when the outputs' gradients are known and may replace them.

        Example:
            >>> layer = lt.nn.Identity()
            >>> handle = layer.register_full_backward_pre_hook(lambda module, grad_out: (grad_out[0] * 10,))
            >>> x = lt.ones(1, requires_grad=True)
            >>> layer(x).sum().backward()
            >>> x.grad
            tensor([10.])
        """
        return self._add_hook("_hooks_backward_before", hook, prepend)

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for hook, with_kwargs in _entries(self._hooks_before):
            if with_kwargs:
                both: Any = hook(self, args, kwargs)
                if both is not None:
                    if len(_tuple(both)) != 2:
                        raise RuntimeError(
                            "forward pre-hook: with kwargs it must return None or (args, kwargs)"
                        )
                    args, kwargs = both
            else:
                changed = hook(self, args)
                if changed is not None:
                    args = _tuple(changed)
        around = _BackwardHooks(self) if self._hooks_backward or self._hooks_backward_before else None
        if around is not None:
            args = around.watch_inputs(args)
        try:
            output = self.forward(*args, **kwargs)
        except Exception:
            for hook, with_kwargs, always in _entries(self._hooks_after):
                if always:
                    _ = hook(self, args, kwargs, None) if with_kwargs else hook(self, args, None)
            raise
        for hook, with_kwargs, _always in _entries(self._hooks_after):
            changed = hook(self, args, kwargs, output) if with_kwargs else hook(self, args, output)
            if changed is not None:
                output = changed
        return output if around is None else around.watch_outputs(output)


class _BackwardHooks:
    """One call's identity operations around a module, in whose backward passes the hooks run."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.hooks = _entries(module._hooks_backward)
        self.pre_hooks = _entries(module._hooks_backward_before)
        self.grad_output: tuple[Any, ...] | None = None
        self.inputs = 0
        self.watched: list[int] = []

    def watch_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.inputs = len(args)
        self.watched = [i for i, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad]
        if not self.watched or not self.hooks:
            self.watched = []
            return args
        aliases = _identity(self._on_inputs, [args[i] for i in self.watched])
        changed = list(args)
        for i, alias in zip(self.watched, aliases, strict=True):
            changed[i] = alias
        return tuple(changed)

    def watch_outputs(self, output: Any) -> Any:
        parts: list[Any] = [output] if isinstance(output, Tensor) else output
        if not isinstance(parts, (list, tuple)):
            return output
        where = [i for i, p in enumerate(parts) if isinstance(p, Tensor) and p.requires_grad]
        if not where:
            return output
        total = len(parts)

        def on_outputs(grads: tuple[Any, ...]) -> tuple[Any, ...]:
            full: list[Any] = [None] * total
            for i, g in zip(where, grads, strict=True):
                full[i] = g
            current = tuple(full)
            for hook in self.pre_hooks:
                changed = hook(self.module, current)
                if changed is not None:
                    current = _tuple(changed)
            self.grad_output = current
            if not self.watched:
                # No input wants a gradient, so nothing else tells when the module is done.
                for hook in self.hooks:
                    _ = hook(self.module, (None,) * self.inputs, current)
            return tuple(current[i] for i in where)

        aliases = _identity(on_outputs, [parts[i] for i in where])
        if isinstance(output, Tensor):
            return aliases[0]
        changed = list(parts)
        for i, alias in zip(where, aliases, strict=True):
            changed[i] = alias
        if hasattr(output, "_fields"):
            return type(output)(*changed)
        return type(output)(changed)

    def _on_inputs(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        full: list[Any] = [None] * self.inputs
        for i, g in zip(self.watched, grads, strict=True):
            full[i] = g
        current = tuple(full)
        for hook in self.hooks:
            changed = hook(self.module, current, self.grad_output)
            if changed is not None:
                changed = _tuple(changed)
                if len(changed) != self.inputs:
                    raise RuntimeError(
                        f"full backward hook: returned {len(changed)} gradients, "
                        f"expected {self.inputs}, one an input"
                    )
                current = changed
        return tuple(current[i] for i in self.watched)


def _identity(
    callback: Callable[[tuple[Any, ...]], tuple[Any, ...]], tensors: list[Tensor]
) -> tuple[Tensor, ...]:
    """Aliases of the tensors; their gradients pass through ``callback`` on the way back."""
    return _Identity.apply(callback, *tensors)


class _Identity(Function):
    @staticmethod
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        ctx.set_materialize_grads(False)
        ctx.callback = args[0]
        return args[1:]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return None, *ctx.callback(grads)


__all__ = ["HookDict", "Hooks", "RemovableHandle"]
