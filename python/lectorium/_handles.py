"""Hooks of tensors, modules and optimizers, and the handles that take them away."""

from __future__ import annotations

import itertools
import weakref
from typing import Any

_ids = itertools.count()


class HookDict(dict[int, Any]):
    """A dict that can be referred to weakly: a handle does not keep their owner alive."""


class RemovableHandle:
    """Takes a hook away again: with ``remove()``, or at the end of a ``with`` block.

    Example:
        >>> layer = lt.nn.Identity()
        >>> with layer.register_forward_hook(lambda module, args, out: out * 10):
        ...     print(layer(lt.ones(1)))
        tensor([10.])
        >>> layer(lt.ones(1))
        tensor([1.])
    """

    def __init__(self, hooks: HookDict) -> None:
        self.id = next(_ids)
        self._hooks = weakref.ref(hooks)

    def remove(self) -> None:
        """The hook is not called any more; a second time does nothing.

        Example:
            >>> x = lt.ones(1, requires_grad=True)
            >>> handle = x.register_hook(lambda g: g * 100)
            >>> handle.remove()
            >>> x.sum().backward()
            >>> x.grad
            tensor([1.])
        """
        hooks = self._hooks()
        if hooks is not None:
            hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()
