"""Rectifiers and other activation layers that are cut off somewhere."""

from __future__ import annotations

from typing import Any

from .._core import Tensor, dtype as DType
from . import functional as F
from ._make import filled, size
from .activation import _InPlace
from .module import Module
from .parameter import Parameter


class ReLU(_InPlace):
    """``max(x, 0)``.

    Example:
        >>> lt.nn.ReLU()(lt.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input, self.inplace)


class ReLU6(_InPlace):
    """``min(max(x, 0), 6)``.

    Example:
        >>> lt.nn.ReLU6()(lt.tensor([-2.0, 5.0, 7.0]))
        tensor([0., 5., 6.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.relu6(input, self.inplace)


class Hardswish(_InPlace):
    """``x * relu6(x + 3) / 6`` (MobileNetV3).

    Example:
        >>> x = lt.tensor([-1.5, 1.5])
        >>> lt.nn.Hardswish(inplace=True)(x) is x, x
        (True, tensor([-0.3750,  1.1250]))
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.hardswish(input, self.inplace)

    def extra_repr(self) -> str:
        return ""


class Hardsigmoid(_InPlace):
    """``relu6(x + 3) / 6``.

    Example:
        >>> lt.nn.Hardsigmoid()(lt.tensor([-6.0, -1.5, 6.0]))
        tensor([0.0000, 0.2500, 1.0000])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.hardsigmoid(input, self.inplace)

    def extra_repr(self) -> str:
        return ""


class LeakyReLU(_InPlace):
    """``x`` above 0, ``negative_slope * x`` below (Maas et al. 2013).

    Example:
        >>> lt.nn.LeakyReLU(0.2)(lt.tensor([-5.0, 5.0]))
        tensor([-1.,  5.])
    """

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class Hardtanh(_InPlace):
    """``x`` held between ``min_val`` and ``max_val``.

    Errors: ValueError if ``min_val`` is above ``max_val``.

    Example:
        >>> lt.nn.Hardtanh(-2.0, 0.5)(lt.tensor([-3.0, -1.0, 1.0]))
        tensor([-2.0000, -1.0000,  0.5000])
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        if min_val > max_val:
            raise ValueError(f"Hardtanh: min_val must not be above max_val, got {min_val} and {max_val}")
        self.min_val = min_val
        self.max_val = max_val

    def forward(self, input: Tensor) -> Tensor:
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}" + (", inplace=True" if self.inplace else "")


class _Lambda(Module):
    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        return str(self.lambd)


class Softshrink(_Lambda):
    """``x`` moved towards 0 by ``lambd``.

    Example:
        >>> lt.nn.Softshrink(1.0)(lt.tensor([-3.0, 0.5, 1.5]))
        tensor([-2.0000,  0.0000,  0.5000])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softshrink(input, self.lambd)


class Hardshrink(_Lambda):
    """0 where ``|x| <= lambd``, else ``x``.

    Example:
        >>> lt.nn.Hardshrink(1.0)(lt.tensor([-3.0, 0.5, 1.5]))
        tensor([-3.0000,  0.0000,  1.5000])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.hardshrink(input, self.lambd)


class Threshold(_InPlace):
    """``x`` where ``x > threshold``, else ``value``.

    Example:
        >>> lt.nn.Threshold(1.0, 20.0)(lt.tensor([0.5, 1.0, 1.5]))
        tensor([20.0000, 20.0000,  1.5000])
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.threshold = threshold
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}" + (", inplace=True" if self.inplace else "")


class PReLU(Module):
    """``x`` above 0, a learned slope times ``x`` below (He et al. 2015); one slope, or one a channel.

    Shapes: ``num_parameters`` slopes for axis 1 of ``[N, C, ...]``.

    Example:
        >>> layer = lt.nn.PReLU()
        >>> layer(lt.tensor([-4.0, 4.0])).sum().backward()
        >>> layer.weight.grad
        tensor([-4.])
    """

    weight: Tensor

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: DType | None = None
    ) -> None:
        super().__init__()
        self.num_parameters = size("PReLU", "num_parameters", num_parameters)
        self.init = init
        self.weight = Parameter(filled((num_parameters,), init, dtype, device))

    def reset_parameters(self) -> None:
        """All slopes as at first."""
        from .init import constant_

        constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class RReLU(_InPlace):
    """Leaky ReLU with a random slope in training and its mean otherwise (Xu et al. 2015).

    Example:
        >>> layer = lt.nn.RReLU(0.1, 0.3)
        >>> layer.eval()(lt.tensor([-10.0, 10.0]))
        tensor([-2., 10.])
    """

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.lower = lower
        self.upper = upper

    def forward(self, input: Tensor) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}" + (", inplace=True" if self.inplace else "")
