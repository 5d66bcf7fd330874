"""Lectorium: a deep learning course in one small wheel, with PyTorch's conventions.

Example:
    >>> x = lt.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4., 6.])
"""

from __future__ import annotations

import builtins
import importlib
import math
from typing import TYPE_CHECKING, Any

from . import tensor as _tensor_methods
from ._core import (
    ShapeError as ShapeError,
    Tensor as Tensor,
    __version__ as __version__,
    bfloat16 as bfloat16,
    bool as bool,
    dtype as dtype,
    float16 as float16,
    float32 as float32,
    float64 as float64,
    get_default_dtype as get_default_dtype,
    get_num_threads as get_num_threads,
    int8 as int8,
    int16 as int16,
    int32 as int32,
    int64 as int64,
    is_grad_enabled as is_grad_enabled,
    promote_types as promote_types,
    result_type as result_type,
    set_num_threads as set_num_threads,
    uint8 as uint8,
)
from ._repr import (
    set_printoptions as set_printoptions,
)
from .autograd import (
    enable_grad as enable_grad,
    inference_mode as inference_mode,
    no_grad as no_grad,
    set_grad_enabled as set_grad_enabled,
)
from .creation import (
    arange as arange,
    as_tensor as as_tensor,
    asarray as asarray,
    empty as empty,
    empty_like as empty_like,
    eye as eye,
    from_numpy as from_numpy,
    full as full,
    full_like as full_like,
    linspace as linspace,
    logspace as logspace,
    ones as ones,
    ones_like as ones_like,
    set_default_dtype as set_default_dtype,
    tensor as tensor,
    zeros as zeros,
    zeros_like as zeros_like,
)
from .device import (
    device as device,
)
from .functions.indexing import (
    gather as gather,
    index_add as index_add,
    index_copy as index_copy,
    index_fill as index_fill,
    index_put as index_put,
    masked_fill as masked_fill,
    masked_select as masked_select,
    nonzero as nonzero,
    scatter as scatter,
    take as take,
    take_along_dim as take_along_dim,
)
from .functions.join import (
    cat as cat,
    chunk as chunk,
    concat as concat,
    concatenate as concatenate,
    hstack as hstack,
    meshgrid as meshgrid,
    select as select,
    split as split,
    stack as stack,
    unbind as unbind,
    vstack as vstack,
)
from .functions.linalg import (
    addmm as addmm,
    addmv as addmv,
    baddbmm as baddbmm,
    bmm as bmm,
    dot as dot,
    einsum as einsum,
    mm as mm,
    mv as mv,
    outer as outer,
    tensordot as tensordot,
    trace as trace,
)
from .functions.pointwise import (
    addcdiv as addcdiv,
    addcmul as addcmul,
    allclose as allclose,
    clamp as clamp,
    clip as clip,
    div as div,
    equal as equal,
    float_power as float_power,
    isclose as isclose,
    lerp as lerp,
    nan_to_num as nan_to_num,
    where as where,
    xlogy as xlogy,
)
from .functions.random import (
    bernoulli as bernoulli,
    multinomial as multinomial,
    normal as normal,
    rand as rand,
    rand_like as rand_like,
    randint as randint,
    randn as randn,
    randn_like as randn_like,
    randperm as randperm,
)
from .functions.reduction import (
    all as all,
    aminmax as aminmax,
    any as any,
    argsort as argsort,
    bincount as bincount,
    cummax as cummax,
    cummin as cummin,
    cumprod as cumprod,
    cumsum as cumsum,
    kthvalue as kthvalue,
    log_softmax as log_softmax,
    max as max,
    median as median,
    min as min,
    norm as norm,
    searchsorted as searchsorted,
    softmax as softmax,
    sort as sort,
    std as std,
    std_mean as std_mean,
    topk as topk,
    unique as unique,
    var as var,
    var_mean as var_mean,
)
from .functions.scan import scan as scan
from .functions.shape import (
    broadcast_shapes as broadcast_shapes,
    broadcast_tensors as broadcast_tensors,
    broadcast_to as broadcast_to,
    diag as diag,
    flatten as flatten,
    flip as flip,
    movedim as movedim,
    permute as permute,
    repeat_interleave as repeat_interleave,
    reshape as reshape,
    roll as roll,
    squeeze as squeeze,
    t as t,
    tile as tile,
    unflatten as unflatten,
)
from .ops import (
    abs as abs,
    acos as acos,
    acosh as acosh,
    add as add,
    amax as amax,
    amin as amin,
    argmax as argmax,
    argmin as argmin,
    as_strided as as_strided,
    asin as asin,
    asinh as asinh,
    atan as atan,
    atan2 as atan2,
    atanh as atanh,
    bitwise_and as bitwise_and,
    bitwise_left_shift as bitwise_left_shift,
    bitwise_not as bitwise_not,
    bitwise_or as bitwise_or,
    bitwise_right_shift as bitwise_right_shift,
    bitwise_xor as bitwise_xor,
    ceil as ceil,
    clone as clone,
    copysign as copysign,
    cos as cos,
    cosh as cosh,
    count_nonzero as count_nonzero,
    diagonal as diagonal,
    digamma as digamma,
    eq as eq,
    erf as erf,
    erfc as erfc,
    erfinv as erfinv,
    exp as exp,
    exp2 as exp2,
    expm1 as expm1,
    floor as floor,
    floor_divide as floor_divide,
    fmax as fmax,
    fmin as fmin,
    fmod as fmod,
    frac as frac,
    ge as ge,
    gt as gt,
    hypot as hypot,
    index_select as index_select,
    isfinite as isfinite,
    isinf as isinf,
    isnan as isnan,
    le as le,
    lgamma as lgamma,
    log as log,
    log1p as log1p,
    log2 as log2,
    log10 as log10,
    logaddexp as logaddexp,
    logcumsumexp as logcumsumexp,
    logical_and as logical_and,
    logical_not as logical_not,
    logical_or as logical_or,
    logical_xor as logical_xor,
    logit as logit,
    logsumexp as logsumexp,
    lt as lt,
    matmul as matmul,
    maximum as maximum,
    mean as mean,
    minimum as minimum,
    mul as mul,
    narrow as narrow,
    ne as ne,
    neg as neg,
    pow as pow,
    prod as prod,
    reciprocal as reciprocal,
    relu as relu,
    remainder as remainder,
    round as round,
    rsqrt as rsqrt,
    scatter_add as scatter_add,
    sigmoid as sigmoid,
    sign as sign,
    signbit as signbit,
    sin as sin,
    sinh as sinh,
    sqrt as sqrt,
    square as square,
    sub as sub,
    sum as sum,
    tan as tan,
    tanh as tanh,
    transpose as transpose,
    tril as tril,
    triu as triu,
    trunc as trunc,
    unsqueeze as unsqueeze,
)
from .random import (
    Generator as Generator,
    default_generator as default_generator,
    get_rng_state as get_rng_state,
    initial_seed as initial_seed,
    manual_seed as manual_seed,
    seed as seed,
    set_rng_state as set_rng_state,
)

e, pi = math.e, math.pi
inf, nan = math.inf, math.nan
newaxis = None

float = float32
double = float64
half = float16
long = int64
int = int32
short = int16

if TYPE_CHECKING:
    from . import (
        autograd as autograd,
        data as data,
        datasets as datasets,
        gpu as gpu,
        interop as interop,
        memory as memory,
        models as models,
        nn as nn,
        optim as optim,
        plot as plot,
        recipes as recipes,
        utils as utils,
    )
    from .interop.dlpack import from_dlpack as from_dlpack
    from .serialization import load as load, save as save

_ROOMS = {
    "autograd",
    "data",
    "datasets",
    "gpu",
    "interop",
    "memory",
    "models",
    "nn",
    "optim",
    "plot",
    "recipes",
    "utils",
}

_INSTEAD = {
    "amp": "float32: kernels compute in it",
    "autocast": "float32: kernels compute in it",
    "backends": "lectorium.set_num_threads and the environment variables in README",
    "compile": "the model itself: its layers run fused as they are",
    "cuda": "device 'gpu' and lectorium.gpu",
    "distributions": "lectorium.multinomial, bernoulli and normal",
    "func": "lectorium.autograd.grad with create_graph=True",
    "jit": "the model itself: its layers run fused as they are; lectorium.scan records a cell",
    "mps": "device 'gpu' and lectorium.gpu",
    "vmap": "a batch dimension",
}


def __getattr__(name: str) -> Any:
    """Rooms are imported when first asked for."""
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "from_dlpack":
        return importlib.import_module(f"{__name__}.interop.dlpack").from_dlpack
    if name in ("save", "load"):
        return getattr(importlib.import_module(f"{__name__}.serialization"), name)
    instead = f"; use {_INSTEAD[name]}" if name in _INSTEAD else ""
    raise AttributeError(f"module 'lectorium' has no attribute {name!r}{instead}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS, "from_dlpack", "save", "load"})


def is_tensor(obj: Any) -> builtins.bool:
    """Whether ``obj`` is a Tensor.

    Example:
        >>> lt.is_tensor(lt.ones(1))
        True
    """
    return isinstance(obj, Tensor)


def numel(input: Tensor) -> builtins.int:
    """The number of elements.

    Example:
        >>> lt.numel(lt.zeros(2, 3))
        6
    """
    return input.numel()


def is_floating_point(input: Tensor) -> builtins.bool:
    """Whether the elements are floats.

    Example:
        >>> lt.is_floating_point(lt.zeros(2))
        True
    """
    return input.dtype.is_floating_point


del _tensor_methods
