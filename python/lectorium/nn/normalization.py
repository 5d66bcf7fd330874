"""Layer, group, root-mean-square and local response normalisation layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._core import Tensor, dtype as DType
from . import functional as F, init
from ._make import parameter, size
from .module import Module


def _sizes(layer: str, shape: Any) -> tuple[int, ...]:
    sizes = (shape,) if hasattr(shape, "__index__") else tuple(shape)
    return tuple(size(layer, "normalized_shape", s) for s in sizes)


class LayerNorm(Module):
    """The last axes of each sample to zero mean and unit variance (Ba et al. 2016).

    Example:
        >>> lt.nn.LayerNorm(10)
        LayerNorm((10,), eps=1e-05, elementwise_affine=True, bias=True)
    """

    weight: Tensor | None
    bias: Tensor | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _sizes("LayerNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        shape, affine = self.normalized_shape, elementwise_affine
        self.register_parameter("weight", parameter(shape, dtype, device) if affine else None)
        self.register_parameter("bias", parameter(shape, dtype, device) if affine and bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1 and bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """The last axes of each sample divided by their root mean square (Zhang & Sennrich 2019).

    ``y = x / sqrt(mean(x²) + eps) * weight``; ``eps`` is the dtype's own if None.

    Example:
        >>> x = lt.tensor([[3.0, 4.0], [30.0, 40.0]])
        >>> lt.nn.RMSNorm(2, elementwise_affine=False)(x)
        tensor([[0.8485, 1.1314],
                [0.8485, 1.1314]])
    """

    weight: Tensor | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _sizes("RMSNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        made = parameter(self.normalized_shape, dtype, device) if elementwise_affine else None
        self.register_parameter("weight", made)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """Groups of channels of each sample to zero mean and unit variance (Wu & He 2018).

    Example:
        >>> lt.nn.GroupNorm(3, 6)(lt.randn(20, 6, 10, 10)).shape
        (20, 6, 10, 10)
    """

    weight: Tensor | None
    bias: Tensor | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_groups = size("GroupNorm", "num_groups", num_groups)
        self.num_channels = size("GroupNorm", "num_channels", num_channels)
        if num_channels % num_groups:
            raise ValueError(
                "GroupNorm: num_channels must be divisible by num_groups, "
                f"got {num_channels} and {num_groups}"
            )
        self.eps = eps
        self.affine = affine
        self.register_parameter("weight", parameter((num_channels,), dtype, device) if affine else None)
        self.register_parameter(
            "bias", parameter((num_channels,), dtype, device) if affine and bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1 and bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LocalResponseNorm(Module):
    """Each value divided by a power of its neighbour channels' mean square (Krizhevsky et al. 2012).

    ``y_c = x_c / (k + alpha mean of x² over size channels around c)^beta``, outside channels count as 0.

    Example:
        >>> x = lt.tensor([1.0, 10.0, 1.0]).reshape(1, 3, 1)
        >>> lt.nn.LocalResponseNorm(3, alpha=1.0, beta=1.0)(x).flatten()
        tensor([0.0288, 0.2857, 0.0288])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
