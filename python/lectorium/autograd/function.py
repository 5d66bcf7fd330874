"""Operations that users write themselves."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._checks import is_a
from .._core import Op, Tensor, edge, is_grad_enabled, record, set_grad_enabled
from .inplace import move_history, refuse


class FunctionCtx:
    """What ``forward`` leaves for ``backward``: saved tensors and any attributes.

    Example:
        >>> class Scale(lt.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x, factor):
        ...         ctx.factor = factor
        ...         return x * factor
        ...     @staticmethod
        ...     def backward(ctx, g):
        ...         return g * ctx.factor, None
        >>> x = lt.ones(2, requires_grad=True)
        >>> Scale.apply(x, 3.0).sum().backward()
        >>> x.grad
        tensor([3., 3.])
    """

    needs_input_grad: tuple[bool, ...] = ()
    _to_save: tuple[Tensor | None, ...] = ()
    _saved: tuple[Tensor | None, ...] | None = None
    _not_differentiable: tuple[Tensor, ...] = ()
    _dirty: tuple[Tensor, ...] = ()
    _materialize = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keeps inputs or outputs for ``backward``, checked there to be unchanged.

        Errors: TypeError for what is no tensor.

        Example:
            >>> class Square(lt.autograd.Function):
            ...     @staticmethod
            ...     def forward(ctx, x):
            ...         ctx.save_for_backward(x)
            ...         return x * x
            ...     @staticmethod
            ...     def backward(ctx, g):
            ...         return 2 * ctx.saved_tensors[0] * g
            >>> x = lt.tensor([3.0], requires_grad=True)
            >>> Square.apply(x).backward()
            >>> x.grad
            tensor([6.])
        """
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(
                    f"save_for_backward: expected tensors or None, got {type(t).__name__}; "
                    "set an attribute of ctx"
                )
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What ``save_for_backward`` kept."""
        return self._to_save if self._saved is None else self._saved

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """These outputs need no gradients.

        Example:
            >>> class Halves(lt.autograd.Function):
            ...     @staticmethod
            ...     def forward(ctx, x):
            ...         large = x > 1
            ...         ctx.mark_non_differentiable(large)
            ...         return x / 2, large
            ...     @staticmethod
            ...     def backward(ctx, g, _):
            ...         return g / 2
            >>> half, large = Halves.apply(lt.tensor([4.0], requires_grad=True))
            >>> half.requires_grad, large.requires_grad
            (True, False)
        """
        self._not_differentiable = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """These inputs were changed in place; ``forward`` must return them too.

        Example:
            >>> class Double_(lt.autograd.Function):
            ...     @staticmethod
            ...     def forward(ctx, x):
            ...         ctx.mark_dirty(x)
            ...         return x.mul_(2)
            ...     @staticmethod
            ...     def backward(ctx, g):
            ...         return g * 2
            >>> x = lt.ones(2, requires_grad=True)
            >>> y = x + 0
            >>> _ = Double_.apply(y)
            >>> y.sum().backward()
            >>> y.detach(), x.grad
            (tensor([2., 2.]), tensor([2., 2.]))
        """
        self._dirty = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether ``backward`` gets zeros (default) or None for outputs that nobody used.

        Example:
            >>> class Both(lt.autograd.Function):
            ...     @staticmethod
            ...     def forward(ctx, x):
            ...         ctx.set_materialize_grads(False)
            ...         return x * 2, x * 3
            ...     @staticmethod
            ...     def backward(ctx, g2, g3):
            ...         print(g3)
            ...         return g2 * 2
            >>> x = lt.ones(1, requires_grad=True)
            >>> Both.apply(x)[0].backward()
            None
        """
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
        """Computes the result; to be written by the subclass, as in the example of ``Function``.

        Example:
            >>> lt.autograd.Function.apply(lt.ones(1))
            Traceback (most recent call last):
            NotImplementedError: Function: the subclass must define a static method forward(ctx, ...)
        """
        raise NotImplementedError("Function: the subclass must define a static method forward(ctx, ...)")

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Computes the gradients, one for each argument of ``forward``; to be written by the subclass.

        Example:
            >>> class Round(lt.autograd.Function):
            ...     @staticmethod
            ...     def forward(ctx, x):
            ...         return x.round()
            ...     @staticmethod
            ...     def backward(ctx, g):
            ...         return g  # as if it had not been rounded
            >>> x = lt.tensor([0.7], requires_grad=True)
            >>> Round.apply(x).backward()
            >>> x.grad
            tensor([1.])
        """
        raise NotImplementedError("Function: the subclass must define a static method backward(ctx, ...)")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Runs ``forward`` and records how to come back; arguments that are no tensors get None as gradient.

        Example:
            >>> class Power(lt.autograd.Function):
            ...     @staticmethod
            ...     def forward(ctx, x, n):
            ...         ctx.save_for_backward(x)
            ...         ctx.n = n
            ...         return x**n
            ...     @staticmethod
            ...     def backward(ctx, g):
            ...         return g * ctx.n * ctx.saved_tensors[0] ** (ctx.n - 1), None
            >>> x = lt.tensor([2.0], requires_grad=True)
            >>> Power.apply(x, 3).backward()
            >>> x.grad
            tensor([12.])
        """
        ctx = FunctionCtx()
        recording = is_grad_enabled()
        ctx.needs_input_grad = tuple(recording and isinstance(a, Tensor) and a.requires_grad for a in args)
        before = set_grad_enabled(False)
        try:
            setup = getattr(cls, "setup_context", None)
            if setup is None:
                result = cls.forward(ctx, *args, **kwargs)
            else:
                result = cls.forward(*args, **kwargs)
                setup(ctx, args, result)
        finally:
            set_grad_enabled(before)
        single = not is_a(result, tuple, list)
        results: list[Any] = [result] if single else list(result)
        dirty = {id(t) for t in ctx._dirty}
        for i, r in enumerate(results):
            # An input handed through becomes an alias, so that it can have a node of its own.
            if isinstance(r, Tensor) and id(r) not in dirty and any(r is a for a in args):
                results[i] = _core.view(r, list(r.shape)) if r.is_contiguous() else _core.clone(r)
        if any(ctx.needs_input_grad):
            _record(cls, ctx, args, results, dirty)
        return results[0] if single else tuple(results)


def _record(
    cls: type[Function], ctx: FunctionCtx, args: tuple[Any, ...], results: list[Any], dirty: set[int]
) -> None:
    made = Op(cls.__name__, len(results), by_user=True)
    skip = {id(t) for t in ctx._not_differentiable}
    outs = [r if isinstance(r, Tensor) and id(r) not in skip else None for r in results]
    out_metas = [_core.meta(r) for r in results]
    metas = [_core.meta(a) for a in args]

    def vjp(k: Any, g: Any, saved: tuple[Any, ...], need: tuple[bool, ...]) -> Any:
        grads: list[Any] = list(g) if is_a(g, tuple) else [g]
        if ctx._materialize:
            grads = [
                _core.zeros_of(meta) if value is None and meta is not None else value
                for value, meta in zip(grads, out_metas, strict=True)
            ]
        ctx._saved = saved
        try:
            flows: Any = cls.backward(ctx, *grads)
        finally:
            ctx._saved = ()
        flows = flows if is_a(flows, tuple, list) else (flows,)
        extra = flows[len(metas) :]
        if len(flows) < len(metas) or any(flow is not None for flow in extra):
            raise RuntimeError(
                f"{cls.__name__}.backward returned {len(flows)} gradients, expected {len(metas)}: "
                "one for each argument of forward, None where there is none"
            )
        return [
            _checked(cls.__name__, i, k, f, m) for i, (f, m) in enumerate(zip(flows, metas, strict=False))
        ]

    made.vjp = vjp
    saved = tuple(ctx._to_save)
    ctx._to_save = ctx._dirty = ctx._not_differentiable = ()
    changed = [r for r in outs if r is not None and id(r) in dirty]
    if not changed:
        record(made, args, tuple(outs), saved)
        return
    for r in changed:
        refuse(cls.__name__, r)
    # The node takes aliases for its outputs: only then does what was changed get its new history.
    fresh = [r.detach() if r is not None and id(r) in dirty else r for r in outs]
    record(made, args, tuple(fresh), saved)
    for r, alias in zip(outs, fresh, strict=True):
        if r is not None and alias is not None and r is not alias:
            move_history(r, edge(alias))


def _checked(name: str, i: int, k: Any, flow: Any, meta: Any) -> Any:
    """A gradient from the user's ``backward`` in the argument's shape and dtype, as an alias."""
    if flow is None:
        return None
    if not isinstance(flow, Tensor):
        raise TypeError(f"{name}.backward: gradient {i} must be a Tensor or None, got {type(flow).__name__}")
    if meta is None:
        raise RuntimeError(f"{name}.backward: argument {i} is no tensor, its gradient must be None")
    if flow.shape != meta.shape or flow.dtype is not meta.dtype:
        lead = flow.ndim - len(meta.shape)
        if lead < 0 or any(m not in (1, n) for m, n in zip(meta.shape, flow.shape[lead:], strict=True)):
            raise _core.ShapeError(
                f"{name}.backward: gradient {i} has shape {list(flow.shape)}, "
                f"the argument has {list(meta.shape)}"
            )
        flow = k.sum_to(flow, meta)
    # Whoever wrote `backward` may keep the tensor: it must not become somebody's .grad.
    return flow if flow.requires_grad else flow.detach()


__all__ = ["Function", "FunctionCtx"]
