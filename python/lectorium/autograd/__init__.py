"""Automatic differentiation on a tape: ``backward``, ``grad``, functions of one's own, checks."""

from __future__ import annotations

from collections.abc import Sequence

from .._core import Node, ShapeError, Tensor
from .checkpoint import checkpoint
from .function import Function, FunctionCtx
from .grad_mode import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from .gradcheck import GradcheckError, gradcheck, gradgradcheck
from .walk import backward as _backward, run_backward, seed_gradients


def _list(value: Tensor | Sequence[Tensor]) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else list(value)


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Adds the gradients of the ``tensors`` to ``.grad`` of the leaves (or of ``inputs`` only).

    Example:
        >>> x = lt.tensor([1.0, 2.0], requires_grad=True)
        >>> lt.autograd.backward((x * x).sum())
        >>> x.grad.tolist()
        [2.0, 4.0]
    """
    outputs = _list(tensors)
    if grad_tensors is None:
        seeds: list[Tensor | None] = [None] * len(outputs)
    else:
        seeds = [grad_tensors] if isinstance(grad_tensors, Tensor) else list(grad_tensors)
    _backward(outputs, seeds, retain_graph, create_graph, None if inputs is None else _list(inputs))


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Tensor, ...]:
    """The gradients of ``outputs`` (summed) with respect to each of ``inputs``; ``.grad`` stays as it is.

    With ``create_graph`` the results can be differentiated again. An input that the outputs do not depend
    on is an error, or None with ``allow_unused``, or zeros with ``materialize_grads``.

    Example:
        >>> x = lt.tensor(3.0, requires_grad=True)
        >>> (g,) = lt.autograd.grad(x**3, x, create_graph=True)
        >>> lt.autograd.grad(g, x)[0].item()
        18.0
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "grad: materialize_grads gives zeros for unused inputs; allow_unused=False contradicts it"
        )
    outs, ins = _list(outputs), _list(inputs)
    if grad_outputs is None:
        seeds: list[Tensor | None] = [None] * len(outs)
    else:
        seeds = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)
    for i, t in enumerate(ins):
        if not t.requires_grad:
            raise RuntimeError(
                f"grad: input {i} does not require gradients; set requires_grad before using it"
            )
    retain = create_graph if retain_graph is None else retain_graph
    found = run_backward(outs, seed_gradients("grad", outs, seeds, create_graph), retain, create_graph, ins)
    results: list[Tensor] = []
    for i, (t, g) in enumerate(zip(ins, found, strict=True)):
        if g is None and materialize_grads:
            from .. import zeros_like

            g = zeros_like(t)
        if g is None and not allow_unused:
            raise RuntimeError(
                f"grad: the outputs do not depend on input {i}; pass allow_unused=True to get None for it"
            )
        results.append(g)  # pyright: ignore[reportArgumentType]
    return tuple(results)


__all__ = [
    "Function",
    "FunctionCtx",
    "GradcheckError",
    "Node",
    "ShapeError",
    "backward",
    "checkpoint",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
]
