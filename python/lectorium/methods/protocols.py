"""What Python asks of an object: length, iteration, truth, numbers, copies, pickling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .. import _core, _repr
from .._core import Tensor
from ..functions import indexing, join


def _len(self: Tensor) -> int:
    if self.ndim == 0:
        raise TypeError("len: a tensor without axes has no length")
    return self.shape[0]


def _iter(self: Tensor) -> Iterator[Tensor]:
    if self.ndim == 0:
        raise TypeError("iter: a tensor without axes cannot be iterated over")
    return iter(join.unbind(self))


def _bool(self: Tensor) -> bool:
    if self.numel() != 1:
        raise RuntimeError(
            f"bool: the truth of a tensor of shape {list(self.shape)} is ambiguous; "
            "use .any(), .all() or .item()"
        )
    return bool(self.item())


def _int(self: Tensor) -> int:
    return int(self.item())


def _float(self: Tensor) -> float:
    return float(self.item())


def _index(self: Tensor) -> int:
    if self.dtype.is_floating_point or self.numel() != 1:
        raise TypeError(
            f"index: only an integer tensor of one element is an index, got {self.dtype!r} {self.shape}"
        )
    return int(self.item())


def _contains(self: Tensor, value: Any) -> bool:
    return bool(_core.any(_core.eq(self, value)).item())


def _format(self: Tensor, spec: str) -> str:
    return format(self.item(), spec) if self.ndim == 0 else object.__format__(self, spec)


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


def _rebuild(
    cls: type[Tensor], raw: bytes, size: list[int], dtype: Any, requires_grad: bool, extra: Any
) -> Tensor:
    t = _core.from_bytes(raw, size, dtype)
    made = t if cls is Tensor else cls.__new__(cls, t)
    made.requires_grad = requires_grad
    made.__dict__.update(extra)
    return made


def _reduce(self: Tensor, protocol: Any) -> Any:
    host = _core.contiguous(self.detach() if self.is_cpu else _core.to_cpu(self))
    args = (
        type(self),
        _core.to_bytes(host),
        list(self.shape),
        self.dtype,
        self.requires_grad,
        dict(self.__dict__),
    )
    return _rebuild, args


PROTOCOLS: dict[str, Callable[..., Any]] = {
    "__len__": _len,
    "__iter__": _iter,
    "__bool__": _bool,
    "__int__": _int,
    "__float__": _float,
    "__index__": _index,
    # The one of the tensor as an object; comparing gives a tensor.
    "__hash__": object.__hash__,
    "__contains__": _contains,
    "__getitem__": indexing.getitem,
    "__setitem__": indexing.setitem,
    "__format__": _format,
    "__repr__": _repr.tensor_repr,
    "__str__": _repr.tensor_repr,
    "__deepcopy__": _deepcopy,
    "__reduce_ex__": _reduce,
}
