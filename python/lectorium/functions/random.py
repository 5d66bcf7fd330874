"""Functions that make tensors of random numbers."""

from __future__ import annotations

from typing import Any

from .. import _core, ops
from .._core import Tensor, dtype as DType, get_default_dtype
from ..creation import finish, like, sizes
from ..random import Generator, default_generator


def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform random numbers in [0, 1).

    Example:
        >>> x = lt.rand(100)
        >>> bool((x >= 0).all() and (x < 1).all())
        True
    """
    made = ops.uniform(
        generator or default_generator, sizes("rand", size), dtype or get_default_dtype(), 0.0, 1.0
    )
    return finish(made, device, requires_grad)


def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Standard normal random numbers.

    Example:
        >>> abs(lt.randn(10000).mean().item()) < 0.1
        True
    """
    made = ops.normal(
        generator or default_generator, sizes("randn", size), dtype or get_default_dtype(), 0.0, 1.0
    )
    return finish(made, device, requires_grad)


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Random integers from ``low`` (0 if left out) to below ``high``.

    Example:
        >>> x = lt.randint(3, 6, (50,))
        >>> x.min().item() >= 3 and x.max().item() <= 5
        True
    """
    if size is None:
        low, high, size = 0, low, high
    made = ops.randint(
        generator or default_generator, sizes("randint", (size,)), low, high, dtype or _core.int64
    )
    return finish(made, device, requires_grad)


def randperm(
    n: int, *, generator: Generator | None = None, dtype: DType | None = None, device: Any = None
) -> Tensor:
    """0 to n - 1 in random order.

    Example:
        >>> lt.randperm(4).sort().values
        tensor([0, 1, 2, 3])
    """
    return finish(
        _core.cast(ops.randperm(generator or default_generator, n), dtype or _core.int64), device, False
    )


def rand_like(
    input: Tensor, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """``rand`` in the shape of ``input``.

    Example:
        >>> lt.rand_like(lt.zeros(2, 3)).shape
        (2, 3)
    """
    shape, dtype, device = like("rand_like", input, dtype, device)
    return rand(shape, dtype=dtype, device=device, requires_grad=requires_grad)


def randn_like(
    input: Tensor, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """``randn`` in the shape of ``input``.

    Example:
        >>> lt.randn_like(lt.zeros(2, 3)).shape
        (2, 3)
    """
    shape, dtype, device = like("randn_like", input, dtype, device)
    return randn(shape, dtype=dtype, device=device, requires_grad=requires_grad)


def bernoulli(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """1 with probability ``input``, else 0.

    Example:
        >>> lt.bernoulli(lt.ones(3))
        tensor([1., 1., 1.])
    """
    return ops.bernoulli(generator or default_generator, input)


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """Normal random numbers with a mean and a standard deviation, numbers or tensors.

    Example:
        >>> lt.normal(5.0, 0.0, (2,))
        tensor([5., 5.])
    """
    gen = generator or default_generator
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        return ops.normal(
            gen, sizes("normal", (size,)), dtype or get_default_dtype(), float(mean), float(std)
        )
    base = _core.add(_core.mul(mean, 0.0), _core.mul(std, 0.0))
    noise = ops.normal(gen, list(base.shape), base.dtype, 0.0, 1.0)
    return _core.add(_core.mul(noise, std), mean)


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Indices drawn with the probabilities (or weights) in the rows of ``input``.

    Example:
        >>> lt.multinomial(lt.tensor([0.0, 1.0, 0.0]), 1)
        tensor([1])
    """
    return ops.multinomial(generator or default_generator, input, num_samples, replacement)
