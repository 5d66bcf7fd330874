"""Lectorium: a deep learning course in one small wheel, with PyTorch's conventions.

Example:
    >>> x = lt.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4., 6.])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import _core
from . import tensor as _tensor_methods
from ._core import (
    ShapeError,
    Tensor,
    __version__,
    bfloat16,
    bool,
    dtype,
    float16,
    float32,
    float64,
    get_default_dtype,
    get_num_threads,
    int8,
    int16,
    int32,
    int64,
    is_grad_enabled,
    promote_types,
    result_type,
    set_num_threads,
    uint8,
)
from ._repr import set_printoptions
from .autograd import enable_grad, inference_mode, no_grad, set_grad_enabled
from .creation import (
    arange,
    as_tensor,
    asarray,
    bernoulli,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    logspace,
    multinomial,
    normal,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    set_default_dtype,
    tensor,
    zeros,
    zeros_like,
)
from .device import device
from .functions.indexing import (
    gather,
    index_add,
    index_copy,
    index_fill,
    index_put,
    masked_fill,
    masked_select,
    nonzero,
    scatter,
    take,
    take_along_dim,
)
from .functions.linalg import addmm, addmv, baddbmm, bmm, dot, einsum, mm, mv, outer, tensordot, trace
from .functions.pointwise import (
    addcdiv,
    addcmul,
    allclose,
    clamp,
    clip,
    div,
    equal,
    float_power,
    isclose,
    lerp,
    nan_to_num,
    where,
    xlogy,
)
from .functions.reduction import (
    all,
    aminmax,
    any,
    argsort,
    bincount,
    cummax,
    cummin,
    cumprod,
    cumsum,
    kthvalue,
    log_softmax,
    max,
    median,
    min,
    norm,
    searchsorted,
    softmax,
    sort,
    std,
    std_mean,
    topk,
    unique,
    var,
    var_mean,
)
from .functions.shape import (
    broadcast_shapes,
    broadcast_tensors,
    broadcast_to,
    cat,
    chunk,
    concat,
    concatenate,
    diag,
    flatten,
    flip,
    hstack,
    meshgrid,
    movedim,
    permute,
    repeat_interleave,
    reshape,
    roll,
    select,
    split,
    squeeze,
    stack,
    t,
    tile,
    unbind,
    unflatten,
    vstack,
)
from .ops import (
    abs,
    acos,
    acosh,
    add,
    amax,
    amin,
    argmax,
    argmin,
    as_strided,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    bitwise_and,
    bitwise_left_shift,
    bitwise_not,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    ceil,
    clone,
    copysign,
    cos,
    cosh,
    count_nonzero,
    diagonal,
    digamma,
    eq,
    erf,
    erfc,
    erfinv,
    exp,
    exp2,
    expm1,
    floor,
    floor_divide,
    fmax,
    fmin,
    fmod,
    frac,
    ge,
    gt,
    hypot,
    index_select,
    isfinite,
    isinf,
    isnan,
    le,
    lgamma,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    logcumsumexp,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    logit,
    logsumexp,
    lt,
    matmul,
    maximum,
    mean,
    minimum,
    mul,
    narrow,
    ne,
    neg,
    pow,
    prod,
    reciprocal,
    relu,
    remainder,
    round,
    rsqrt,
    scatter_add,
    sigmoid,
    sign,
    signbit,
    sin,
    sinh,
    sqrt,
    square,
    sub,
    sum,
    tan,
    tanh,
    transpose,
    tril,
    triu,
    trunc,
    unsqueeze,
)
from .random import Generator, default_generator, get_rng_state, initial_seed, manual_seed, seed, set_rng_state

float = float32
double = float64
half = float16
long = int64
int = int32
short = int16

if TYPE_CHECKING:
    from . import autograd, data, datasets, gpu, memory, models, nn, optim, utils
    from .serialization import load, save

_ROOMS = {"autograd", "data", "datasets", "gpu", "interop", "memory", "models", "nn", "optim", "plot", "recipes", "utils"}


def __getattr__(name: str) -> Any:
    """Rooms are imported when first asked for."""
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name in ("save", "load"):
        return getattr(importlib.import_module(f"{__name__}.serialization"), name)
    raise AttributeError(f"module 'lectorium' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS, "save", "load"})


def is_tensor(obj: Any) -> Any:
    """Whether ``obj`` is a Tensor.

    Example:
        >>> lt.is_tensor(lt.ones(1))
        True
    """
    return isinstance(obj, Tensor)


def numel(input: Tensor) -> Any:
    """The number of elements.

    Example:
        >>> lt.numel(lt.zeros(2, 3))
        6
    """
    return input.numel()


def is_floating_point(input: Tensor) -> Any:
    """Whether the elements are floats.

    Example:
        >>> lt.is_floating_point(lt.zeros(2))
        True
    """
    return input.dtype.is_floating_point


del _tensor_methods
