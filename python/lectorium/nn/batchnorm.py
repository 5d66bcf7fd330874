"""Batch and instance normalisation layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import _core
from .._core import Tensor, dtype as DType
from ..autograd.recording import changes_in_place
from . import functional as F, init
from ._make import filled, parameter, size
from .functional._shared import ShapeError
from .module import Module


class _NormBase(Module):
    _axes: tuple[int, ...]
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    weight: Tensor | None
    bias: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: Any,
        dtype: DType | None,
        bias: bool,
    ) -> None:
        super().__init__()
        self.num_features = size(type(self).__name__, "num_features", num_features)
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.register_parameter("weight", parameter((num_features,), dtype, device) if affine else None)
        with_bias = affine and bias
        self.register_parameter("bias", parameter((num_features,), dtype, device) if with_bias else None)
        track = track_running_stats
        self.register_buffer("running_mean", filled((num_features,), 0.0, dtype, device) if track else None)
        self.register_buffer("running_var", filled((num_features,), 1.0, dtype, device) if track else None)
        self.register_buffer("num_batches_tracked", filled((), 0, _core.int64, None) if track else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forgets what was seen so far."""
        if (
            self.running_mean is not None
            and self.running_var is not None
            and self.num_batches_tracked is not None
        ):
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            _core.fill_into(self.num_batches_tracked, 0)

    def reset_parameters(self) -> None:
        """Weight 1 and bias 0; forgets what was seen so far."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input(self, input: Tensor) -> None:
        if input.ndim not in self._axes:
            expected = " or ".join(f"{n}D" for n in self._axes)
            raise ShapeError(
                f"{type(self).__name__}: expected {expected} input "
                f"(got {input.ndim}D input of shape {list(input.shape)})"
            )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_NormBase):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Tensor) -> Tensor:
        return self._run_as(F.batch_norm, input)

    def _run_as(self, function: Callable[..., Tensor], input: Tensor) -> Tensor:
        self._check_input(input)
        factor = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            changes_in_place()
            seen = int(self.num_batches_tracked.item()) + 1
            _core.fill_into(self.num_batches_tracked, seen)
            if self.momentum is None:
                factor = 1.0 / seen
        use_batch = self.training or (self.running_mean is None and self.running_var is None)
        keep = not self.training or self.track_running_stats
        return function(
            input,
            self.running_mean if keep else None,
            self.running_var if keep else None,
            self.weight,
            self.bias,
            use_batch,
            factor,
            self.eps,
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of ``[N, C]`` or ``[N, C, L]`` (Ioffe & Szegedy 2015).

    Example:
        >>> lt.nn.BatchNorm1d(3)(lt.randn(20, 3)).mean(0).abs().max().item() < 1e-5
        True
    """

    _axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of ``[N, C, H, W]`` (Ioffe & Szegedy 2015).

    In training the running statistics follow the batches by ``momentum`` (None: their plain average);
    ``eval()`` normalises with them.

    Example:
        >>> list(lt.nn.BatchNorm2d(3).state_dict())
        ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked']
    """

    _axes = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of ``[N, C, D, H, W]``.

    Example:
        >>> norm = lt.nn.BatchNorm3d(1, affine=False)
        >>> norm(lt.tensor([0.0, 2.0]).reshape(2, 1, 1, 1, 1)).flatten()
        tensor([-1.0000,  1.0000])
        >>> norm.running_mean, norm.running_var
        (tensor([0.1000]), tensor([1.1000]))
    """

    _axes = (5,)


class _InstanceNorm(_NormBase):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Tensor) -> Tensor:
        self._check_input(input)
        alone = input.ndim == min(self._axes)
        x = input[None] if alone else input
        if x.shape[1] != self.num_features and self.affine:
            raise ShapeError(
                f"{type(self).__name__}: input has {x.shape[1]} channels, "
                f"expected num_features={self.num_features}"
            )
        out = F.instance_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return out[0] if alone else out


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of ``[N, C, L]`` or ``[C, L]`` (Ulyanov et al. 2016).

    Example:
        >>> x = lt.tensor([[[0.0, 2.0]], [[10.0, 30.0]]])
        >>> lt.nn.InstanceNorm1d(1)(x).flatten()
        tensor([-1.0000,  1.0000, -1.0000,  1.0000])
    """

    _axes = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Instance normalisation of ``[N, C, H, W]`` or ``[C, H, W]`` (Ulyanov et al. 2016).

    Example:
        >>> lt.nn.InstanceNorm2d(3)(lt.randn(2, 3, 4, 4)).shape
        (2, 3, 4, 4)
    """

    _axes = (3, 4)
