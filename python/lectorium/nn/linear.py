"""Fully connected layers."""

from __future__ import annotations

import math
from typing import Any

from .._core import Tensor, dtype as DType
from . import functional as F, init
from ._make import parameter, reset_affine, size
from .module import Module


class Identity(Module):
    """Gives back what it gets, whatever it was made with.

    Example:
        >>> lt.nn.Identity(54, unused=True)(lt.ones(2))
        tensor([1., 1.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Linear(Module):
    """``y = x Wᵀ + b``.

    Shapes: ``[*, in_features]`` to ``[*, out_features]``; weight ``[out_features, in_features]``.

    Example:
        >>> lt.nn.Linear(20, 30)(lt.randn(128, 20)).shape
        (128, 30)
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.in_features = size("Linear", "in_features", in_features, 0)
        self.out_features = size("Linear", "out_features", out_features, 0)
        self.weight = parameter((out_features, in_features), dtype, device)
        self.register_parameter("bias", parameter((out_features,), dtype, device) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the weights anew."""
        reset_affine(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return self._run_as(F.linear, input)

    def _run_as(self, function: Any, input: Tensor) -> Tensor:
        members = self._parameters
        return function(input, members["weight"], members["bias"])

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        )


class Bilinear(Module):
    """``y = x1ᵀ W x2 + b``.

    Example:
        >>> lt.nn.Bilinear(2, 3, 4)(lt.randn(5, 2), lt.randn(5, 3)).shape
        (5, 4)
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.in1_features = size("Bilinear", "in1_features", in1_features)
        self.in2_features = size("Bilinear", "in2_features", in2_features)
        self.out_features = size("Bilinear", "out_features", out_features)
        self.weight = parameter((out_features, in1_features, in2_features), dtype, device)
        self.register_parameter("bias", parameter((out_features,), dtype, device) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the weights anew."""
        bound = 1 / math.sqrt(self.weight.shape[1])
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )
