"""Methods for gradients: backward, hooks, leaving the graph."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, cast

from .._core import Node, Tensor, edge
from .._handles import HookDict, RemovableHandle
from ..autograd import walk


def backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Adds the gradients of this tensor to ``.grad`` of the leaves it was computed from.

    Example:
        >>> x = lt.tensor(3.0, requires_grad=True)
        >>> (x * x).backward()
        >>> x.grad
        tensor(6.)
    """
    wanted = [inputs] if isinstance(inputs, Tensor) else inputs
    walk.backward([self], [gradient], retain_graph, create_graph, wanted)


def register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Calls ``hook(grad)`` when this tensor's gradient is known; a returned tensor replaces it.

    Example:
        >>> x = lt.ones(2, requires_grad=True)
        >>> handle = x.register_hook(lambda g: g * 10)
        >>> x.sum().backward()
        >>> x.grad
        tensor([10., 10.])
    """
    if not self.requires_grad:
        raise RuntimeError("register_hook: the tensor does not require gradients, so none will come")
    target, nr = edge(self)
    if isinstance(target, Node):
        if target.hooks is None:
            target.hooks = {}
        hooks = target.hooks.setdefault(nr, HookDict())
    else:
        hooks = cast("HookDict | None", self._hooks)
        if hooks is None:
            hooks = self._hooks = HookDict()
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def retain_grad(self: Tensor) -> None:
    """Lets a tensor that is no leaf keep its gradient in ``.grad``.

    Example:
        >>> x = lt.ones(1, requires_grad=True)
        >>> y = x * 2
        >>> y.retain_grad()
        >>> (y * 3).backward()
        >>> y.grad
        tensor([3.])
    """
    if not self.requires_grad:
        raise RuntimeError("retain_grad: the tensor does not require gradients")
    node, nr = edge(self)
    if isinstance(node, Node):
        if node.retained is None:
            node.retained = {}
        node.retained[nr] = weakref.ref(self)


def _retains_grad(self: Tensor) -> bool:
    """Whether ``retain_grad`` was called on a tensor that is no leaf.

    Example:
        >>> y = lt.ones(1, requires_grad=True) * 2
        >>> y.retain_grad()
        >>> y.retains_grad
        True
    """
    node = self._node
    return node is not None and node.retained is not None and self.output_nr in node.retained


def _grad_fn(self: Tensor) -> Any:
    """The node of the operation that made the tensor; None for leaves.

    Example:
        >>> x = lt.ones(1, requires_grad=True)
        >>> x.grad_fn, (x * 2).grad_fn
        (None, <MulBackward>)
    """
    if not self.requires_grad:
        return None
    target = edge(self)[0]
    return target if isinstance(target, Node) else None


def requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Sets ``requires_grad`` and returns the tensor.

    Errors: RuntimeError for integers, or False for a tensor that was computed.

    Example:
        >>> w = lt.tensor([3.0]).requires_grad_()
        >>> (w * w).backward()
        >>> w.grad
        tensor([6.])
    """
    self.requires_grad = requires_grad
    return self


def detach_(self: Tensor) -> Tensor:
    """Takes the tensor itself out of the graph.

    Errors: RuntimeError for a view.

    Example:
        >>> y = lt.ones(2, requires_grad=True) * 3
        >>> y.detach_().requires_grad
        False
    """
    if self._base is not None:
        raise RuntimeError("detach_: a view cannot be detached in place; use .detach()")
    self._set_node(None)
    return self


def _get_data(self: Tensor) -> Tensor:
    """The same memory outside the graph; assigning points the tensor at other memory.

    Example:
        >>> w = lt.ones(2, requires_grad=True)
        >>> w.data -= 0.25
        >>> w.detach()
        tensor([0.7500, 0.7500])
    """
    return self.detach()


def _set_data(self: Tensor, value: Tensor) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"data: expected a Tensor, got {type(value).__name__}")
    if self.requires_grad and not value.dtype.is_floating_point:
        raise TypeError(f"data: the tensor requires gradients and cannot become {value.dtype!r}")
    self._set_data(value)


METHODS = (backward, register_hook, retain_grad, requires_grad_, detach_)
PROPERTIES: dict[str, tuple[Callable[[Tensor], Any], Callable[[Tensor, Tensor], None] | None]] = {
    "data": (_get_data, _set_data),
    "grad_fn": (_grad_fn, None),
    "retains_grad": (_retains_grad, None),
}
