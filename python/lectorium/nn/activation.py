"""Smooth activation layers; rectifiers and softmax are in files of their own."""

from __future__ import annotations

from .._core import Tensor
from . import functional as F
from .module import Module


class _InPlace(Module):
    """An activation that can change its input instead of making a new tensor."""

    inplace: bool

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class SELU(_InPlace):
    """The scaled ELU of self-normalising networks (Klambauer et al. 2017).

    Example:
        >>> lt.nn.SELU()(lt.tensor([-100.0, 0.0, 1.0]))
        tensor([-1.7581,  0.0000,  1.0507])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.selu(input, self.inplace)


class SiLU(_InPlace):
    """``x * sigmoid(x)``, also called swish (Elfwing et al. 2017).

    Example:
        >>> lt.nn.SiLU()(lt.tensor([-1.0, 0.0, 1.0]))
        tensor([-0.2689,  0.0000,  0.7311])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.silu(input, self.inplace)


class Mish(_InPlace):
    """``x * tanh(softplus(x))`` (Misra 2019).

    Example:
        >>> lt.nn.Mish()(lt.tensor([-1.0, 0.0, 1.0]))
        tensor([-0.3034,  0.0000,  0.8651])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.mish(input, self.inplace)


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``.

    Example:
        >>> lt.nn.Sigmoid()(lt.zeros(1))
        tensor([0.5000])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent.

    Example:
        >>> x = lt.tensor([0.0, 2.0], requires_grad=True)
        >>> y = lt.nn.Tanh()(x)
        >>> y.sum().backward()
        >>> y.detach(), x.grad
        (tensor([0.0000, 0.9640]), tensor([1.0000, 0.0707]))
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.tanh(input)


class LogSigmoid(Module):
    """``log(sigmoid(x))`` without overflow.

    Example:
        >>> lt.nn.LogSigmoid()(lt.tensor([-1000.0, 0.0]))
        tensor([-1.0000e+03, -6.9315e-01])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.logsigmoid(input)


class Softsign(Module):
    """``x / (1 + |x|)``.

    Example:
        >>> lt.nn.Softsign()(lt.tensor([-1.0, 9.0, 99.0]))
        tensor([-0.5000,  0.9000,  0.9900])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softsign(input)


class Tanhshrink(Module):
    """``x - tanh(x)``.

    Example:
        >>> lt.nn.Tanhshrink()(lt.tensor([-2.0, 0.5, 2.0]))
        tensor([-1.0360,  0.0379,  1.0360])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.tanhshrink(input)


class _Alpha(_InPlace):
    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class ELU(_Alpha):
    """``x`` above 0, ``alpha (exp(x) - 1)`` below (Clevert et al. 2015).

    Example:
        >>> lt.nn.ELU(alpha=0.5)(lt.tensor([-100.0, 0.0, 3.0]))
        tensor([-0.5000,  0.0000,  3.0000])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.elu(input, self.alpha, self.inplace)


class CELU(_Alpha):
    """``x`` above 0, ``alpha (exp(x / alpha) - 1)`` below (Barron 2017).

    Example:
        >>> lt.nn.CELU(alpha=0.5)(lt.tensor([-100.0, -0.5, 3.0]))
        tensor([-0.5000, -0.3161,  3.0000])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.celu(input, self.alpha, self.inplace)


class GELU(Module):
    """``x`` times the normal distribution function (Hendrycks & Gimpel 2016).

    ``approximate="tanh"`` is a little cheaper and within 0.0005 of it.

    Example:
        >>> x = lt.tensor([-2.0, 1.0])
        >>> lt.nn.GELU()(x), lt.nn.GELU("tanh")(x)
        (tensor([-0.0455,  0.8413]), tensor([-0.0454,  0.8412]))
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Softplus(Module):
    """``log(1 + exp(beta x)) / beta``.

    Example:
        >>> lt.nn.Softplus(beta=5.0)(lt.tensor([-1.0, 0.0, 1.0]))
        tensor([0.0013, 0.1386, 1.0013])
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class GLU(Module):
    """The first half of an axis times the sigmoid of the second (Dauphin et al. 2016).

    Example:
        >>> values_and_gates = lt.tensor([[3.0, 4.0, -100.0, 100.0]])
        >>> lt.nn.GLU()(values_and_gates)
        tensor([[0., 4.]])
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
