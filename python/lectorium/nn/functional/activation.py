"""Smooth activation functions; rectifiers and softmax are in files of their own."""

from __future__ import annotations

from ... import ops
from ..._core import Tensor
from ._shared import ShapeError, applied, axis_of, tensor_of


def sigmoid(input: Tensor) -> Tensor:
    """``1 / (1 + exp(-x))``, from 0 to 1; integers give the default float dtype.

    Example:
        >>> lt.nn.functional.sigmoid(lt.tensor([-100.0, 0.0, 2.0]))
        tensor([0.0000, 0.5000, 0.8808])
    """
    return ops.sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent, from -1 to 1; integers give the default float dtype.

    Example:
        >>> lt.nn.functional.tanh(lt.tensor([-1.0, 0.0, 20.0]))
        tensor([-0.7616,  0.0000,  1.0000])
    """
    return ops.tanh(input)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` above 0, ``alpha (exp(x) - 1)`` below (Clevert et al. 2015).

    Example:
        >>> lt.nn.functional.elu(lt.tensor([-10.0, -1.0, 2.0]), alpha=2.0)
        tensor([-1.9999, -1.2642,  2.0000])
    """
    return applied(ops.elu, input, inplace, float(alpha))


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """``elu`` in place.

    Example:
        >>> x = lt.tensor([-1.0, 3.0])
        >>> lt.nn.functional.elu_(x) is x, x
        (True, tensor([-0.6321,  3.0000]))
    """
    return elu(input, alpha, True)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` above 0, ``alpha (exp(x / alpha) - 1)`` below (Barron 2017).

    The slope at 0 is 1 from both sides for every ``alpha``.

    Example:
        >>> lt.nn.functional.celu(lt.tensor([-10.0, -0.01, 2.0]), alpha=2.0)
        tensor([-1.9865, -0.0100,  2.0000])
    """
    return applied(ops.celu, input, inplace, float(alpha))


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """``celu`` in place.

    Example:
        >>> x = lt.tensor([-0.5, 0.5])
        >>> _ = lt.nn.functional.celu_(x, 0.1)
        >>> x
        tensor([-0.0993,  0.5000])
    """
    return celu(input, alpha, True)


def selu_(input: Tensor) -> Tensor:
    """``selu`` in place.

    Example:
        >>> x = lt.tensor([-1.0, 1.0])
        >>> lt.nn.functional.selu_(x)
        tensor([-1.1113,  1.0507])
    """
    return selu(input, True)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """The scaled ELU of self-normalising networks (Klambauer et al. 2017).

    Its two constants keep mean 0 and variance 1 from layer to layer.

    Example:
        >>> y = lt.nn.functional.selu(lt.randn(100000))
        >>> abs(round(y.mean().item(), 1)), round(y.var().item(), 1)
        (0.0, 1.0)
    """
    return applied(ops.selu, input, inplace)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """``x`` times the normal distribution function (Hendrycks & Gimpel 2016).

    ``approximate='tanh'`` is a little cheaper.

    Example:
        >>> lt.nn.functional.gelu(lt.tensor([0.0, 1.0]))
        tensor([0.0000, 0.8413])
    """
    if approximate == "none":
        return ops.gelu(input)
    if approximate == "tanh":
        return ops.gelu_tanh(input)
    raise ValueError(f"gelu: approximate argument must be either none or tanh, got {approximate!r}")


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * sigmoid(x)``, also called swish (Elfwing et al. 2017).

    Example:
        >>> lt.nn.functional.silu(lt.tensor([-4.0, -1.0, 1.0, 4.0]))
        tensor([-0.0719, -0.2689,  0.7311,  3.9281])
    """
    return applied(ops.silu, input, inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * tanh(softplus(x))`` (Misra 2019).

    Example:
        >>> lt.nn.functional.mish(lt.tensor([-5.0, -1.0, 0.0, 5.0]))
        tensor([-0.0336, -0.3034,  0.0000,  4.9996])
    """
    return applied(ops.mish, input, inplace)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta x)) / beta``, a smooth ``relu``; ``x`` itself where ``beta x > threshold``.

    Example:
        >>> x = lt.tensor([-2.0, 0.0, 100.0])
        >>> lt.nn.functional.softplus(x), lt.nn.functional.softplus(x, beta=2.0)
        (tensor([  0.1269,   0.6931, 100.0000]), tensor([9.0750e-03, 3.4657e-01, 1.0000e+02]))
    """
    return ops.softplus(input, float(beta), float(threshold))


def softsign(input: Tensor) -> Tensor:
    """``x / (1 + |x|)``.

    Example:
        >>> lt.nn.functional.softsign(lt.tensor([-3.0, 0.0, 1.0]))
        tensor([-0.7500,  0.0000,  0.5000])
    """
    return ops.softsign(input)


def tanhshrink(input: Tensor) -> Tensor:
    """``x - tanh(x)``.

    Example:
        >>> lt.nn.functional.tanhshrink(lt.tensor([-1.0, 0.0, 3.0]))
        tensor([-0.2384,  0.0000,  2.0049])
    """
    return ops.tanhshrink(input)


def logsigmoid(input: Tensor) -> Tensor:
    """``log(sigmoid(x))`` without overflow.

    Example:
        >>> x = lt.tensor([-200.0, 0.0])
        >>> lt.nn.functional.logsigmoid(x), x.sigmoid().log()
        (tensor([-200.0000,   -0.6931]), tensor([   -inf, -0.6931]))
    """
    return ops.logsigmoid(input)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half of an axis times the sigmoid of the second (Dauphin et al. 2016).

    Example:
        >>> lt.nn.functional.glu(lt.tensor([3.0, 0.0]))
        tensor([1.5000])
    """
    axis = axis_of("glu", dim, tensor_of("glu", input).ndim)
    size = input.shape[axis] if input.ndim else 1
    if size % 2:
        raise ShapeError(f"glu: the axis must have an even size, but axis {axis} has size {size}")
    first = ops.narrow(input, axis, 0, size // 2)
    return ops.mul(first, ops.sigmoid(ops.narrow(input, axis, size // 2, size // 2)))
