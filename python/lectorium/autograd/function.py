"""Operations that users write themselves."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._core import Tensor, is_grad_enabled, set_grad_enabled
from .tape import Op, record


class FunctionCtx:
    """What ``forward`` leaves for ``backward``: saved tensors and any attributes."""

    needs_input_grad: tuple[bool, ...] = ()
    _to_save: tuple[Tensor | None, ...] = ()
    _saved: tuple[Tensor | None, ...] | None = None
    _not_differentiable: tuple[Tensor, ...] = ()
    _materialize = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keeps inputs or outputs for ``backward``, checked there to be unchanged."""
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(
                    f"save_for_backward: expected tensors or None, got {type(t).__name__}; set an attribute of ctx"
                )
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What ``save_for_backward`` kept."""
        return self._to_save if self._saved is None else self._saved

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """These outputs need no gradients."""
        self._not_differentiable = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether ``backward`` gets zeros (default) or None for outputs that nobody used."""
        self._materialize = value


class Function:
    """A differentiable operation with a backward pass written by hand.

    ``forward(ctx, *args)`` computes; ``backward(ctx, *grads)`` returns one gradient (or None) for each
    argument of forward. Call it with ``apply``. Gradients of gradients work where ``backward`` uses
    differentiable operations on ``ctx.saved_tensors``.

    Example:
        >>> class Cube(lt.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         ctx.save_for_backward(x)
        ...         return x * x * x
        ...     @staticmethod
        ...     def backward(ctx, g):
        ...         (x,) = ctx.saved_tensors
        ...         return g * 3 * x * x
        >>> x = lt.tensor(2.0, requires_grad=True)
        >>> Cube.apply(x).backward()
        >>> x.grad.item()
        12.0
    """

    @staticmethod
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        """Computes the result; to be written by the subclass."""
        raise NotImplementedError("Function: the subclass must define a static method forward(ctx, ...)")

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Computes the gradients; to be written by the subclass."""
        raise NotImplementedError("Function: the subclass must define a static method backward(ctx, ...)")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Runs ``forward`` and records how to come back."""
        ctx = FunctionCtx()
        recording = is_grad_enabled()
        ctx.needs_input_grad = tuple(recording and isinstance(a, Tensor) and a.requires_grad for a in args)
        before = set_grad_enabled(False)
        try:
            result = cls.forward(ctx, *args, **kwargs)
        finally:
            set_grad_enabled(before)
        single = isinstance(result, Tensor)
        results = [result] if single else list(result)
        for i, r in enumerate(results):
            # An input handed through becomes an alias, so that it can have a node of its own.
            if isinstance(r, Tensor) and any(r is a for a in args):
                results[i] = r.detach()
        if any(ctx.needs_input_grad):
            _record(cls, ctx, args, results)
        return results[0] if single else tuple(results)


def _record(cls: type[Function], ctx: FunctionCtx, args: tuple[Any, ...], results: list[Any]) -> None:
    made = Op(cls.__name__, len(results))
    skip = {id(t) for t in ctx._not_differentiable}
    outs = [r if isinstance(r, Tensor) and id(r) not in skip else None for r in results]
    metas = [(list(r.shape), r.dtype) if isinstance(r, Tensor) else None for r in results]
    shapes = [a.shape if isinstance(a, Tensor) else None for a in args]

    def vjp(k: Any, g: Any, saved: tuple[Any, ...], need: tuple[bool, ...]) -> Any:
        grads = list(g) if isinstance(g, tuple) else [g]
        if ctx._materialize:
            for i, value in enumerate(grads):
                meta = metas[i]
                if value is None and meta is not None:
                    grads[i] = _core.zeros(*meta)
        ctx._saved = saved
        try:
            flows = cls.backward(ctx, *grads)
        finally:
            ctx._saved = ()
        flows = flows if isinstance(flows, tuple) else (flows,)
        if len(flows) != len(shapes):
            raise RuntimeError(
                f"{cls.__name__}.backward returned {len(flows)} gradients, expected {len(shapes)}: one for each "
                "argument of forward, None where there is none"
            )
        for i, (flow, shape) in enumerate(zip(flows, shapes, strict=True)):
            if flow is not None and shape is not None and flow.shape != shape:
                raise _core.ShapeError(
                    f"{cls.__name__}.backward: gradient {i} has shape {list(flow.shape)}, "
                    f"the argument has {list(shape)}"
                )
        return flows

    made.vjp = vjp
    saved = tuple(ctx._to_save)
    ctx._to_save = ()
    record(made, args, tuple(outs), saved)


__all__ = ["Function", "FunctionCtx"]
