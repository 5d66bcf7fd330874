"""Trading time for memory: a part of the graph is computed again on the way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .._core import Tensor
from .function import Function
from .grad_mode import enable_grad


class _Checkpoint(Function):
    @staticmethod
    def forward(ctx: Any, function: Callable[..., Any], preserve: bool, kwargs: dict[str, Any], *args: Any) -> Any:
        from .. import random

        ctx.function, ctx.kwargs = function, kwargs
        ctx.state = random.get_rng_state() if preserve else None
        ctx.plain = [None if isinstance(a, Tensor) else a for a in args]
        ctx.save_for_backward(*[a if isinstance(a, Tensor) else None for a in args])
        return function(*args, **kwargs)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        from .. import random
        from . import grad, is_grad_enabled

        create_graph = is_grad_enabled()
        wants = ctx.needs_input_grad[3:]
        inputs: list[Any] = []
        for t, plain, want in zip(ctx.saved_tensors, ctx.plain, wants, strict=True):
            if t is None or not want:
                inputs.append(plain if t is None else t.detach())
            else:
                inputs.append(t if create_graph else t.detach().requires_grad_(True))
        now = random.get_rng_state()
        if ctx.state is not None:
            random.set_rng_state(ctx.state)
        try:
            with enable_grad():
                outputs = ctx.function(*inputs, **ctx.kwargs)
        finally:
            random.set_rng_state(now)
        outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
        pairs = [
            (o, g)
            for o, g in zip(outputs, grads, strict=True)
            if isinstance(o, Tensor) and o.requires_grad and g is not None
        ]
        targets = [x for x, want in zip(inputs, wants, strict=True) if want]
        outs, seeds = [o for o, _ in pairs], [g for _, g in pairs]
        flows: list[Any]
        if create_graph:
            flows = list(grad(outs, targets, seeds, create_graph=True, allow_unused=True))
        else:
            # Parameters used inside get their gradients here; the inputs' flow on.
            from .tape import run_backward

            for t in targets:
                t.grad = None
            run_backward(outs, seeds, False, False)
            flows = [t.grad for t in targets]
        it = iter(flows)
        return (None, None, None, *[next(it) if want else None for want in wants])


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """Runs ``function`` without keeping what lies between its inputs and outputs; backward runs it again.

    At least one argument must require gradients. Random operations draw the same numbers the second time
    (``preserve_rng_state``). ``use_reentrant`` is accepted for PyTorch's sake.

    Example:
        >>> x = lt.ones(3, requires_grad=True)
        >>> lt.utils.checkpoint.checkpoint(lambda t: (t * 2).exp(), x).sum().backward()
        >>> bool((x.grad > 14).all())
        True
    """
    return _Checkpoint.apply(function, preserve_rng_state, kwargs, *args)


def checkpoint_sequential(functions: Sequence[Callable[..., Any]], segments: int, input: Any, **kwargs: Any) -> Any:
    """A chain of functions, checkpointed in ``segments`` parts (the last one is run as it is).

    Example:
        >>> x = lt.ones(3, requires_grad=True)
        >>> y = lt.utils.checkpoint.checkpoint_sequential([lt.exp, lt.log, lt.exp, lt.log], 2, x)
        >>> y.sum().item()
        3.0
    """
    functions = list(functions)
    if segments < 1 or segments > max(1, len(functions)):
        raise ValueError(f"checkpoint_sequential: segments must be 1 to {len(functions)}, got {segments}")

    def run(part: list[Callable[..., Any]]) -> Callable[[Any], Any]:
        def through(x: Any) -> Any:
            for f in part:
                x = f(x)
            return x

        return through

    size = len(functions) // segments
    for start in range(0, size * (segments - 1), size):
        input = checkpoint(run(functions[start : start + size]), input, **kwargs)
    return run(functions[size * (segments - 1) :])(input)
