"""Methods that write new values over a tensor: constants and random numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import _core, ops
from .._core import Tensor, needs_grad
from ..autograd import inplace
from ..functions import indexing
from ..random import Generator, default_generator


def _fresh(self: Tensor, name: str, values: Callable[[], Tensor]) -> Tensor:
    """Writes values that do not depend on the tensor: what it was before gets no gradient."""
    if needs_grad((self,)):
        inplace.refuse(name, self)
        return inplace.apply_inplace(ops.overwrite, self, (values(),), {})
    _core.copy_into(self, values())
    return self


def fill_(self: Tensor, value: Any) -> Tensor:
    """Sets every element to a number.

    Errors: ShapeError for a tensor with axes.

    Example:
        >>> x = lt.zeros(2, 2)
        >>> x[0].fill_(5)
        tensor([5., 5.])
        >>> x
        tensor([[5., 5.],
                [0., 0.]])
    """
    if isinstance(value, Tensor):
        if value.ndim:
            raise _core.ShapeError(
                f"fill_: expected a number or a tensor without axes, got shape {list(value.shape)}; "
                "copy_ broadcasts"
            )
        return indexing.copy_(self, value)
    if needs_grad((self,)):
        return _fresh(self, "fill_", lambda: _core.full(list(self.shape), value, self.dtype))
    _core.fill_into(self, value)
    return self


def zero_(self: Tensor) -> Tensor:
    """Sets every element to 0.

    Example:
        >>> x = lt.ones(3)
        >>> x[1:].zero_()
        tensor([0., 0.])
        >>> x
        tensor([1., 0., 0.])
    """
    return fill_(self, 0)


def uniform_(self: Tensor, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Uniform random numbers in [a, b).

    Errors: ValueError unless ``a <= b`` and both are finite.

    Example:
        >>> x = lt.empty(10000).uniform_(2, 4)
        >>> round(x.mean().item(), 1), bool((x >= 2).all() and (x <= 4).all())
        (3.0, True)
    """
    gen = generator or default_generator
    return _fresh(
        self, "uniform_", lambda: _core.uniform(gen, list(self.shape), self.dtype, float(a), float(b))
    )


def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Normal random numbers.

    Errors: ValueError for a negative ``std``.

    Example:
        >>> x = lt.empty(100000).normal_(mean=5.0, std=2.0)
        >>> round(x.mean().item(), 1), round(x.std().item(), 1)
        (5.0, 2.0)
    """
    if std < 0:
        raise ValueError(f"normal_: std must not be negative, got {std}")
    gen = generator or default_generator
    return _fresh(
        self, "normal_", lambda: _core.normal(gen, list(self.shape), self.dtype, float(mean), float(std))
    )


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Exponential random numbers of rate ``lambd``: their mean is ``1 / lambd``.

    Errors: ValueError unless ``lambd`` is above 0.

    Example:
        >>> round(lt.empty(100000).exponential_(lambd=5.0).mean().item(), 1)
        0.2
    """
    gen = generator or default_generator
    return _fresh(
        self, "exponential_", lambda: _core.exponential(gen, list(self.shape), self.dtype, float(lambd))
    )


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """1 with probability ``p``, else 0.

    ``p`` is a number, or a tensor that broadcasts. Errors: ValueError for ``p`` outside 0 to 1.

    Example:
        >>> round(lt.empty(100000).bernoulli_(0.3).mean().item(), 1)
        0.3
        >>> lt.empty(2, 2).bernoulli_(lt.tensor([0.0, 1.0]))
        tensor([[0., 1.],
                [0., 1.]])
    """
    # Expanded before drawing: each element has a draw of its own.
    chances = p if isinstance(p, Tensor) else _core.full([], float(p), _core.float32)
    chances = _core.contiguous(_core.expand(chances.detach(), list(self.shape)))
    gen = generator or default_generator
    return _fresh(self, "bernoulli_", lambda: _core.cast(_core.bernoulli(gen, chances), self.dtype))


def random_(
    self: Tensor, low: int | None = None, high: int | None = None, *, generator: Generator | None = None
) -> Tensor:
    """Random integers from ``low`` to below ``high``; ``random_(high)`` starts at 0.

    Errors: ValueError unless ``low < high``.

    Example:
        >>> lt.empty(1000, dtype=lt.int64).random_(3, 6).unique()
        tensor([3, 4, 5])
    """
    if high is not None:
        start, top = low or 0, high
    elif low is not None:
        start, top = 0, low
    else:
        # Up to what the dtype counts exactly.
        bits = 24 if self.dtype.is_floating_point else 31 if self.dtype.itemsize > 2 else 7
        start, top = 0, 1 << bits
    gen = generator or default_generator
    return _fresh(self, "random_", lambda: _core.randint(gen, list(self.shape), start, top, self.dtype))


METHODS = (fill_, zero_, uniform_, normal_, exponential_, bernoulli_, random_)
