"""Hooks of tensors, modules and optimizers, and the handles that take them away."""

from __future__ import annotations

import itertools
import weakref
from typing import Any

_ids = itertools.count()


class HookDict(dict[int, Any]):
    """A dict that can be referred to weakly: a handle does not keep their owner alive."""


class RemovableHandle:
    """Takes a hook away again: with ``remove()``, or at the end of a ``with`` block."""

    def __init__(self, hooks: HookDict) -> None:
        self.id = next(_ids)
        self._hooks = weakref.ref(hooks)

    def remove(self) -> None:
        """The hook is not called any more; a second time does nothing."""
        hooks = self._hooks()
        if hooks is not None:
            hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()
