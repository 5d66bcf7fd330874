"""The Tensor class: methods and operators attached to the compiled object."""

from __future__ import annotations

import functools
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from . import _core, _repr, ops
from ._core import Tensor, needs_grad
from .autograd import inplace, tape, walk
from .device import CPU, GPU, device as Device
from .functions import indexing, linalg, pointwise, reduction, shape
from .random import Generator, default_generator


def attach(function: Callable[..., Any], name: str | None = None) -> None:
    """Makes a function a method of Tensor."""
    setattr(Tensor, name or function.__name__, _bindable(function))


def _bindable(function: Callable[..., Any]) -> Callable[..., Any]:
    # Compiled functions are no descriptors: as attributes of a class they would not get the tensor.
    if not isinstance(function, types.BuiltinFunctionType):
        return function

    @functools.wraps(function)
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    return method


def attach_inplace(name: str, function: Callable[..., Any]) -> None:
    """The in-place form of a function: writes the result into the tensor."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if kwargs and hasattr(function, "op"):
            kwargs = {k: v for k, v in kwargs.items() if v is not None}
        return inplace.apply_inplace(function, self, args, kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"``{name.rstrip('_')}`` in place."
    setattr(Tensor, name, method)


# ------------------------------------------------------------------ autograd


def backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Adds the gradients of this tensor to ``.grad`` of the leaves it was computed from.

    Example:
        >>> x = lt.tensor(3.0, requires_grad=True)
        >>> (x * x).backward()
        >>> x.grad
        tensor(6.)
    """
    wanted = [inputs] if isinstance(inputs, Tensor) else inputs
    walk.backward([self], [gradient], retain_graph, create_graph, wanted)


class RemovableHandle:
    """Takes a hook away again: ``handle.remove()``."""

    def __init__(self, hooks: dict[int, Any], key: int) -> None:
        self._hooks: dict[int, Any] | None = hooks
        self._key = key

    def remove(self) -> None:
        """Removes the hook; a second time does nothing."""
        if self._hooks is not None:
            self._hooks.pop(self._key, None)
            self._hooks = None


_hook_ids = iter(range(1, 1 << 62))


def register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Calls ``hook(grad)`` when this tensor's gradient is known; a returned tensor replaces it.

    Example:
        >>> x = lt.ones(2, requires_grad=True)
        >>> handle = x.register_hook(lambda g: g * 10)
        >>> x.sum().backward()
        >>> x.grad
        tensor([10., 10.])
    """
    if not self.requires_grad:
        raise RuntimeError("register_hook: the tensor does not require gradients, so none will come")
    target, nr = tape.edge(self)
    key = next(_hook_ids)
    if isinstance(target, tape.Node):
        if target.hooks is None:
            target.hooks = {}
        hooks = target.hooks.setdefault(nr, {})
    else:
        hooks = self._hooks
        if hooks is None:
            hooks = self._hooks = {}
    hooks[key] = hook
    return RemovableHandle(hooks, key)


def retain_grad(self: Tensor) -> None:
    """Lets a tensor that is no leaf keep its gradient in ``.grad``.

    Example:
        >>> x = lt.ones(1, requires_grad=True)
        >>> y = x * 2
        >>> y.retain_grad()
        >>> (y * 3).backward()
        >>> y.grad
        tensor([3.])
    """
    if not self.requires_grad:
        raise RuntimeError("retain_grad: the tensor does not require gradients")
    node, nr = tape.edge(self)
    if isinstance(node, tape.Node):
        if node.retained is None:
            node.retained = {}
        node.retained[nr] = weakref.ref(self)


def _retains_grad(self: Tensor) -> bool:
    node = self._node
    return node is not None and node.retained is not None and self.output_nr in node.retained


def _grad_fn(self: Tensor) -> Any:
    if not self.requires_grad:
        return None
    target = tape.edge(self)[0]
    return target if isinstance(target, tape.Node) else None


def requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Sets ``requires_grad`` and returns the tensor."""
    self.requires_grad = requires_grad
    return self


def detach_(self: Tensor) -> Tensor:
    """Takes the tensor out of the graph."""
    if self._base is not None:
        raise RuntimeError("detach_: a view cannot be detached in place; use .detach()")
    self._set_node(None)
    return self


def _get_data(self: Tensor) -> Tensor:
    return self.detach()


def _set_data(self: Tensor, value: Tensor) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"data: expected a Tensor, got {type(value).__name__}")
    if self.requires_grad and not value.dtype.is_floating_point:
        raise TypeError(f"data: the tensor requires gradients and cannot become {value.dtype!r}")
    self._set_data(value)


# ------------------------------------------------------------------ dtype, device, other libraries


def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Another dtype and/or device: ``to(dtype)``, ``to(device)``, ``to(device, dtype)``, ``to(other)``.

    The tensor itself if nothing changes and ``copy`` is not set.

    Example:
        >>> lt.ones(2).to(lt.int32)
        tensor([1, 1], dtype=lectorium.int32)
    """
    dtype, device = kwargs.pop("dtype", None), kwargs.pop("device", None)
    copy = kwargs.pop("copy", False)
    kwargs.pop("non_blocking", None)
    if kwargs:
        raise TypeError(f"to: unexpected argument {next(iter(kwargs))!r}")
    for a in args:
        if isinstance(a, Tensor):
            dtype, device = a.dtype, a.device_type
        elif isinstance(a, (str, Device)):
            device = a
        elif isinstance(a, bool):
            pass  # non_blocking by position
        elif a is not None:
            dtype = a
    out = self
    if dtype is not None and dtype != out.dtype:
        out = ops.cast(out, dtype)
    if device is not None and Device(device).type != out.device_type:
        out = ops.to_gpu(out) if Device(device).type == "gpu" else ops.to_cpu(out)
    return ops.clone(out) if copy and out is self else out


def _attach_casts() -> None:
    names = {"float": "float32", "double": "float64", "half": "float16", "bfloat16": "bfloat16", "long": "int64"}
    names |= {"int": "int32", "short": "int16", "char": "int8", "byte": "uint8", "bool": "bool"}

    def cast_to(target: Any) -> Callable[[Tensor], Tensor]:
        def method(self: Tensor) -> Tensor:
            return self if self.dtype == target else ops.cast(self, target)

        method.__doc__ = f"This tensor as {target.name}."
        return method

    for name, dtype in names.items():
        method = cast_to(getattr(_core, dtype))
        method.__name__ = name
        attach(method)


def cpu(self: Tensor) -> Tensor:
    """The tensor on the CPU."""
    return to(self, CPU)


def gpu(self: Tensor) -> Tensor:
    """The tensor on the GPU."""
    return to(self, GPU)


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """This tensor with the dtype of ``other``."""
    return to(self, other.dtype)


def numpy(self: Tensor, *, force: bool = False) -> Any:
    """A NumPy array on the same memory: a change in one shows in the other.

    Errors: RuntimeError for a tensor that requires gradients or lives on the GPU (unless ``force``).

    Example:
        >>> t = lt.zeros(2)
        >>> t.numpy()[0] = 7
        >>> t
        tensor([7., 0.])
    """
    import numpy as np

    if force:
        self = self.detach().to(CPU)
    if self.requires_grad:
        raise RuntimeError("numpy: the tensor requires gradients; use .detach().numpy()")
    return np.asarray(_core.array_handle(self))


def _array(self: Tensor, dtype: Any = None, copy: bool | None = None) -> Any:
    import numpy as np

    array = numpy(self)
    if dtype is not None and array.dtype != dtype:
        return array.astype(dtype)
    return np.array(array) if copy else array


def _dlpack(self: Tensor, **kwargs: Any) -> Any:
    from .interop.dlpack import export

    return export(self, **kwargs)


def _dlpack_device(self: Tensor) -> tuple[int, int]:
    from .interop.dlpack import export_device

    return export_device(self)


def new_tensor(self: Tensor, data: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of ``data`` with this tensor's dtype and device."""
    from .creation import tensor

    return tensor(data, dtype=dtype or self.dtype, device=self.device_type, requires_grad=requires_grad)


def _attach_new() -> None:
    from . import creation

    def made_by(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def new(self: Tensor, *size: Any, dtype: Any = None, **kwargs: Any) -> Tensor:
            return make(*size, dtype=dtype or self.dtype, **{"device": self.device_type, **kwargs})

        new.__name__ = f"new_{make.__name__}"
        new.__doc__ = f"``{make.__name__}`` with this tensor's dtype and device."
        return new

    for make in (creation.zeros, creation.ones, creation.empty):
        attach(made_by(make))

    def new_full(self: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, **kwargs: Any) -> Tensor:
        """One number with this tensor's dtype and device."""
        options: dict[str, Any] = {"device": self.device_type, **kwargs}
        return creation.full(size, fill_value, dtype=dtype or self.dtype, **options)

    attach(new_full)


# ------------------------------------------------------------------ Python's protocols


def _len(self: Tensor) -> int:
    if self.ndim == 0:
        raise TypeError("len: a tensor without axes has no length")
    return self.shape[0]


def _iter(self: Tensor) -> Iterator[Tensor]:
    if self.ndim == 0:
        raise TypeError("iter: a tensor without axes cannot be iterated over")
    return iter(shape.unbind(self))


def _bool(self: Tensor) -> bool:
    if self.numel() != 1:
        raise RuntimeError(
            f"bool: the truth of a tensor of shape {list(self.shape)} is ambiguous; use .any(), .all() or .item()"
        )
    return bool(self.item())


def _int(self: Tensor) -> int:
    return int(self.item())


def _float(self: Tensor) -> float:
    return float(self.item())


def _itself(self: Tensor) -> Tensor:
    return self


def _hash(self: Tensor) -> int:
    return id(self)


def _contains(self: Tensor, value: Any) -> bool:
    return bool(_core.any(_core.eq(self, value)).item())


def _format(self: Tensor, spec: str) -> str:
    return format(self.item(), spec) if self.ndim == 0 and spec else object.__format__(self, spec)


def _index(self: Tensor) -> int:
    if self.dtype.is_floating_point or self.numel() != 1:
        raise TypeError(f"index: only an integer tensor of one element is an index, got {self.dtype!r} {self.shape}")
    return int(self.item())


def _deepcopy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    if self._node is not None:
        raise RuntimeError("deepcopy: only leaf tensors can be copied deeply; use .detach() first")
    if id(self) in memo:
        return memo[id(self)]
    import copy

    made = type(self).__new__(type(self), _core.clone(self.detach()) if self.is_cpu else self.detach())
    made.requires_grad = self.requires_grad
    memo[id(self)] = made
    if self.grad is not None:
        made.grad = copy.deepcopy(self.grad, memo)
    for key, value in self.__dict__.items():
        made.__dict__[key] = copy.deepcopy(value, memo)
    return made


def _rebuild(cls: type[Tensor], raw: bytes, size: list[int], dtype: Any, requires_grad: bool, extra: Any) -> Tensor:
    t = _core.from_bytes(raw, size, dtype)
    made = t if cls is Tensor else cls.__new__(cls, t)
    made.requires_grad = requires_grad
    made.__dict__.update(extra)
    return made


def _reduce(self: Tensor, protocol: Any) -> Any:
    host = _core.contiguous(self.detach() if self.is_cpu else _core.to_cpu(self))
    args = (type(self), _core.to_bytes(host), list(self.shape), self.dtype, self.requires_grad, dict(self.__dict__))
    return _rebuild, args


# ------------------------------------------------------------------ filling in place


def _fresh(self: Tensor, name: str, values: Callable[[], Tensor]) -> Tensor:
    """Writes values that do not depend on the tensor: what it was before gets no gradient."""
    if needs_grad((self,)):
        inplace.refuse(name, self)
        return inplace.apply_inplace(ops.overwrite, self, (values(),), {})
    _core.copy_into(self, values())
    return self


def fill_(self: Tensor, value: Any) -> Tensor:
    """Sets every element to a number."""
    if isinstance(value, Tensor):
        return indexing.copy_(self, value)
    if needs_grad((self,)):
        return _fresh(self, "fill_", lambda: _core.full(list(self.shape), value, self.dtype))
    _core.fill_into(self, value)
    return self


def zero_(self: Tensor) -> Tensor:
    """Sets every element to 0."""
    return fill_(self, 0)


def uniform_(self: Tensor, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Uniform random numbers in [a, b)."""
    gen = generator or default_generator
    return _fresh(self, "uniform_", lambda: _core.uniform(gen, list(self.shape), self.dtype, float(a), float(b)))


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Normal random numbers."""
    if std < 0:
        raise ValueError(f"normal_: std must not be negative, got {std}")
    gen = generator or default_generator
    return _fresh(self, "normal_", lambda: _core.normal(gen, list(self.shape), self.dtype, float(mean), float(std)))


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Exponential random numbers of rate ``lambd``."""
    gen = generator or default_generator
    return _fresh(self, "exponential_", lambda: _core.exponential(gen, list(self.shape), self.dtype, float(lambd)))


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """1 with probability ``p``, else 0."""
    chances = p if isinstance(p, Tensor) else _core.full(list(self.shape), float(p), _core.float32)
    gen = generator or default_generator
    return _fresh(self, "bernoulli_", lambda: _core.cast(_core.bernoulli(gen, chances), self.dtype))


def random_(self: Tensor, low: int = 0, high: int | None = None, *, generator: Generator | None = None) -> Tensor:
    """Random integers from ``low`` to below ``high``; ``random_(high)`` starts at 0."""
    if high is None:
        low, high = (0, low) if low else (0, 1 << (24 if self.dtype.is_floating_point else 31 if self.dtype.itemsize > 2 else 7))
    gen, top = generator or default_generator, high
    return _fresh(self, "random_", lambda: _core.randint(gen, list(self.shape), low, top, self.dtype))


def _attach_all() -> None:
    same = (
        "neg abs sign exp exp2 expm1 log log2 log10 log1p sqrt rsqrt reciprocal square sin cos tan asin acos atan "
        "sinh cosh tanh asinh acosh atanh sigmoid relu erf erfc erfinv lgamma digamma logit floor ceil round trunc "
        "frac add sub mul pow maximum minimum fmax fmin atan2 logaddexp hypot remainder fmod copysign floor_divide "
        "eq ne lt le gt ge logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor "
        "bitwise_not bitwise_left_shift bitwise_right_shift isnan isinf isfinite signbit "
        "sum mean prod amax amin logsumexp argmax argmin count_nonzero logcumsumexp matmul index_select scatter_add "
        "transpose unsqueeze narrow tril triu diagonal unfold as_strided clone"
    ).split()
    for name in same:
        attach(getattr(ops, name), name)
    rooms: dict[Any, str] = {
        pointwise: "clamp clip div lerp addcmul addcdiv float_power xlogy nan_to_num isclose allclose equal",
        reduction: "max min aminmax var std norm softmax log_softmax cummax cummin sort argsort topk kthvalue median "
        "unique bincount any all cumsum cumprod",
        shape: "reshape view flatten unflatten squeeze t permute movedim expand broadcast_to repeat tile split chunk "
        "unbind select flip roll diag repeat_interleave",
        indexing: "copy_ index_put index_put_ gather scatter index_add index_copy index_fill masked_fill masked_select "
        "take take_along_dim nonzero",
        linalg: "mm bmm mv dot outer addmm addmv baddbmm trace",
    }
    for room, names in rooms.items():
        for name in names.split():
            attach(getattr(room, name), name)
    for alias, name in {
        "absolute": "abs", "negative": "neg", "subtract": "sub", "multiply": "mul", "divide": "div",
        "true_divide": "div", "greater": "gt", "less": "lt", "swapaxes": "transpose", "ger": "outer",
        "arctan": "atan", "arcsin": "asin", "arccos": "acos",
    }.items():  # fmt: skip
        attach(getattr(Tensor, name), alias)
    inplace = (
        "neg abs exp exp2 expm1 log log2 log10 log1p sqrt rsqrt reciprocal square sin cos tan tanh sigmoid relu floor "
        "ceil round trunc frac erf erfinv add sub mul div pow clamp remainder fmod lerp addcmul addcdiv masked_fill "
        "index_add index_fill index_copy scatter scatter_add floor_divide tril triu logit cumsum "
        "eq ne lt le gt ge logical_and logical_or logical_not bitwise_and bitwise_or bitwise_xor clip nan_to_num"
    ).split()
    for name in inplace:
        attach_inplace(f"{name}_", getattr(Tensor, name))
    attach(contiguous)
    for function in (
        backward, register_hook, retain_grad, requires_grad_, detach_, to, cpu, gpu, type_as, numpy, new_tensor,
        fill_, zero_, uniform_, normal_, exponential_, bernoulli_, random_, view_as, reshape_as, expand_as,
        is_floating_point, is_complex, unsqueeze_, squeeze_, transpose_, t_, where,
    ):  # fmt: skip
        attach(function)
    _attach_casts()
    _attach_new()
    _attach_operators()


def contiguous(self: Tensor) -> Tensor:
    """The tensor in row-major memory: itself if it is already."""
    return self if self.is_contiguous() else ops.contiguous(self)


def where(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """This tensor where ``condition`` holds, else ``other``."""
    return pointwise.where(condition, self, other)


def view_as(self: Tensor, other: Tensor) -> Tensor:
    """``view`` with the shape of ``other``."""
    return ops.view(self, list(other.shape))


def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """``reshape`` with the shape of ``other``."""
    return ops.reshape(self, list(other.shape))


def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """``expand`` with the shape of ``other``."""
    return ops.expand(self, list(other.shape))


def is_floating_point(self: Tensor) -> bool:
    """Whether the elements are floats."""
    return self.dtype.is_floating_point


def is_complex(self: Tensor) -> bool:
    """False: there are no complex tensors here."""
    return False


def _relayout(self: Tensor, made: Tensor) -> Tensor:
    """Makes the tensor the view that ``made`` is of it."""
    if self.requires_grad and self.is_leaf and needs_grad((self,)):
        raise RuntimeError("a leaf tensor that requires gradients cannot change its shape in place")
    node, nr = made._node, made.output_nr
    self._set_data(made.detach())
    if node is not None:
        self._rebase(node, nr)
    return self


def unsqueeze_(self: Tensor, dim: int) -> Tensor:
    """``unsqueeze`` in place."""
    return _relayout(self, ops.unsqueeze(self, dim))


def squeeze_(self: Tensor, dim: Any = None) -> Tensor:
    """``squeeze`` in place."""
    return _relayout(self, ops.squeeze(self, dim))


def transpose_(self: Tensor, dim0: int, dim1: int) -> Tensor:
    """``transpose`` in place."""
    return _relayout(self, ops.transpose(self, dim0, dim1))


def t_(self: Tensor) -> Tensor:
    """``t`` in place."""
    return _relayout(self, shape.t(self))


def _attach_operators() -> None:
    def reverse(function: Callable[..., Any]) -> Callable[[Tensor, Any], Any]:
        return lambda self, other: function(other, self)

    def inplace(name: str) -> Callable[[Tensor, Any], Tensor]:
        return lambda self, other: getattr(self, name)(other)

    for symbol, function in {
        "add": ops.add, "sub": ops.sub, "mul": ops.mul, "truediv": ops.div, "floordiv": ops.floor_divide,
        "mod": ops.remainder, "pow": ops.pow, "matmul": ops.matmul, "and": ops.bitwise_and, "or": ops.bitwise_or,
        "xor": ops.bitwise_xor, "lshift": ops.bitwise_left_shift, "rshift": ops.bitwise_right_shift,
    }.items():  # fmt: skip
        attach(_operator(function), f"__{symbol}__")
        attach(_operator(reverse(function)), f"__r{symbol}__")
    for symbol, name in {
        "add": "add_", "sub": "sub_", "mul": "mul_", "truediv": "div_", "floordiv": "floor_divide_",
        "mod": "remainder_", "pow": "pow_", "and": "bitwise_and_", "or": "bitwise_or_", "xor": "bitwise_xor_",
    }.items():  # fmt: skip
        attach(inplace(name), f"__i{symbol}__")
    for symbol in ("lt", "le", "gt", "ge"):
        attach(_operator(getattr(ops, symbol)), f"__{symbol}__")
    attach(_comparison(ops.eq), "__eq__")
    attach(_comparison(ops.ne), "__ne__")
    attach(ops.neg, "__neg__")
    attach(_itself, "__pos__")
    attach(ops.abs, "__abs__")
    attach(ops.bitwise_not, "__invert__")
    attach(_hash, "__hash__")
    attach(indexing.getitem, "__getitem__")
    attach(indexing.setitem, "__setitem__")
    attach(_len, "__len__")
    attach(_iter, "__iter__")
    attach(_bool, "__bool__")
    attach(_int, "__int__")
    attach(_float, "__float__")
    attach(_index, "__index__")
    attach(_contains, "__contains__")
    attach(_format, "__format__")
    attach(_array, "__array__")
    attach(_dlpack, "__dlpack__")
    attach(_dlpack_device, "__dlpack_device__")
    attach(_deepcopy, "__deepcopy__")
    attach(_reduce, "__reduce_ex__")
    attach(_repr.tensor_repr, "__repr__")
    attach(_repr.tensor_repr, "__str__")
    Tensor.__array_priority__ = 1000
    # NumPy hands `array + tensor` over to the tensor instead of taking it apart.
    Tensor.__array_ufunc__ = None
    properties: dict[str, tuple[Callable[[Tensor], Any], Callable[[Tensor, Tensor], None] | None]] = {
        "data": (_get_data, _set_data),
        "grad_fn": (_grad_fn, None),
        "retains_grad": (_retains_grad, None),
        "T": (lambda self: ops.permute(self, list(range(self.ndim))[::-1]), None),
        "mT": (lambda self: ops.transpose(self, -1, -2), None),
        "device": (lambda self: CPU if self.is_cpu else GPU, None),
        "is_gpu": (lambda self: not self.is_cpu, None),
        "itemsize": (lambda self: self.element_size(), None),
        "nbytes": (lambda self: self.element_size() * self.numel(), None),
    }
    for name, (get, put) in properties.items():
        setattr(Tensor, name, property(get, put))


def _operator(function: Callable[..., Any]) -> Callable[[Tensor, Any], Any]:
    """A binary operator: NotImplemented for operands that are no numbers, so that theirs is tried."""

    def method(self: Tensor, other: Any) -> Any:
        try:
            return function(self, other)
        except TypeError:
            if isinstance(other, (Tensor, int, float)) or hasattr(other, "__array__"):
                raise
            return NotImplemented

    return method


def _comparison(function: Callable[..., Any]) -> Callable[[Tensor, Any], Any]:
    """``==`` or ``!=``: NotImplemented for what is no number, so that ``x == None`` is False."""

    def method(self: Tensor, other: Any) -> Any:
        if not isinstance(other, (Tensor, int, float)) and not hasattr(other, "item"):
            return NotImplemented
        return function(self, other)

    return method


_attach_all()
