"""Gradients compared with finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from .._checks import is_a
from .._core import Tensor

_HINT = "use float64 inputs away from kinks, or raise atol and rtol"


class GradcheckError(RuntimeError):
    """An analytical gradient that differs from the numerical one.

    Example:
        >>> class Wrong(lt.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         return x * 3
        ...     @staticmethod
        ...     def backward(ctx, g):
        ...         return g * 2
        >>> try:
        ...     lt.autograd.gradcheck(Wrong.apply, [lt.ones(1, dtype=lt.float64, requires_grad=True)])
        ... except lt.autograd.GradcheckError as error:
        ...     print(error)
        gradcheck: ... the tape says 2, central differences say 3; ...
    """


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if is_a(value, tuple, list) else (value,)


def _outputs(function: Callable[..., Any], inputs: Sequence[Any]) -> list[Tensor]:
    return [o for o in _as_tuple(function(*inputs)) if isinstance(o, Tensor) and o.dtype.is_floating_point]


def _numerical(function: Callable[..., Any], inputs: Sequence[Any], which: int, eps: float) -> list[Any]:
    """Columns of the Jacobian: for each element of an input the change of every output."""
    import numpy as np

    x = cast(Tensor, inputs[which])
    columns: list[list[Any]] = []
    data = x.detach().clone().numpy()
    flat = data.reshape(-1)
    for i in range(flat.size):
        values: list[list[Any]] = []
        for step in (eps, -eps):
            moved = flat.copy()
            moved[i] += step
            shifted = list(inputs)
            shifted[which] = x.new_tensor(moved.reshape(data.shape)).requires_grad_(x.requires_grad)
            # Recording stays on: the function may take gradients itself.
            values.append([o.detach().clone().numpy() for o in _outputs(function, shifted)])
        columns.append([(a - b) / (2 * eps) for a, b in zip(*values, strict=True)])
    return [np.stack([c[o].reshape(-1) for c in columns]) for o in range(len(columns[0]))] if columns else []


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Whether the gradients of ``func`` agree with central differences in every input.

    ``inputs``: a tensor or tuple; those that require gradients (float64) are checked. Raises
    ``GradcheckError`` unless ``raise_exception`` is False.

    Example:
        >>> x = lt.tensor([0.3, -0.7], dtype=lt.float64, requires_grad=True)
        >>> lt.autograd.gradcheck(lt.sigmoid, (x,))
        True
    """
    import numpy as np

    from . import grad

    inputs = _as_tuple(inputs)
    checked = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    if not checked:
        raise ValueError("gradcheck: none of the inputs requires gradients; set requires_grad=True")
    for i in checked:
        if inputs[i].dtype.name != "float64":
            raise ValueError(
                f"gradcheck: input {i} is {inputs[i].dtype.name}; finite differences need float64"
            )
    outputs = _outputs(func, inputs)
    if not outputs or not any(o.requires_grad for o in outputs):
        raise ValueError("gradcheck: no output of the function requires gradients")
    for i in checked:
        numerical = _numerical(func, inputs, i, eps)
        for o, out in enumerate(outputs):
            analytical = np.zeros((inputs[i].numel(), out.numel()))
            for j in range(out.numel() if out.requires_grad else 0):
                seed = np.zeros(out.numel())
                seed[j] = 1.0
                (g,) = grad(
                    [out],
                    [inputs[i]],
                    [out.new_tensor(seed.reshape(out.shape))],
                    retain_graph=True,
                    allow_unused=True,
                )
                if g is not None:
                    analytical[:, j] = g.detach().clone().numpy().reshape(-1)
            want = numerical[o] if numerical else analytical
            if not np.allclose(analytical, want, rtol=rtol, atol=atol, equal_nan=True):
                if not raise_exception:
                    return False
                worst = np.unravel_index(np.argmax(np.abs(analytical - want)), want.shape)
                raise GradcheckError(
                    f"gradcheck: output {o} with respect to input {i}: at element {int(worst[0])} of the "
                    f"input and {int(worst[1])} of the output the tape says {analytical[worst]:.6g}, "
                    f"central differences say {want[worst]:.6g}; if the function is right, {_HINT}"
                )
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Whether the gradients of the gradients of ``func`` agree with central differences.

    Example:
        >>> x = lt.tensor([0.3, -0.7], dtype=lt.float64, requires_grad=True)
        >>> lt.autograd.gradgradcheck(lt.tanh, (x,))
        True
    """
    import numpy as np

    from . import grad

    inputs = _as_tuple(inputs)
    outputs = [o for o in _outputs(func, inputs) if o.requires_grad]
    if grad_outputs is None:
        draw = np.random.RandomState(0)
        seeds = [o.new_tensor(draw.randn(*o.shape)).requires_grad_(True) for o in outputs]
    else:
        seeds = [g.detach().clone().requires_grad_(True) for g in _as_tuple(grad_outputs)]
    n = len(inputs)

    def first_order(*args: Any) -> tuple[Tensor, ...]:
        xs, gs = args[:n], args[n:]
        wanted = [x for x in xs if isinstance(x, Tensor) and x.requires_grad]
        outs = [o for o in _outputs(func, xs) if o.requires_grad]
        grads = grad(outs, wanted, list(gs), create_graph=True, allow_unused=True)
        return tuple(g for g in grads if g is not None)

    if not first_order(*inputs, *seeds):
        return True
    return gradcheck(
        first_order, (*inputs, *seeds), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception
    )
