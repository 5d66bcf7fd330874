"""Rectifiers and other activation functions that are cut off somewhere."""

from __future__ import annotations

from ... import _core, ops
from ..._core import Tensor
from ...autograd.inplace import apply_inplace
from ...random import default_generator
from ._shared import ShapeError, applied, in_place, tensor_of


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """``max(x, 0)``.

    Example:
        >>> lt.nn.functional.relu(lt.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """
    return apply_inplace(ops.relu, input, (), {}) if inplace else ops.relu(input)


def relu_(input: Tensor) -> Tensor:
    """``relu`` in place; returns its input.

    Errors: RuntimeError for a leaf that requires gradients. So all functions whose name ends in ``_``.

    Example:
        >>> x = lt.tensor([-1.0, 2.0])
        >>> lt.nn.functional.relu_(x) is x, x
        (True, tensor([0., 2.]))
    """
    return apply_inplace(ops.relu, input, (), {})


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """``x`` above 0, ``negative_slope * x`` below (Maas et al. 2013).

    Example:
        >>> lt.nn.functional.leaky_relu(lt.tensor([-10.0, 2.0]), 0.1)
        tensor([-1.,  2.])
    """
    return applied(ops.leaky_relu, input, inplace, float(negative_slope))


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """``leaky_relu`` in place.

    Example:
        >>> x = lt.tensor([-10.0, 2.0])
        >>> lt.nn.functional.leaky_relu_(x, 0.5)
        tensor([-5.,  2.])
        >>> x
        tensor([-5.,  2.])
    """
    return leaky_relu(input, negative_slope, True)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` held between ``min_val`` and ``max_val``.

    Errors: ValueError if ``min_val`` is above ``max_val``.

    Example:
        >>> lt.nn.functional.hardtanh(lt.tensor([-3.0, 0.2, 3.0]))
        tensor([-1.0000,  0.2000,  1.0000])
    """
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val cannot be greater than max_val, got {min_val} and {max_val}")
    return applied(ops.hardtanh, input, inplace, float(min_val), float(max_val))


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """``hardtanh`` in place.

    Example:
        >>> x = lt.tensor([-3.0, 0.2, 3.0])
        >>> lt.nn.functional.hardtanh_(x, 0.0, 2.0)
        tensor([0.0000, 0.2000, 2.0000])
    """
    return hardtanh(input, min_val, max_val, True)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """``min(max(x, 0), 6)``.

    Example:
        >>> lt.nn.functional.relu6(lt.tensor([-1.0, 3.0, 8.0]))
        tensor([0., 3., 6.])
    """
    return applied(ops.hardtanh, input, inplace, 0.0, 6.0)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * relu6(x + 3) / 6``, a cheap ``silu`` (MobileNetV3, Howard et al. 2019).

    Example:
        >>> lt.nn.functional.hardswish(lt.tensor([-4.0, -1.0, 1.0, 4.0]))
        tensor([-0.0000, -0.3333,  0.6667,  4.0000])
    """
    return applied(ops.hardswish, input, inplace)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """``relu6(x + 3) / 6``, a sigmoid of straight lines.

    Example:
        >>> lt.nn.functional.hardsigmoid(lt.tensor([-3.0, 0.0, 1.5, 9.0]))
        tensor([0.0000, 0.5000, 0.7500, 1.0000])
    """
    return applied(ops.hardsigmoid, input, inplace)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``x`` moved towards 0 by ``lambd``, and 0 where ``|x| <= lambd``.

    Example:
        >>> lt.nn.functional.softshrink(lt.tensor([-2.0, 0.3, 1.0]))
        tensor([-1.5000,  0.0000,  0.5000])
    """
    return ops.softshrink(input, float(lambd))


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """0 where ``|x| <= lambd``, else ``x``.

    Example:
        >>> lt.nn.functional.hardshrink(lt.tensor([-2.0, 0.3, 1.0]))
        tensor([-2.,  0.,  1.])
    """
    return ops.hardshrink(input, float(lambd))


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """``x`` where ``x > threshold``, else ``value``.

    Example:
        >>> lt.nn.functional.threshold(lt.tensor([0.1, 0.5, 2.0]), 0.5, -1.0)
        tensor([-1., -1.,  2.])
    """
    return applied(ops.threshold, input, inplace, float(threshold), float(value))


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """``threshold`` in place.

    Example:
        >>> x = lt.tensor([1.0, 4.0])
        >>> _ = lt.nn.functional.threshold_(x, 2.0, 0.0)
        >>> x
        tensor([0., 4.])
    """
    return applied(ops.threshold, input, True, float(threshold), float(value))


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """``x`` above 0, ``weight * x`` below (He et al. 2015).

    Shapes: weight ``[1]``, or ``[C]`` for axis 1 of the input.

    Errors: ShapeError for a weight of another size.

    Example:
        >>> x = lt.full((1, 2, 2), -8.0)
        >>> lt.nn.functional.prelu(x, lt.tensor([0.25, 0.5]))
        tensor([[[-2., -2.],
                 [-4., -4.]]])
    """
    axes = tensor_of("prelu", input).ndim
    if tensor_of("prelu", weight, "weight").numel() == 1:
        slope = ops.reshape(weight, [1] * axes)
    else:
        channels = input.shape[1] if axes > 1 else 1
        if weight.ndim > 1 or weight.numel() != channels:
            raise ShapeError(
                f"prelu: weight has shape {list(weight.shape)}, expected [1] or [{channels}], "
                f"one slope a channel of an input of shape {list(input.shape)}"
            )
        slope = ops.reshape(weight, [1, -1, *[1] * (axes - 2)])
    return ops.where(ops.gt(input, 0.0), input, ops.mul(input, slope))


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """Leaky ReLU whose slope is drawn for each element in training, else the mean (Xu et al. 2015).

    Example:
        >>> x = lt.tensor([-24.0, 24.0])
        >>> lt.nn.functional.rrelu(x)
        tensor([-5.5000, 24.0000])
        >>> y = lt.nn.functional.rrelu(x, training=True)
        >>> bool(-8 <= y[0] <= -3), y[1]
        (True, tensor(24.))
    """
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slopes = _core.uniform(default_generator, list(input.shape), input.dtype, float(lower), float(upper))

    def sloped(x: Tensor) -> Tensor:
        return ops.where(ops.gt(x, 0.0), x, ops.mul(x, slopes))

    return in_place(sloped, input) if inplace else sloped(input)


def rrelu_(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Tensor:
    """``rrelu`` in place.

    Example:
        >>> x = lt.tensor([-8.0, 1.0])
        >>> lt.nn.functional.rrelu_(x, 0.25, 0.25)
        tensor([-2.,  1.])
    """
    return rrelu(input, lower, upper, training, True)
