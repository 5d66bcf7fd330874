"""Initialising weights in place."""

from __future__ import annotations

import math
import warnings
from typing import Any

from .. import _core
from .._checks import tensor_of as _tensor_of
from .._core import Tensor
from ..random import Generator, default_generator

_LINEAR = (
    "linear",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "sigmoid",
)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps variances through a nonlinearity.

    Example:
        >>> round(lt.nn.init.calculate_gain("relu"), 4)
        1.4142
    """
    if nonlinearity in _LINEAR:
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3.0
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "selu":
        return 0.75
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"calculate_gain: negative_slope {slope!r} is not a number")
        return math.sqrt(2.0 / (1 + slope**2))
    known = ", ".join((*_LINEAR, "tanh", "relu", "selu", "leaky_relu"))
    raise ValueError(f"calculate_gain: unsupported nonlinearity {nonlinearity!r}; expected one of: {known}")


def _floats(op: str, t: Any) -> Any:
    """The dtype to draw numbers in for ``t``."""
    if not isinstance(t, Tensor):
        raise TypeError(f"{op}: expected a Tensor, got {type(t).__name__}")
    if not t.dtype.is_floating_point:
        raise TypeError(f"{op}: expected a tensor of floats, got {t.dtype!r}, which cannot hold such numbers")
    return _compute_dtype(t)


def _compute_dtype(t: Tensor) -> Any:
    return t.dtype if t.dtype in (_core.float32, _core.float64) else _core.float32


def _write(t: Tensor, values: Tensor) -> Tensor:
    if t.device_type != "cpu":
        values = _core.to_gpu(values)
    _core.copy_into(t, values)
    return t


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform numbers in [a, b).

    Example:
        >>> w = lt.nn.init.uniform_(lt.empty(100), 2, 3)
        >>> bool((w >= 2).all() and (w <= 3).all())
        True
    """
    dtype = _floats("uniform_", tensor)
    made = _core.uniform(generator or default_generator, list(tensor.shape), dtype, float(a), float(b))
    return _write(tensor, made)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Normal numbers.

    Example:
        >>> lt.nn.init.normal_(lt.empty(2), mean=3.0, std=0.0)
        tensor([3., 3.])
    """
    dtype = _floats("normal_", tensor)
    made = _core.normal(generator or default_generator, list(tensor.shape), dtype, float(mean), float(std))
    return _write(tensor, made)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normal numbers, drawn only between ``a`` and ``b`` (absolute values, not standard deviations).

    Errors: ValueError unless ``std > 0`` and ``a < b``.

    Example:
        >>> w = lt.nn.init.trunc_normal_(lt.empty(1000))
        >>> bool(w.abs().max() <= 2)
        True
    """

    _floats("trunc_normal_", tensor)
    if not std > 0 or not a < b:
        raise ValueError(f"trunc_normal_: expected std above 0 and a below b, got std {std}, a {a}, b {b}")

    def below(x: float) -> float:
        return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0

    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "trunc_normal_: mean is more than 2 std from [a, b]; the distribution of values may be incorrect",
            stacklevel=2,
        )
    low, high = below((a - mean) / std), below((b - mean) / std)
    # The inverse of the distribution function at uniform numbers.
    made = _core.uniform(
        generator or default_generator, list(tensor.shape), _core.float64, 2 * low - 1, 2 * high - 1
    )
    made = _core.add(_core.mul(_core.erfinv(made), std * math.sqrt(2.0)), float(mean))
    return _write(tensor, _core.clamp(made, float(a), float(b)))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """One number everywhere.

    Example:
        >>> lt.nn.init.constant_(lt.empty(2), 0.5)
        tensor([0.5000, 0.5000])
    """
    _core.fill_into(tensor, val)
    return tensor


def ones_(tensor: Tensor) -> Tensor:
    """Ones.

    Example:
        >>> layer = lt.nn.LayerNorm(3)
        >>> lt.nn.init.ones_(layer.bias).tolist()
        [1.0, 1.0, 1.0]
    """
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros.

    Example:
        >>> layer = lt.nn.Linear(4, 2)
        >>> lt.nn.init.zeros_(layer.bias).tolist()
        [0.0, 0.0]
    """
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix.

    Example:
        >>> lt.nn.init.eye_(lt.empty(1, 2))
        tensor([[1., 0.]])
    """
    if _tensor_of("eye_", tensor).ndim != 2:
        raise ValueError(
            f"eye_: only tensors with 2 dimensions are supported, got shape {list(tensor.shape)}"
        )
    return _write(tensor, _core.eye(tensor.shape[0], tensor.shape[1], _compute_dtype(tensor)))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution's weight that passes its input on unchanged (as far as the channels go).

    Shapes: ``[out, in, ...]`` of 3 to 5 axes. Errors: ValueError for others, or if ``groups`` does not
    divide ``out``.

    Example:
        >>> conv = lt.nn.Conv1d(1, 1, 3, padding=1, bias=False)
        >>> lt.nn.init.dirac_(conv.weight).tolist()
        [[[0.0, 1.0, 0.0]]]
        >>> conv(lt.tensor([[5.0, 6.0, 7.0]])).tolist()
        [[5.0, 6.0, 7.0]]
    """
    shape = _tensor_of("dirac_", tensor).shape
    if len(shape) not in (3, 4, 5):
        raise ValueError(
            f"dirac_: only tensors with 3, 4, or 5 dimensions are supported, got shape {list(shape)}"
        )
    if groups < 1 or shape[0] % groups:
        raise ValueError(f"dirac_: dim 0 must be divisible by groups, got {shape[0]} and {groups}")
    _core.fill_into(tensor, 0.0)
    plain, per_group = tensor.detach(), shape[0] // groups
    for g in range(groups):
        for i in range(min(per_group, shape[1])):
            spot = plain
            for axis, at in enumerate((g * per_group + i, i, *(s // 2 for s in shape[2:]))):
                spot = _core.narrow(spot, axis, at, 1)
            _core.fill_into(spot, 1.0)
    return tensor


def _fans(tensor: Tensor) -> tuple[int, int]:
    """How many inputs feed an output, and how many outputs an input feeds."""
    if tensor.ndim < 2:
        raise ValueError(
            f"fan in and fan out can not be computed for a tensor with fewer than 2 dimensions, "
            f"got shape {list(tensor.shape)}"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


_calculate_fan_in_and_fan_out = _fans


def _empty(op: str, tensor: Tensor) -> bool:
    if 0 not in _tensor_of(op, tensor).shape:
        return False
    warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
    return True


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform numbers of variance ``2 gain² / (fan_in + fan_out)`` (Glorot & Bengio 2010).

    For tanh and sigmoid. Shapes: ``[out, in, ...]``; the fans are ``in`` and ``out`` times the size of a
    filter. Errors: ValueError for fewer than 2 axes.

    Example:
        >>> w = lt.nn.init.xavier_uniform_(lt.empty(200, 400))
        >>> bound = (6 / (200 + 400)) ** 0.5
        >>> bound, round(w.max().item(), 2), round(w.min().item(), 2)
        (0.1, 0.1, -0.1)
    """
    if _empty("xavier_uniform_", tensor):
        return tensor
    fan_in, fan_out = _fans(tensor)
    bound = math.sqrt(3.0) * gain * math.sqrt(2.0 / (fan_in + fan_out))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal numbers of variance ``2 gain² / (fan_in + fan_out)`` (Glorot & Bengio 2010).

    Shapes and errors as of ``xavier_uniform_``.

    Example:
        >>> w = lt.nn.init.xavier_normal_(lt.empty(300, 500))
        >>> (2 / (300 + 500)) ** 0.5, round(w.std().item(), 3)
        (0.05, 0.05)
    """
    if _empty("xavier_normal_", tensor):
        return tensor
    fan_in, fan_out = _fans(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / (fan_in + fan_out)), generator)


def _kaiming_std(name: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if str(mode).lower() not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: mode {mode!r} not supported, please use one of ['fan_in', 'fan_out']")
    fan = _fans(tensor)[mode.lower() == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform numbers of variance ``gain² / fan`` (He et al. 2015); ``a`` is the slope of a leaky ReLU.

    Shapes as of ``xavier_uniform_``; the fan is that of ``in`` or ``out``, by ``mode``. Errors: ValueError
    for fewer than 2 axes, or another mode or nonlinearity.

    Example:
        >>> w = lt.nn.init.kaiming_uniform_(lt.empty(100, 600), nonlinearity="relu")
        >>> (6 / 600) ** 0.5, round(w.max().item(), 2)
        (0.1, 0.1)
    """
    if _empty("kaiming_uniform_", tensor):
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal numbers of variance ``gain² / fan`` (He et al. 2015); ``a`` is the slope of a leaky ReLU.

    Shapes as of ``xavier_uniform_``; the fan is that of ``in`` or ``out``, by ``mode``. Errors: ValueError
    for fewer than 2 axes, or another mode or nonlinearity.

    Example:
        >>> w = lt.nn.init.kaiming_normal_(lt.empty(100, 800), nonlinearity="relu")
        >>> (2 / 800) ** 0.5, round(w.std().item(), 3)
        (0.05, 0.05)
    """
    if _empty("kaiming_normal_", tensor):
        return tensor
    return normal_(tensor, 0.0, _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """A (semi-)orthogonal matrix times ``gain`` (Saxe et al. 2013); axes after the first count as one.

    Example:
        >>> w = lt.nn.init.orthogonal_(lt.empty(3, 3))
        >>> bool(lt.allclose(w @ w.T, lt.eye(3), atol=1e-5))
        True
    """
    if _tensor_of("orthogonal_", tensor).ndim < 2:
        raise ValueError(
            f"orthogonal_: only tensors with 2 or more dimensions are supported, got {list(tensor.shape)}"
        )
    if tensor.numel() == 0:
        return tensor
    import numpy as np

    rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
    flat = _core.normal(generator or default_generator, [rows, columns], _core.float64, 0.0, 1.0)
    values = np.array(flat.tolist(), dtype=np.float64)
    q, r = np.linalg.qr(values.T if rows < columns else values)
    # Without the signs of the diagonal, the directions would not be uniform (Mezzadri 2007).
    q = q * np.sign(np.diag(r))
    q = np.ascontiguousarray(gain * (q.T if rows < columns else q)).reshape(tensor.shape)
    return _write(tensor, _core.from_array_interface(q))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """Normal numbers, of which a share of each column is zero (Martens 2010).

    Shapes: ``[in, out]``, two axes. Errors: ValueError for others, or a share outside 0 to 1.

    Example:
        >>> w = lt.nn.init.sparse_(lt.empty(10, 4), sparsity=0.3)
        >>> (w == 0).sum(0)
        tensor([3, 3, 3, 3])
    """
    if _tensor_of("sparse_", tensor).ndim != 2:
        raise ValueError(
            f"sparse_: only tensors with 2 dimensions are supported, got shape {list(tensor.shape)}"
        )
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparse_: sparsity is the share of zeros, 0 to 1, got {sparsity}")
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    normal_(tensor, 0.0, std, generator)
    plain = tensor.detach()
    for c in range(columns):
        order = _core.randperm(generator or default_generator, rows)
        for r in order.tolist()[:zeros]:
            _core.fill_into(_core.narrow(_core.narrow(plain, 0, r, 1), 1, c, 1), 0.0)
    return tensor
